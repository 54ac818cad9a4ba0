"""Logs: one JSON object a line on standard error, or lines for people; with the id of the request they belong to.

gunicorn's first process is set up by its own configuration (``gunicorn_logging``), before it says its first word; every
other by ``to_standard_error``. The audit log (``app.api.audit``) has a logger, a form and a line of its own and is not
touched by these settings.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

LogFormat = Literal["json", "text"]
FIELDS = "fields"
"""The attribute of a record (``extra={"fields": {...}}``) whose entries become fields of its line."""

_QUIET = ("alembic", "procrastinate", "urllib3", "PIL", "fsspec")
_GUNICORN = ("gunicorn.error", "gunicorn.access")
_PEOPLE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """A record as one line of JSON: at, level, logger, message, process; request_id and error where there
    are any; and the record's fields.

    request_id: tells the id of the request that this thread works on, or None.
    """

    def __init__(self, request_id: Callable[[], str | None] = lambda: None) -> None:
        super().__init__()
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        request_id = self._request_id()
        if request_id is not None:
            line["request_id"] = request_id
        line |= getattr(record, FIELDS, {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        self.stream = sys.stderr
        super().emit(record)


def formatter(form: LogFormat, request_id: Callable[[], str | None] = lambda: None) -> logging.Formatter:
    """What makes a line of a record. request_id: see ``JsonLines``."""
    return JsonLines(request_id) if form == "json" else logging.Formatter(_PEOPLE)


def gunicorn_logging(level: str, form: LogFormat) -> dict[str, Any]:
    """For gunicorn's ``logconfig_dict``: what its first process logs, and its workers until they have set up their own.

    level: as in ``to_standard_error``.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter, "form": form}},
        "handlers": {"standard_error": {"()": StandardError, "formatter": "line"}},
        "root": {"level": level.upper(), "handlers": ["standard_error"]},
        "loggers": {name: {"level": level.upper(), "handlers": [], "propagate": True} for name in _GUNICORN},
    }


def to_standard_error(level: str, form: LogFormat, request_id: Callable[[], str | None] = lambda: None) -> None:
    """Have everything that this process logs written to standard error; called once by what runs a process.

    level: ``debug``, ``info``, ``warning`` or ``error``. request_id: see ``JsonLines``.
    """
    handler = StandardError()
    handler.setFormatter(formatter(form, request_id))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _GUNICORN:
        server = logging.getLogger(name)
        server.handlers.clear()
        server.propagate = True
