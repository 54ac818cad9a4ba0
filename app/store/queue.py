"""The queue that hands jobs to workers: Procrastinate's SQL functions, called on the session's own connection.

So a job enters the queue in the transaction that makes its row, or not at all, and the service that enqueues
needs no Procrastinate; only the worker (``app.jobs``) does. A row of the queue is one attempt at a job: when a
worker was lost, the next attempt is a new row, and what the old one still tries to do concerns nobody.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

QUEUE = "pickture"
TASK = "pickture.run_job"
ARGUMENT = "job_id"
"""Name of the task's one argument, the job's id as text."""

_DEFER = text(
    """
    SELECT unnest(procrastinate_defer_jobs_v1(ARRAY[CAST(
        ROW(:queue, :task, 0, :lock, NULL, CAST(:args AS jsonb), CAST(:at AS timestamptz))
        AS procrastinate_job_to_defer_v1
    )]))
    """
)
_DISCARD = text("DELETE FROM procrastinate_jobs WHERE id = :id AND status IN ('todo', 'doing')")
_STRAYS = text(
    "SELECT id FROM procrastinate_jobs "
    "WHERE status = 'doing' AND worker_id = :worker AND queue_name = :queue AND id <> ALL(:running)"
)
_FORGOTTEN = text(
    "SELECT asked.id FROM unnest(CAST(:ids AS bigint[])) AS asked(id) WHERE NOT EXISTS ("
    "SELECT 1 FROM procrastinate_jobs AS waiting WHERE waiting.id = asked.id AND waiting.status IN ('todo', 'doing'))"
)
_REGISTER = text(
    "INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (:worker) "
    "ON CONFLICT (id) DO UPDATE SET last_heartbeat = now()"
)
_RECLAIM = text(
    "UPDATE procrastinate_jobs SET worker_id = :worker "
    "WHERE id = ANY(:running) AND status = 'doing' AND worker_id IS DISTINCT FROM :worker"
)
_ALIVE = text(
    "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :seconds)"
)


def enqueue(session: Session, job_id: UUID, lock: str, *, delay_s: float = 0.0) -> int:
    """Hand a job to the workers; returns the queue's number for this attempt.

    lock: of the jobs with the same lock one runs at a time, in the order they came. delay_s: not before.
    """
    at = datetime.now(UTC) + timedelta(seconds=delay_s) if delay_s > 0 else None
    values = {"queue": QUEUE, "task": TASK, "lock": lock, "args": json.dumps({ARGUMENT: str(job_id)}), "at": at}
    return int(session.execute(_DEFER, values).scalar_one())


def discard(session: Session, queue_id: int) -> None:
    """Take an attempt out of the queue, waiting or under way; nothing happens where it is not in it."""
    session.execute(_DISCARD, {"id": queue_id})


def strays(session: Session, worker_id: int, running: list[int]) -> list[int]:
    """Attempts that the queue gave to this worker, but that it does not have: the answer was lost on its way."""
    return list(session.scalars(_STRAYS, {"worker": worker_id, "queue": QUEUE, "running": running}))


def forgotten(session: Session, queue_ids: list[int]) -> list[int]:
    """Those of these attempts that are neither waiting in the queue nor under way."""
    return list(session.scalars(_FORGOTTEN, {"ids": queue_ids}))


def stay_registered(session: Session, worker_id: int, running: list[int]) -> None:
    """Tell that a worker lives and has these attempts, also where another has struck it off meanwhile."""
    session.execute(_REGISTER, {"worker": worker_id})
    session.execute(_RECLAIM, {"worker": worker_id, "running": running})


def workers_alive(session: Session, within_s: float) -> int:
    """Workers that were heard of during the last ``within_s`` seconds."""
    return int(session.execute(_ALIVE, {"seconds": within_s}).scalar_one())
