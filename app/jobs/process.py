"""The process of one job, seen from the worker: started, listened to, ended."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from app.store.jobs import Report

log = logging.getLogger(__name__)

LOG_LINES = 200
LOG_LINE_CHARACTERS = 1000
GRACE_S = 5.0
"""How long a job's process may take to unwind before it is killed."""

_MESSAGE_BYTES = 64 * 2**20
_PIPE_CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class LastWord:
    """The last line of a process: its result with what follows, or why there is none."""

    result: Mapping[str, Any] | None = None
    follow_up: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None
    again: bool = False


CHILD = "app.jobs.child"
"""The module that a job's process runs."""


class JobProcess:
    """``python -m app.jobs.child`` at work. ``last_word`` is None until it has spoken it, or for ever if it died."""

    def __init__(self, process: asyncio.subprocess.Process, log_tail: str) -> None:
        self._process = process
        self._lines = deque(log_tail.splitlines(), LOG_LINES)
        self._news = Report()
        self.last_word: LastWord | None = None
        self._pumps = asyncio.gather(self._read_reports(), self._read_log())
        self._end = asyncio.ensure_future(self._ended())

    @classmethod
    async def start(cls, job_id: UUID, kind: str, payload: Mapping[str, Any], log_tail: str) -> JobProcess:
        """Start the process at the head of a group of its own and give it its order."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            CHILD,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_MESSAGE_BYTES,
        )
        assert process.stdin is not None
        order = {"job_id": str(job_id), "kind": kind, "payload": dict(payload)}
        with suppress(ConnectionError):  # it died at once: its status tells
            process.stdin.write(json.dumps(order).encode() + b"\n")
            await process.stdin.drain()
        return cls(process, log_tail)

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    def note(self, line: str) -> None:
        """Add a line of the worker's own to the job's log."""
        self._lines.append(_storable(line)[:LOG_LINE_CHARACTERS])
        self._news = replace(self._news, log_tail=self._tail())

    def news(self) -> Report:
        """What came since the last call."""
        news, self._news = self._news, Report()
        return news

    def keep(self, news: Report) -> None:
        """Take back news that could not be delivered; what came since goes first."""
        newer = {name: value for name in Report.__slots__ if (value := getattr(self._news, name)) is not None}
        self._news = replace(news, **newer)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for its end, at most so long; whether it has ended and everything it said was read."""
        try:
            await asyncio.wait_for(asyncio.shield(self._end), timeout_s)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """End the process and everything it started: politely first, then not."""
        try:
            for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
                self._signal(number)
                if await self.wait(patience_s):
                    break
        finally:
            self._signal(signal.SIGKILL)  # what it left behind in its group

    @property
    def status(self) -> int | None:
        """Its exit status; negative: the signal that ended it."""
        return self._process.returncode

    async def _ended(self) -> None:
        await self._process.wait()
        # A process it left behind may hold the pipes open for ever.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._pumps), _PIPE_CLOSE_S)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _read_reports(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:  # cut off by its death
                continue
            self._take(_storable(message))

    def _take(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"step": str(words)}:
                self.note(words)
                self._news = replace(self._news, step=words[:LOG_LINE_CHARACTERS])
            case {"progress": float() | int() as share}:
                self._news = replace(self._news, progress=float(share))
            case {"row_errors": list(errors), "total": int(total)}:
                self._news = replace(self._news, row_errors=errors, row_errors_total=total)
            case {"result": dict(result), "follow_up": follow_up}:
                self.last_word = LastWord(result=result, follow_up=follow_up)
            case {"error": dict(error), "again": bool(again)}:
                self.last_word = LastWord(error=error, again=again)

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            text = chunk.decode("utf-8", "replace")
            # Carriage returns are bars that draw over themselves: the last state is enough.
            for line in text.splitlines():
                if line.strip():
                    self.note(line)

    def _tail(self) -> str:
        return "\n".join(self._lines)


def _storable(said: Any) -> Any:
    """What a process said, without what PostgreSQL refuses in text and JSON: NUL, and lone surrogates."""
    match said:
        case str():
            return said.replace("\x00", "").encode("utf-8", "backslashreplace").decode()
        case list():
            return [_storable(item) for item in said]
        case dict():
            return {_storable(name): _storable(item) for name, item in said.items()}
    return said
