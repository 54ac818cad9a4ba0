"""What the process of a job tells the worker: one JSON object a line on its standard output.

{"step": ...}  {"progress": ...}  {"row_errors": [...], "total": n}
{"result": {...}, "follow_up": {...} | null}    the last line of a job that succeeded
{"error": {"code", "message"}, "again": bool}   the last line of one that did not
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

MAX_ROW_ERRORS = 1000
"""Row errors that a job keeps; the total counts all."""

_PROGRESS_STEP = 0.01
_PROGRESS_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A job that a job leads to."""

    kind: str
    payload: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"kind": self.kind, "payload": dict(self.payload)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job hands back when it succeeds: small, plain values for its record, and what comes next."""

    result: Mapping[str, Any]
    follow_up: FollowUp | None = None


class Reporter:
    """The job's side. Threads may not share one."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._told = self._told_at = float("-inf")

    def step(self, words: str) -> None:
        """Say what is done now; it joins the log, too, on the worker's side."""
        self._send({"step": words})

    def progress(self, share: float) -> None:
        """How much is done, 0 to 1; a small step soon after the last is not told, but the end is."""
        now = time.monotonic()
        is_small = abs(share - self._told) < _PROGRESS_STEP and now - self._told_at < _PROGRESS_INTERVAL_S
        if share < 1 and is_small:
            return
        self._told, self._told_at = share, now
        self._send({"progress": min(1.0, max(0.0, share))})

    def row_errors(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """All row errors; the first ``MAX_ROW_ERRORS`` are kept."""
        self._send({"row_errors": [dict(error) for error in errors[:MAX_ROW_ERRORS]], "total": len(errors)})

    def done(self, outcome: Outcome) -> None:
        """The job succeeded."""
        follow_up = None if outcome.follow_up is None else outcome.follow_up.to_json()
        self._send({"result": dict(outcome.result), "follow_up": follow_up})

    def failed(self, code: str, message: str, *, again: bool) -> None:
        """The job did not succeed. again: the cause will pass, another attempt may help."""
        self._send({"error": {"code": code, "message": message}, "again": again})

    def _send(self, message: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(message, ensure_ascii=False, default=str) + "\n")
        self._out.flush()
