"""Rows of jobs and the queue: who is let in, who has a job, and how often a mishap is forgiven."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select, text

from app.store import jobs, queue
from app.store.database import check, downgrade, transaction, upgrade
from app.store.job_table import Job
from app.store.jobs import MAX_CRASHES, MAX_INTERRUPTIONS, Ending, NewJob, Report
from app.store.tables import AccessKey


@pytest.fixture
def engine(own_engine: Engine) -> Engine:
    """A migrated database of this test alone."""
    return own_engine


def new(kind: Any = "bottlenecks", *, exclusive: bool = True, **more: Any) -> NewJob:
    return NewJob(uuid4(), kind, {}, exclusive, **more)


def add(engine: Engine, job: NewJob) -> UUID | None:
    with transaction(engine) as session:
        made = jobs.add_job(session, job)
        return None if made is None else made.id


def row(engine: Engine, job_id: UUID) -> Job:
    with transaction(engine) as session:
        return session.get_one(Job, job_id)


def waiting(engine: Engine) -> list[tuple[int, str]]:
    """(number, job's id) of everything in the queue."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id, args->>'job_id' FROM procrastinate_jobs ORDER BY id"))
        return [(number, job_id) for number, job_id in found]


def start(engine: Engine, job_id: UUID) -> int:
    """Begin what the queue would give a worker next; returns its number there."""
    with transaction(engine) as session:
        queue_id = session.get_one(Job, job_id).queue_id
        assert queue_id is not None
        assert jobs.start_attempt(session, job_id, queue_id) is not None
        return queue_id


def test_a_job_enters_the_queue_in_the_transaction_that_makes_it_or_not_at_all(engine: Engine) -> None:
    kept = add(engine, new())
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        assert jobs.add_job(session, new("import", exclusive=False)) is not None
        _ = 1 / 0
    assert [job_id for _, job_id in waiting(engine)] == [str(kept)]
    assert row(engine, kept).queue_id == waiting(engine)[0][0]  # type: ignore[arg-type]


def test_two_who_ask_at_once_for_a_training_get_one(engine: Engine) -> None:
    outcomes = []
    barrier = threading.Barrier(4)

    def ask(kind: str) -> None:
        barrier.wait()
        outcomes.append(add(engine, new(kind)))

    threads = [threading.Thread(target=ask, args=(kind,)) for kind in ("train", "retrain", "bottlenecks", "train")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [made] = [job_id for job_id in outcomes if job_id is not None]
    with transaction(engine) as session:
        found = jobs.exclusive_job(session)
        assert found is not None and found.id == made
    queue_id = start(engine, made)
    assert add(engine, new("train")) is None
    with transaction(engine) as session:
        assert jobs.end(session, made, queue_id, Ending("failed", error={"code": "internal", "message": "no"}))
    assert add(engine, new("train")) is not None


def test_imports_and_their_follow_ups_are_let_in_beside_a_training(engine: Engine) -> None:
    assert add(engine, new("train"))
    assert add(engine, new("import", exclusive=False))
    assert add(engine, new("import", exclusive=False))
    first = add(engine, new(exclusive=False))
    assert first
    assert add(engine, new(exclusive=False)) is None, "the one that waits will find these photos too"
    start(engine, first)
    assert add(engine, new(exclusive=False)), "the one that runs may have looked before they came"


def test_a_follow_up_that_was_interrupted_waits_beside_a_fresh_one(engine: Engine) -> None:
    first = add(engine, new(exclusive=False))
    assert first
    queue_id = start(engine, first)
    assert add(engine, new(exclusive=False))
    with transaction(engine) as session:
        assert jobs.give_back(session, first, queue_id, Report())
    assert row(engine, first).state == "queued"


def test_an_attempt_that_lost_its_job_writes_nothing_more(engine: Engine) -> None:
    job_id = add(engine, new())
    assert job_id
    old = start(engine, job_id)
    with transaction(engine) as session:
        assert jobs.rescue(session, old) == job_id
    current = start(engine, job_id)
    assert current != old
    with transaction(engine) as session:
        assert jobs.report(session, job_id, old, Report(progress=0.9)) is None
        assert not jobs.end(session, job_id, old, Ending("succeeded", result={}))
        assert not jobs.give_back(session, job_id, old, Report(step="mine"))
        assert not jobs.strike(session, job_id, old, Report(), crashed=True, delay_s=0)
        assert jobs.start_attempt(session, job_id, old) is None
        assert jobs.rescue(session, old) is None
    found = row(engine, job_id)
    assert (found.state, found.attempts, found.interruptions, found.crashes) == ("running", 2, 1, 0)
    assert found.progress == 0
    assert waiting(engine) == [(current, str(job_id))]


def test_a_job_that_has_ended_is_not_done_again(engine: Engine) -> None:
    job_id = add(engine, new())
    assert job_id
    queue_id = start(engine, job_id)
    with transaction(engine) as session:
        assert jobs.end(session, job_id, queue_id, Ending("succeeded", result={"photos": 3}))
    with transaction(engine) as session:
        again = queue.enqueue(session, job_id, "bottlenecks")
        assert jobs.start_attempt(session, job_id, again) is None
        assert jobs.start_attempt(session, job_id, queue_id) is None
    found = row(engine, job_id)
    assert (found.state, found.result, found.progress, found.attempts) == ("succeeded", {"photos": 3}, 1.0, 1)


@pytest.mark.parametrize(("crashed", "limit"), [(True, MAX_CRASHES), (False, MAX_INTERRUPTIONS)])
def test_mishaps_are_forgiven_so_often_and_no_more(engine: Engine, crashed: bool, limit: int) -> None:
    job_id = add(engine, new())
    assert job_id
    for _ in range(limit):
        queue_id = start(engine, job_id)
        with transaction(engine) as session:
            assert jobs.strike(session, job_id, queue_id, Report(), crashed=crashed, delay_s=0)
        assert row(engine, job_id).state == "queued"
    queue_id = start(engine, job_id)
    with transaction(engine) as session:
        jobs.strike(session, job_id, queue_id, Report(), crashed=crashed, delay_s=0)
    found = row(engine, job_id)
    assert found.state == "failed"
    assert found.error["code"] == "job_abandoned"
    assert f"begun {limit + 1} times" in found.error["message"]


def test_a_worker_that_took_a_job_and_died_before_it_began_costs_the_job_nothing(engine: Engine) -> None:
    job_id = add(engine, new())
    assert job_id
    [(queue_id, _)] = waiting(engine)
    with transaction(engine) as session:
        assert jobs.rescue(session, queue_id) == job_id
    found = row(engine, job_id)
    assert (found.state, found.interruptions) == ("queued", 0)
    assert [job for _, job in waiting(engine)] == [str(job_id)]
    assert found.queue_id != queue_id


def test_cancelling_a_waiting_job_takes_it_out_of_the_queue_at_once(engine: Engine) -> None:
    job_id = add(engine, new())
    assert job_id
    with transaction(engine) as session:
        jobs.cancel(session, session.get_one(Job, job_id))
    assert row(engine, job_id).state == "cancelled"
    assert waiting(engine) == []
    assert add(engine, new("train"))


@pytest.mark.parametrize("way", ["rescue", "strike", "start"])
def test_a_wish_to_cancel_outlives_the_worker(engine: Engine, way: str) -> None:
    job_id = add(engine, new())
    assert job_id
    queue_id = start(engine, job_id)
    if way == "start":
        with transaction(engine) as session:
            jobs.give_back(session, job_id, queue_id, Report())
            session.get_one(Job, job_id).cancel_requested = True
        with transaction(engine) as session:
            job = session.get_one(Job, job_id)
            assert jobs.start_attempt(session, job_id, job.queue_id or 0) is None
    else:
        with transaction(engine) as session:
            jobs.cancel(session, session.get_one(Job, job_id))
        assert row(engine, job_id).state == "running"
        with transaction(engine) as session:
            assert jobs.report(session, job_id, queue_id, Report(progress=0.5)) is True
            if way == "rescue":
                assert jobs.rescue(session, queue_id) is None
            else:
                jobs.strike(session, job_id, queue_id, Report(), crashed=True, delay_s=0)
    assert row(engine, job_id).state == "cancelled"


def test_reports_change_only_what_they_name(engine: Engine) -> None:
    job_id = add(engine, new())
    assert job_id
    queue_id = start(engine, job_id)
    with transaction(engine) as session:
        error = {"line": 3, "sku": "a", "field": "price", "value": "x", "reason": "is not a price"}
        assert jobs.report(session, job_id, queue_id, Report(0.25, "decoding", "one", [error], 7)) is False
        assert jobs.report(session, job_id, queue_id, Report(progress=0.5)) is False
        assert jobs.report(session, job_id, queue_id, Report()) is False
    found = row(engine, job_id)
    assert (found.progress, found.step, found.log_tail) == (0.5, "decoding", "one")
    assert (found.row_errors, found.row_errors_total) == ([error], 7)


def test_one_job_a_key_and_idempotency_key(engine: Engine) -> None:
    with transaction(engine) as session:
        session.add_all([AccessKey(id=n, role="admin", prefix="p", key_sha256=str(n) * 64) for n in (1, 2)])
    same = {"exclusive": False, "idempotency_key": "monday", "request_sha256": "a" * 64}
    first = add(engine, new("import", key_id=1, **same))
    assert first
    assert add(engine, new("import", key_id=1, **same)) is None
    assert add(engine, new("import", key_id=2, **same))
    assert add(engine, new("import", exclusive=False, key_id=1))
    with transaction(engine) as session:
        found = jobs.find_by_key(session, 1, "monday")
        assert found is not None and found.id == first


def test_jobs_that_ended_long_ago_are_forgotten_and_no_others(engine: Engine) -> None:
    old, young, waiting_job, running = (add(engine, new("import", exclusive=False)) for _ in range(4))
    follow_up = add(engine, new(exclusive=False, parent_id=old))
    now = datetime.now(UTC)
    for job_id, ended in ((old, now - timedelta(days=9)), (young, now - timedelta(days=7))):
        assert job_id is not None
        queue_id = start(engine, job_id)
        with transaction(engine) as session:
            assert jobs.end(session, job_id, queue_id, Ending("failed", error={"code": "x", "message": "y"}))
            session.get_one(Job, job_id).finished_at = ended
    assert running is not None and start(engine, running)
    with transaction(engine) as session:
        for job in session.scalars(select(Job).where(Job.finished_at.is_(None))):
            job.created_at = now - timedelta(days=1000)
    for expected in (1, 0):
        with transaction(engine) as session:
            assert jobs.remove_ended(session, now - timedelta(days=8)) == expected
    with transaction(engine) as session:
        assert set(session.scalars(select(Job.id))) == {young, waiting_job, running, follow_up}
        assert follow_up is not None and session.get_one(Job, follow_up).parent_id is None


def test_attempts_of_a_worker_that_was_struck_off_are_its_own_again(engine: Engine) -> None:
    job_id = add(engine, new())
    assert job_id
    [(queue_id, _)] = waiting(engine)
    with transaction(engine) as session:
        worker = session.scalar(text("SELECT procrastinate_register_worker_v1()"))
        session.execute(text("SELECT procrastinate_fetch_job_v2(ARRAY['pickture'], :worker)"), {"worker": worker})
        assert queue.strays(session, worker, []) == [queue_id]
        assert queue.strays(session, worker, [queue_id]) == []
        assert queue.workers_alive(session, 20) == 1
        session.execute(text("DELETE FROM procrastinate_workers"))
        assert queue.workers_alive(session, 20) == 0
        queue.stay_registered(session, worker, [queue_id])
        assert queue.workers_alive(session, 20) == 1
        assert session.scalar(text("SELECT worker_id FROM procrastinate_jobs")) == worker


def test_the_migration_keeps_what_is_there_and_its_downgrade_leaves_nothing_of_the_queue(
    empty_engine: Engine,
) -> None:
    upgrade(empty_engine, "0002")
    with transaction(empty_engine) as session:
        session.add(AccessKey(id=1, role="admin", prefix="p", key_sha256="1" * 64))
    upgrade(empty_engine)
    assert add(empty_engine, new("import", exclusive=False, key_id=1))
    assert check(empty_engine).problems == ()
    downgrade(empty_engine, "0002")
    with transaction(empty_engine) as session:
        assert session.scalars(select(AccessKey.id)).all() == [1]
        for catalogue, name in (("pg_class", "relname"), ("pg_proc", "proname"), ("pg_type", "typname")):
            left = session.scalars(text(f"SELECT {name} FROM {catalogue} WHERE {name} LIKE '%procrastinate%'")).all()
            assert left == []
    upgrade(empty_engine)
    assert check(empty_engine).problems == ()
