"""One attempt at a job: its process, its row in the database, and every way in which the two can part."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID, uuid4

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.config import Settings
from app.jobs.connector import AWAY, FIRST_WAIT_S, LONGEST_WAIT_S
from app.jobs.process import JobProcess, LastWord
from app.services.catalogue.uploads import keep_upload, remove_upload
from app.store import jobs
from app.store.database import transaction
from app.store.jobs import Ending, NewJob, Report, Started

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often a running job's row is written, and looked at for a wish to cancel."""

_AGAIN_S = 2.0
_LONGEST_AGAIN_S = 60.0
_LAST_TRIES_S = 10.0
"""How long a worker that stops goes on asking a database that is away; the next worker finds out by itself."""

Result = TypeVar("Result")


class Gone(Exception):
    """The worker stops, and the database has not answered."""


class Attempts:
    """Runs attempts for one worker. stopping: set when the worker is to stop."""

    def __init__(self, settings: Settings, engine: Engine, stopping: asyncio.Event) -> None:
        self._home = settings.home
        self._engine = engine
        self._stopping = stopping

    async def run(self, job_id: UUID, queue_id: int) -> None:
        """Bring a job to its end, or back into the queue; returns only when its row says which."""
        try:
            started = await self._write(lambda session: jobs.start_attempt(session, job_id, queue_id))
            if started is None:
                await self._tidy(job_id)
                return
            log.info("job %s (%s), attempt %d", job_id, started.kind, started.attempt)
            await self._attempt(started, job_id, queue_id)
            await self._tidy(job_id)
        except Gone:
            log.warning("job %s: stopped without the database; the next worker goes on with it", job_id)

    async def _attempt(self, started: Started, job_id: UUID, queue_id: int) -> None:
        process: JobProcess | None = None
        try:
            process = await JobProcess.start(job_id, started.kind, started.payload, started.log_tail)
            process.note(f"--- attempt {started.attempt} ---")
            try:
                wanted = await self._accompany(process, job_id, queue_id)
            finally:
                await process.stop()
            await self._conclude(process, wanted, job_id, queue_id, started.attempt)
        except Gone:
            raise
        except Exception as error:  # the queue forgets whatever ends here, so its job must not stay behind
            log.exception("job %s: attempt %d could not be accompanied", job_id, started.attempt)
            why = " ".join(str(error).split())[:200]
            words = f"interrupted: the worker failed ({type(error).__name__}: {why})"
            await self._requeue(_last_log(process, started, words), job_id, queue_id, started.attempt, crashed=True)

    async def _accompany(self, process: JobProcess, job_id: UUID, queue_id: int) -> str:
        """Pass reports on until something ends the attempt: ``ended``, ``cancel``, ``lost`` or ``stop``."""
        while not await process.wait(LOOK_S):
            if self._stopping.is_set():
                return "stop"
            news = process.news()
            try:
                cancel = await asyncio.to_thread(self._once, lambda s, n=news: jobs.report(s, job_id, queue_id, n))
            except AWAY as error:
                process.keep(news)
                log.warning("job %s: the database does not answer (%s)", job_id, " ".join(str(error).split())[:200])
                continue
            if cancel is None:
                return "lost"
            if cancel:
                return "cancel"
        return "ended"

    async def _conclude(self, process: JobProcess, wanted: str, job_id: UUID, queue_id: int, attempt: int) -> None:
        last = process.last_word
        news = process.news()
        if wanted == "lost":
            log.warning("job %s has been given to another attempt; this one was ended", job_id)
        elif last is not None and (last.result is not None or not last.again):
            await self._end(job_id, queue_id, last, news)
        elif wanted == "cancel":
            ending = Ending("cancelled", step="cancelled", report=news)
            await self._write(lambda session: jobs.end(session, job_id, queue_id, ending))
            log.info("job %s was cancelled", job_id)
        elif wanted == "stop":
            await self._write(lambda session: jobs.give_back(session, job_id, queue_id, _interrupted(news)))
            log.info("job %s waits for the next worker", job_id)
        else:
            await self._strike(process, last, job_id, queue_id, attempt)

    async def _end(self, job_id: UUID, queue_id: int, last: LastWord, news: Report) -> None:
        ending = Ending("succeeded" if last.error is None else "failed", last.result, last.error, None, news)

        def write(session: Session) -> bool:
            if not jobs.end(session, job_id, queue_id, ending):
                return False
            if last.follow_up is not None:
                # Where one waits already, it will find these photos too.
                kind, payload = last.follow_up["kind"], last.follow_up["payload"]
                jobs.add_job(session, NewJob(uuid4(), kind, payload, exclusive=False, parent_id=job_id))
            return True

        await self._write(write)
        log.info("job %s %s%s", job_id, ending.state, "" if last.error is None else f": {last.error['message']}")

    async def _strike(
        self, process: JobProcess, last: LastWord | None, job_id: UUID, queue_id: int, attempt: int
    ) -> None:
        crashed = last is None
        why = f"its process ended with status {process.status}" if last is None else f"{(last.error or {})['message']}"
        process.note(f"interrupted: {why}")
        log.warning("job %s was interrupted: %s", job_id, why[:200])
        await self._requeue(process.news(), job_id, queue_id, attempt, crashed=crashed)

    async def _requeue(self, news: Report, job_id: UUID, queue_id: int, attempt: int, *, crashed: bool) -> None:
        """Back into the queue, later and later, or failed where that happened too often."""
        delay_s = min(_LONGEST_AGAIN_S, _AGAIN_S * 2 ** min(attempt, 6))
        if await self._write(
            lambda session: jobs.strike(session, job_id, queue_id, news, crashed=crashed, delay_s=delay_s)
        ):
            log.info("job %s: the next attempt begins in %.0f s, unless it had too many", job_id, delay_s)

    async def _tidy(self, job_id: UUID) -> None:
        """Forget the upload of a job that has ended, unless someone may want to import what was checked; and the upload
        that it was checked with before, where it has been imported now.
        """
        if await self._write(lambda session: jobs.is_active(session, job_id)):
            return
        kept = await self._write(lambda session: jobs.keeps_files(session, job_id))
        await asyncio.to_thread(keep_upload if kept else remove_upload, self._home, job_id)
        checked = await self._write(lambda session: jobs.imported_check(session, job_id))
        if checked is not None:
            await asyncio.to_thread(remove_upload, self._home, checked)

    async def _write(self, work: Callable[[Session], Result]) -> Result:
        """Run ``work`` in a transaction, as often as it takes until the database answers.

        :raise Gone: the worker stops and the database stays away.
        """
        wait_s = FIRST_WAIT_S
        last_tries_s = _LAST_TRIES_S
        while True:
            try:
                return await asyncio.to_thread(self._once, work)
            except AWAY as error:
                log.warning("the database does not answer (%s); again in %.1f s", str(error).split("\n")[0], wait_s)
            if self._stopping.is_set():
                if last_tries_s <= 0:
                    raise Gone
                last_tries_s -= wait_s
            await asyncio.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    def _once(self, work: Callable[[Session], Result]) -> Result:
        with transaction(self._engine) as session:
            return work(session)


def _last_log(process: JobProcess | None, started: Started, words: str) -> Report:
    """The log alone: whatever else there was to report may be what could not be written."""
    if process is None:
        return Report(log_tail=f"{started.log_tail}\n{words}".strip())
    process.note(words)
    return Report(log_tail=process.news().log_tail)


def _interrupted(news: Report) -> Report:
    return Report(news.progress, "interrupted; goes on with the next worker", news.log_tail)
