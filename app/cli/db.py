"""``python -m app db``: run, upgrade, check, back up and restore the database."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from sqlalchemy import Engine

from app.cli.common import emit, json_option
from app.config import Settings
from app.store import database
from app.store.backup import backup as make_backup
from app.store.backup import restore as read_backup
from app.store.embedded import EmbeddedServer
from models.errors import UsageError


@click.group()
def command() -> None:
    """Run, upgrade, check, back up and restore the database."""


def _server() -> EmbeddedServer:
    settings = Settings.from_env()
    if settings.database_url is not None:
        raise UsageError("PICKTURE_DATABASE_URL is set: that server is started and stopped where it runs")
    return EmbeddedServer(settings.home)


@contextmanager
def _engine() -> Iterator[Engine]:
    engine = database.open_database(Settings.from_env())
    try:
        yield engine
    finally:
        engine.dispose()


@command.command()
@json_option
def start(as_json: bool) -> None:
    """Start the embedded server; it goes on when this command ends."""
    url = _server().start().render_as_string()
    emit({"running": True, "url": url}, as_json, lambda: f"running: {url}")


@command.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop the embedded server, ending open connections."""
    stopped = _server().stop()
    emit({"running": False, "stopped": stopped}, as_json, lambda: "stopped" if stopped else "was not running")


@command.command()
@json_option
def upgrade(as_json: bool) -> None:
    """Bring the tables to the revision this code needs, in one transaction."""
    with _engine() as engine:
        database.upgrade(engine)
        state = database.check(engine)
    emit({"revision": state.revision}, as_json, lambda: f"at revision {state.revision}")


@command.command()
@click.option("--scratch", is_flag=True, help="Build a database from the migrations alone and check that.")
@json_option
def check(scratch: bool, as_json: bool) -> None:
    """Check versions, the migration head and that the tables equal the models; exit status 1 if not."""
    if scratch:
        with tempfile.TemporaryDirectory(prefix="pickture-check-") as folder:
            state = _check_scratch(EmbeddedServer(Path(folder), options={"fsync": "off"}))
    else:
        with _engine() as engine:
            state = database.check(engine)
    lines = [f"PostgreSQL {state.server}, pgvector {state.pgvector}, revision {state.revision} of {state.head}"]
    lines += [f"problem: {problem}" for problem in state.problems] or ["no problem found"]
    emit({**asdict(state), "ok": state.ok}, as_json, lambda: "\n".join(lines))
    if not state.ok:
        raise SystemExit(1)


def _check_scratch(server: EmbeddedServer) -> database.DatabaseState:
    engine = database.make_engine(server.start())
    try:
        database.upgrade(engine)
        return database.check(engine)
    finally:
        engine.dispose()
        server.stop()


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def backup(file: Path, as_json: bool) -> None:
    """Write the database to FILE; photos, backbones and bundles are files: copy their folders too."""
    with _engine() as engine:
        size = make_backup(engine, file)
    emit(
        {"file": str(file), "size_bytes": size},
        as_json,
        lambda: f"wrote {file}, {size} bytes; the folders of PICKTURE_HOME other than postgres/ are not in it",
    )


@command.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def restore(file: Path, as_json: bool) -> None:
    """Fill an empty database from FILE; all or nothing."""
    with _engine() as engine:
        read_backup(engine, file)
        state = database.check(engine)
    problems = list(state.problems)
    emit(
        {"file": str(file), "revision": state.revision, "problems": problems},
        as_json,
        lambda: "\n".join([f"restored {file} at revision {state.revision}", *problems]),
    )
