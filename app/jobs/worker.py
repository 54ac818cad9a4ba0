"""The worker: takes jobs from the queue and runs each in a process of its own (``python -m app worker``)."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from procrastinate import App, JobContext
from procrastinate.worker import Worker
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import DatabaseUnavailable
from app.jobs.attempt import Attempts
from app.jobs.connector import AWAY, FIRST_WAIT_S, LONGEST_WAIT_S, PatientConnector
from app.services.catalogue.uploads import remove_forgotten
from app.services.jobs import HEARTBEAT_S, STALLED_S
from app.services.retention import Retention
from app.services.spaces import ask_outbox
from app.store import jobs, queue
from app.store.database import open_database, require_current, transaction

log = logging.getLogger(__name__)

CONCURRENCY = 2
"""Jobs at once: an import need not wait for hours until a training ends. Each kind runs one at a time anyway."""

_TIDY_EVERY = 120
"""Housekeeping rounds between two looks for forgotten uploads."""


@dataclass(frozen=True, slots=True)
class WorkerTimes:
    """How often the worker says that it lives, how long others may be silent, how often it looks for both.

    The silence must be several times the heartbeat. retention_s: between two looks for what shoppers sent long ago.
    All in seconds.
    """

    heartbeat_s: float = HEARTBEAT_S
    stalled_s: float = STALLED_S
    round_s: float = HEARTBEAT_S
    retention_s: float = 3600.0


def run_worker(settings: Settings, times: WorkerTimes | None = None) -> None:
    """Work until SIGTERM or SIGINT; running jobs are then interrupted and wait for the next worker.

    Waits where the database is away, at the start and later.

    :raise DatabaseOutdated: the database is at another revision than this code needs.
    """
    asyncio.run(_run(settings, times or WorkerTimes()))


async def _run(settings: Settings, times: WorkerTimes) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    engine = await _opened(settings, stopping)
    if engine is None:
        return
    try:
        await _JobWorker(settings, engine, times, stopping).run()
    finally:
        engine.dispose()


async def _opened(settings: Settings, stopping: asyncio.Event) -> Engine | None:
    """The database, once it answers; None where the worker was stopped before."""
    wait_s = FIRST_WAIT_S
    while not stopping.is_set():
        try:
            return await asyncio.to_thread(_open, settings)
        except DatabaseUnavailable as error:
            log.warning("the database does not answer (%s); again in %.1f s", error, wait_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), wait_s)
        wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
    return None


def _open(settings: Settings) -> Engine:
    engine = open_database(settings)
    try:
        require_current(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


class _JobWorker:
    def __init__(self, settings: Settings, engine: Engine, times: WorkerTimes, stopping: asyncio.Event) -> None:
        self._settings = settings
        self._engine = engine
        self._times = times
        self._stopping = stopping
        self._attempts = Attempts(settings, engine, stopping)
        self._running: set[int] = set()
        self._suspects: frozenset[int] = frozenset()
        self._rounds = 0

    async def run(self) -> None:
        app = self._app()
        async with app.open_async():
            worker = Worker(
                app,
                queues=[queue.QUEUE],
                concurrency=CONCURRENCY,
                install_signal_handlers=False,
                delete_jobs="always",
                update_heartbeat_interval=self._times.heartbeat_s,
                stalled_worker_timeout=self._times.stalled_s,
            )
            working = asyncio.create_task(worker.run())  # type: ignore[no-untyped-call]
            keeping = asyncio.create_task(self._keep_house(app, worker))
            forgetting = asyncio.create_task(self._apply_retention())
            told = asyncio.create_task(self._stopping.wait())
            log.info("the worker is ready for jobs")
            await asyncio.wait({working, told}, return_when=asyncio.FIRST_COMPLETED)
            self._stopping.set()  # whatever ended it, its jobs go to the next worker
            worker.stop()  # type: ignore[no-untyped-call]
            try:
                await working
            finally:
                for task in (keeping, forgetting, told):
                    task.cancel()
                await asyncio.gather(keeping, forgetting, told, return_exceptions=True)
        log.info("the worker has stopped")

    def _app(self) -> App:
        app = App(connector=PatientConnector(self._engine, **_connection(self._engine)))

        async def run_job(context: JobContext, job_id: str) -> None:
            queue_id = context.job.id
            assert queue_id is not None
            self._running.add(queue_id)
            try:
                await self._attempts.run(UUID(job_id), queue_id)
            finally:
                self._running.discard(queue_id)

        app.task(name=queue.TASK, queue=queue.QUEUE, pass_context=True)(run_job)
        return app

    async def _keep_house(self, app: App, worker: Worker) -> None:
        """Again and again: say which jobs this worker has, give those of lost workers to the next, and ask for what
        live spaces lack.
        """
        while True:
            await asyncio.sleep(self._times.round_s)
            try:
                stalled = await app.job_manager.get_stalled_jobs(
                    queue=queue.QUEUE, seconds_since_heartbeat=self._times.stalled_s
                )
                found = {job.id for job in stalled if job.id is not None}
                await asyncio.to_thread(self._round, worker.worker_id, found, sorted(self._running))
            except AWAY as error:
                log.warning("housekeeping: the database does not answer (%s)", str(error).split("\n")[0])
            except Exception:
                log.exception("housekeeping failed; it is tried again")

    async def _apply_retention(self) -> None:
        """At the start and again and again: remove what shoppers sent when its time is over.

        Not a job of the queue: it needs no process of its own, and several workers that do it at once share it.
        """
        retention = Retention.of(self._settings, self._engine)
        while True:
            try:
                await asyncio.to_thread(retention.apply)
            except AWAY as error:
                log.warning("retention: the database does not answer (%s)", str(error).split("\n")[0])
            except Exception:
                log.exception("retention failed; it is tried again")
            await asyncio.sleep(self._times.retention_s)

    def _round(self, worker_id: int | None, stalled: Iterable[int], running: list[int]) -> None:
        with transaction(self._engine) as session:
            if worker_id is not None:
                queue.stay_registered(session, worker_id, running)
                stalled = {*stalled, *queue.strays(session, worker_id, running)}
            suspects = frozenset((*stalled, *jobs.orphans(session))) - set(running)
            # Seen in two rounds: after the database was away, every worker has been silent for a moment.
            for queue_id in sorted(suspects & self._suspects):
                _rescue(session, queue_id)
            self._suspects = suspects
            ask_outbox(session, self._settings.home)
            active = jobs.active_ids(session) if self._rounds % _TIDY_EVERY == 0 else None
        if active is not None:
            remove_forgotten(self._settings.home, active)
        self._rounds += 1


def _rescue(session: Session, queue_id: int) -> None:
    job_id = jobs.rescue(session, queue_id)
    if job_id is not None:
        log.warning("job %s had lost its worker, or its place in the queue; it goes on now", job_id)


def _connection(engine: Engine) -> dict[str, Any]:
    """psycopg's way to the database that our engine uses over psycopg2."""
    url = engine.url
    place: dict[str, Any] = {
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
        "user": url.username,
        "password": url.password,
    }
    place |= {
        name: value for name, value in url.query.items() if isinstance(value, str)
    }  # the embedded server's socket, TLS options
    kwargs = {name: value for name, value in place.items() if value is not None}
    kwargs |= {"application_name": "pickture-worker", "options": "-c timezone=UTC", "connect_timeout": 10}
    return {"kwargs": kwargs, "min_size": 1, "max_size": CONCURRENCY + 2, "timeout": 10.0, "reconnect_timeout": 5.0}
