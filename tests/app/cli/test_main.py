"""What the command line says where something fails."""

from __future__ import annotations

import os
import sys

import click
import pytest

from app.cli.main import COMMANDS, main
from app.store.database import make_engine, transaction


@click.command()
def command() -> None:
    """Lose the connection to the database in the middle of the work."""
    with transaction(make_engine(os.environ["PICKTURE_DATABASE_URL"])) as session:
        session.connection().exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_database_that_goes_away_in_the_middle_of_a_command_is_one_line(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PICKTURE_DATABASE_URL", database_url)
    monkeypatch.setitem(COMMANDS, "cut-off", (__name__, ""))
    monkeypatch.setattr(sys, "argv", ["app", "cut-off"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the database stopped answering") and line.endswith("[database_unavailable]")
    assert "SELECT" not in line


def test_an_error_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "broken", ("tests.app.cli.no_such_module", ""))
    monkeypatch.setattr(sys, "argv", ["app", "broken"])
    with pytest.raises(ModuleNotFoundError):
        main()
