"""Errors that nobody foresaw in the worker itself: no job is left behind by them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError

from app.config import Settings
from app.jobs.attempt import Attempts
from app.jobs.process import JobProcess
from app.jobs.worker import WorkerTimes, _JobWorker
from app.store import jobs
from app.store.database import make_engine, transaction, upgrade
from app.store.job_table import Job
from app.store.jobs import MAX_CRASHES, NewJob, Report
from tests.app.store.world import new_database


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A migrated database of this test alone."""
    with new_database(database_url) as url:
        made = make_engine(url)
        upgrade(made)
        yield made
        made.dispose()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)  # type: ignore[call-arg]


@pytest.fixture
def job_id(engine: Engine) -> UUID:
    """A job that waits."""
    with transaction(engine) as session:
        made = jobs.add_job(session, NewJob(uuid4(), "bottlenecks", {}, exclusive=True))
        assert made is not None
        return made.id


def row(engine: Engine, job_id: UUID) -> Job:
    with transaction(engine) as session:
        return session.get_one(Job, job_id)


def attempt(settings: Settings, engine: Engine, job_id: UUID) -> Job:
    """Do what the worker does with the job when the queue gives it one; the job afterwards."""
    queue_id = row(engine, job_id).queue_id
    assert queue_id is not None

    async def run() -> None:
        await Attempts(settings, engine, asyncio.Event()).run(job_id, queue_id)

    asyncio.run(run())
    return row(engine, job_id)


def test_a_process_that_cannot_be_started_is_started_again_and_given_up_in_the_end(
    settings: Settings, engine: Engine, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(settings.home / "gone"))
    for crashes in range(1, MAX_CRASHES + 1):
        left = attempt(settings, engine, job_id)
        assert (left.state, left.crashes) == ("queued", crashes)
    left = attempt(settings, engine, job_id)
    assert (left.state, left.error["code"]) == ("failed", "job_abandoned")
    assert left.log_tail.count("the worker failed (FileNotFoundError") == MAX_CRASHES + 1


def test_a_report_that_the_database_refuses_ends_the_attempt_and_not_the_job(
    settings: Settings, engine: Engine, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = []

    async def start(*_: Any) -> JobProcess:
        process = await asyncio.create_subprocess_exec(
            "sleep", "600", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        made = JobProcess(process, "from before")
        made.keep(Report(row_errors=[{"value": "\x00"}], row_errors_total=1))
        processes.append(made)
        return made

    monkeypatch.setattr(JobProcess, "start", start)
    monkeypatch.setattr("app.jobs.attempt.LOOK_S", 0.01)
    left = attempt(settings, engine, job_id)
    assert (left.state, left.crashes, left.row_errors) == ("queued", 1, [])
    assert left.log_tail.splitlines()[0] == "from before"
    assert f"the worker failed ({DataError.__name__}" in left.log_tail
    assert processes[0].status is not None, "its process was ended"


def test_a_job_that_the_queue_has_forgotten_goes_on_after_two_looks(
    settings: Settings, engine: Engine, job_id: UUID
) -> None:
    with transaction(engine) as session:
        queue_id = session.get_one(Job, job_id).queue_id
        assert queue_id is not None and jobs.start_attempt(session, job_id, queue_id) is not None
        assert jobs.orphans(session) == []
        session.execute(text("DELETE FROM procrastinate_jobs"))
    worker = _JobWorker(settings, engine, WorkerTimes(), asyncio.Event())
    worker._round(None, [], [])
    assert row(engine, job_id).state == "running", "seen once: it may be given to another attempt at this moment"
    worker._round(None, [], [])
    left = row(engine, job_id)
    assert (left.state, left.interruptions) == ("queued", 1) and left.queue_id != queue_id
    worker._round(None, [], [])
    worker._round(None, [], [])
    assert row(engine, job_id).queue_id == left.queue_id, "it waits in the queue"
