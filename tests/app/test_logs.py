"""Logs: one JSON object a line, with the request they belong to, and nothing of the shopper in it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.logs import FIELDS, JsonLines, to_standard_error

LOGGER = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Logging is as it was before, afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    to_standard_error("info", "json", lambda: "the-request")
    LOGGER.info("two\nlines and %s", "Söhne")
    [line] = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert found.pop("at").endswith("+00:00") and found.pop("process") > 0
    assert found == {
        "level": "info",
        "logger": "tests.logs",
        "message": "two\nlines and Söhne",
        "request_id": "the-request",
    }
    assert "Söhne" in line


def test_an_error_brings_its_traceback_in_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    to_standard_error("info", "json")
    try:
        raise ValueError("broken")
    except ValueError:
        LOGGER.exception("it failed", extra={FIELDS: {"route": "/x"}})
    found = json.loads(capsys.readouterr().err)
    assert found["error"].startswith("Traceback") and "ValueError: broken" in found["error"]
    assert found["route"] == "/x" and found["level"] == "error"
    assert "request_id" not in found


def test_the_level_and_the_form_are_settings(capsys: pytest.CaptureFixture[str]) -> None:
    to_standard_error("warning", "text")
    LOGGER.info("not told")
    LOGGER.warning("told")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING tests.logs: told")


def test_what_cannot_be_json_is_told_as_text() -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, "m", None, None)
    setattr(record, FIELDS, {"thing": object})
    assert "object" in json.loads(JsonLines().format(record))["thing"]


_AS_GUNICORN = """
import logging, logging.config
from app.logs import gunicorn_logging
logging.getLogger("gunicorn.error").addHandler(logging.StreamHandler())  # its own, before it reads ours
logging.config.dictConfig(gunicorn_logging("info", "json"))
logging.getLogger("gunicorn.error").info("Listening at: %s", "http://here")
logging.getLogger("gunicorn.error").debug("not told")
"""
"""In a process of its own: a configuration closes every handler that there is, those of the tests too."""


def test_gunicorns_own_words_are_lines_of_the_same_form() -> None:
    ended = subprocess.run([sys.executable, "-c", _AS_GUNICORN], capture_output=True, text=True, check=True)
    [line] = ended.stderr.splitlines()
    found = json.loads(line)
    assert (found["logger"], found["message"]) == ("gunicorn.error", "Listening at: http://here")
