"""What a job's process says of the database."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import uuid4

import pytest
from psycopg2.errors import AdminShutdown, DeadlockDetected, SerializationFailure
from sqlalchemy.exc import OperationalError

from app.errors import DatabaseUnavailable
from app.jobs import child
from app.jobs.reporting import Reporter


def said_of(error: Exception, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The error that is reported where a job ends with ``error``."""

    def failing(_: object) -> object:
        raise error

    monkeypatch.setattr(child, "build_container", failing)
    out = io.StringIO()
    child._do(uuid4(), "train", {}, Reporter(out))
    [line] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert line["again"] is True
    said: dict[str, Any] = line["error"]
    return said


@pytest.mark.parametrize("kind", [DeadlockDetected, SerializationFailure])
def test_a_deadlock_is_no_silence_of_the_database(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_of(OperationalError("UPDATE products", {}, kind("deadlock detected")), monkeypatch)
    assert said["code"] == "database_error"
    assert "waited for each other" in said["message"] and "does not answer" not in said["message"]


@pytest.mark.parametrize(
    "error", [OperationalError("SELECT 1", {}, AdminShutdown("terminating")), DatabaseUnavailable("no connection")]
)
def test_a_database_that_is_away_does_not_answer(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_of(error, monkeypatch)
    assert said["code"] == "database_unavailable" and said["message"].startswith("the database does not answer")
