"""Rows of jobs: how one is asked for, begun, reported on, given back and ended.

Every write of a worker names the queue's number of its attempt (``queue_id``). Once a job was given to
another attempt, cancelled or ended, nothing written under the old number has any effect.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args
from uuid import UUID

from sqlalchemy import delete, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.store import queue
from app.store.job_table import Job

JobKind = Literal["import", "bottlenecks", "train", "retrain", "outbox"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
KINDS: tuple[JobKind, ...] = get_args(JobKind)
STATES: tuple[JobState, ...] = get_args(JobState)
ACTIVE: tuple[JobState, ...] = ("queued", "running")

MAX_INTERRUPTIONS = 30
"""Lost workers a job survives: a machine that is switched off every evening must not fail a long training."""

MAX_CRASHES = 3
"""Ends of its own process without a word (the system ran out of memory, a library broke) that a job survives."""

PAUSE_AFTER_FAILURE = timedelta(minutes=10)
"""How long a kind of job that workers ask for by themselves rests after one failed."""

_LOCKS: Mapping[str, str] = {"import": "import", "bottlenecks": "bottlenecks", "outbox": "outbox"}
_LOCK_CHECKED: Final = "SELECT pg_advisory_xact_lock(hashtext('pickture.checked'))"

_KEEPS: Final = Job.payload["keep_files"].as_boolean() & Job.payload["dry_run"].as_boolean()


def lock_of(kind: str) -> str:
    """What a job of this kind waits for in the queue; all that train share one lock."""
    return _LOCKS.get(kind, "training")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be. See ``app.store.job_table.Job``."""

    id: UUID
    kind: JobKind
    payload: Mapping[str, Any]
    exclusive: bool
    key_id: int | None = None
    parent_id: UUID | None = None
    idempotency_key: str | None = None
    request_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class JobPosition:
    """Where a page of jobs ended, newest first."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt that may begin. log_tail: what earlier attempts wrote."""

    kind: JobKind
    payload: Mapping[str, Any]
    attempt: int
    log_tail: str


@dataclass(frozen=True, slots=True)
class Report:
    """How far an attempt is; None leaves what is there."""

    progress: float | None = None
    step: str | None = None
    log_tail: str | None = None
    row_errors: Sequence[Mapping[str, Any]] | None = None
    row_errors_total: int | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended. error: {"code", "message"} where it failed. report: the last words."""

    state: JobState
    result: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None
    step: str | None = None
    report: Report = field(default_factory=Report)


def add_job(session: Session, job: NewJob) -> Job | None:
    """Insert a job and enqueue it; None where a rule of the table forbids it.

    The rules: one exclusive job at a time, one follow-up waiting, one job a key and idempotency key. Two who
    ask at once: the second waits for the first's transaction and is told by the index, not by a look before.
    """
    values = {
        "id": job.id,
        "kind": job.kind,
        "state": "queued",
        "exclusive": job.exclusive,
        "parent_id": job.parent_id,
        "key_id": job.key_id,
        "idempotency_key": job.idempotency_key,
        "request_sha256": job.request_sha256,
        "payload": dict(job.payload),
    }
    made = session.execute(insert(Job).values(values).on_conflict_do_nothing().returning(Job.id)).scalar_one_or_none()
    if made is None:
        return None
    row = session.get_one(Job, job.id)
    row.queue_id = queue.enqueue(session, row.id, lock_of(row.kind))
    session.flush()
    return row


def find_job(session: Session, job_id: UUID, *, lock: bool = False) -> Job | None:
    """One job. lock: keep others from changing it until the transaction ends."""
    wanted = select(Job).where(Job.id == job_id)
    return session.scalars(wanted.with_for_update() if lock else wanted).one_or_none()


def find_by_key(session: Session, key_id: int, idempotency_key: str) -> Job | None:
    """The job that this access key asked for with this idempotency key."""
    return session.scalars(
        select(Job).where(Job.key_id == key_id, Job.idempotency_key == idempotency_key)
    ).one_or_none()


def exclusive_job(session: Session) -> Job | None:
    """The exclusive job that waits or runs, if any."""
    return session.scalars(select(Job).where(Job.exclusive, Job.state.in_(ACTIVE))).one_or_none()


def list_jobs(
    session: Session, state: JobState | None, kind: JobKind | None, limit: int, after: JobPosition | None
) -> tuple[list[Job], JobPosition | None]:
    """A page of jobs, newest first, and where the next begins (None: there is no more)."""
    wanted = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit + 1)
    if state is not None:
        wanted = wanted.where(Job.state == state)
    if kind is not None:
        wanted = wanted.where(Job.kind == kind)
    if after is not None:
        wanted = wanted.where(tuple_(Job.created_at, Job.id) < tuple_(after.created_at, after.id))
    rows = list(session.scalars(wanted))
    more = len(rows) > limit
    rows = rows[:limit]
    return rows, JobPosition(rows[-1].created_at, rows[-1].id) if more else None


def active_ids(session: Session) -> set[UUID]:
    """Jobs that have not ended."""
    return set(session.scalars(select(Job.id).where(Job.state.in_(ACTIVE))))


def is_kind_busy(session: Session, kind: JobKind) -> bool:
    """Whether a job of the kind waits or runs, or failed a moment ago: asked again at once, it would fail again."""
    recent = func.now() - PAUSE_AFTER_FAILURE
    busy = Job.state.in_(ACTIVE) | ((Job.state == "failed") & (Job.finished_at > recent))
    return session.scalar(select(Job.id).where(Job.kind == kind, busy).limit(1)) is not None


def is_filling(session: Session) -> bool:
    """Whether a job that brings a space its photos waits or runs; an import is followed by one."""
    kinds: tuple[JobKind, ...] = ("import", "bottlenecks", "retrain")
    return session.scalar(select(Job.id).where(Job.kind.in_(kinds), Job.state.in_(ACTIVE)).limit(1)) is not None


def is_active(session: Session, job_id: UUID) -> bool:
    """Whether a job waits or runs."""
    return session.scalar(select(Job.id).where(Job.id == job_id, Job.state.in_(ACTIVE))) is not None


def remove_ended(session: Session, before: datetime) -> int:
    """Forget the jobs that ended before then; returns how many. Those that followed one stay, without its id."""
    gone = delete(Job).where(Job.state.not_in(ACTIVE), Job.finished_at < before).returning(Job.id)
    return len(session.execute(gone).all())


def keeps_files(session: Session, job_id: UUID) -> bool:
    """Whether what was uploaded for a job is wanted after its end: it was checked, and may now be imported."""
    return session.scalar(select(Job.id).where(Job.id == job_id, Job.state == "succeeded", _KEEPS)) is not None


def imported_check(session: Session, job_id: UUID) -> UUID | None:
    """The check whose files a job has imported, which nobody needs any more; None where it imported none."""
    applied = (Job.kind == "import") & (Job.state == "succeeded") & Job.result["applied"].as_boolean()
    return session.scalar(select(Job.parent_id).where(Job.id == job_id, applied))


def own_checked(session: Session) -> None:
    """Let nobody else add to what is kept after checks until this transaction ends."""
    session.execute(text(_LOCK_CHECKED))


def list_keeping(session: Session, among: Collection[UUID]) -> list[Job]:
    """Those of these jobs whose files are wanted after their end, ended or not; newest first."""
    states: tuple[JobState, ...] = (*ACTIVE, "succeeded")
    wanted = (Job.id.in_(among), Job.state.in_(states), _KEEPS)
    return list(session.scalars(select(Job).where(*wanted).order_by(Job.created_at.desc(), Job.id.desc())))


def start_attempt(session: Session, job_id: UUID, queue_id: int) -> Started | None:
    """Begin an attempt; None where there is nothing to do: ended, cancelled, or given to another attempt."""
    job = find_job(session, job_id, lock=True)
    if job is None or job.queue_id != queue_id or job.state not in ACTIVE:
        return None
    if job.cancel_requested:
        _end(job, Ending("cancelled", step="cancelled before it began"))
        return None
    job.state = "running"
    job.attempts += 1
    job.started_at = job.started_at or datetime.now(UTC)
    job.step = "starting"
    return Started(job.kind, dict(job.payload), job.attempts, job.log_tail)  # type: ignore[arg-type]


def report(session: Session, job_id: UUID, queue_id: int, news: Report) -> bool | None:
    """Write how far an attempt is. Returns whether it should be cancelled; None: it no longer has the job."""
    values = _changes(news)
    mine = (Job.id == job_id, Job.queue_id == queue_id, Job.state == "running")
    if values:
        return session.execute(
            update(Job).where(*mine).values(values).returning(Job.cancel_requested)
        ).scalar_one_or_none()
    return session.scalars(select(Job.cancel_requested).where(*mine)).one_or_none()


def end(session: Session, job_id: UUID, queue_id: int, ending: Ending) -> bool:
    """End a job; False where this attempt no longer has it, and nothing was written."""
    job = _mine(session, job_id, queue_id)
    if job is None:
        return False
    _end(job, ending)
    return True


def give_back(session: Session, job_id: UUID, queue_id: int, news: Report, *, delay_s: float = 0.0) -> bool:
    """Put a job back into the queue, to go on later; False where this attempt no longer has it."""
    job = _mine(session, job_id, queue_id)
    if job is None:
        return False
    _apply(job, news)
    _requeue(session, job, delay_s)
    return True


def strike(session: Session, job_id: UUID, queue_id: int, news: Report, *, crashed: bool, delay_s: float) -> bool:
    """``give_back`` after a mishap; the job fails when it has had too many.

    crashed: its own process ended without a word; otherwise the database or the worker went away.
    """
    job = _mine(session, job_id, queue_id)
    if job is None:
        return False
    _apply(job, news)
    _count_mishap(session, job, crashed=crashed, delay_s=delay_s)
    return True


def rescue(session: Session, queue_id: int) -> UUID | None:
    """Give the job of a lost attempt to the next worker; returns its id, None where no job waits for that."""
    job = session.scalars(select(Job).where(Job.queue_id == queue_id).with_for_update()).one_or_none()
    queue.discard(session, queue_id)
    if job is None or job.state not in ACTIVE:
        return None
    if job.state == "queued":  # taken from the queue, but not begun: no fault of the job's
        _requeue(session, job, 0.0)
    else:
        _count_mishap(session, job, crashed=False, delay_s=0.0)
    return job.id if job.state == "queued" else None


def orphans(session: Session) -> list[int]:
    """Attempts that the queue has forgotten although their jobs have not ended: an error nobody foresaw got there.

    A job that is given to another attempt at this moment may be among them; ``rescue`` leaves such a one alone.
    """
    numbers = session.scalars(select(Job.queue_id).where(Job.state.in_(ACTIVE), Job.queue_id.is_not(None)))
    return queue.forgotten(session, [number for number in numbers if number is not None])


def cancel(session: Session, job: Job) -> None:
    """Cancel a job that waits at once, and ask the worker of one that runs to. ``job``: locked, not ended."""
    job.cancel_requested = True
    if job.state == "queued":
        if job.queue_id is not None:
            queue.discard(session, job.queue_id)
        _end(job, Ending("cancelled", step="cancelled before it began"))


def _mine(session: Session, job_id: UUID, queue_id: int) -> Job | None:
    job = find_job(session, job_id, lock=True)
    return job if job is not None and job.queue_id == queue_id and job.state == "running" else None


def _changes(news: Report) -> dict[str, Any]:
    named: Collection[str] = ("progress", "step", "log_tail", "row_errors", "row_errors_total")
    return {name: value for name in named if (value := getattr(news, name)) is not None}


def _apply(job: Job, news: Report) -> None:
    for name, value in _changes(news).items():
        setattr(job, name, value)


def _end(job: Job, ending: Ending) -> None:
    _apply(job, ending.report)
    job.state = ending.state
    job.result = None if ending.result is None else dict(ending.result)
    job.error = None if ending.error is None else dict(ending.error)
    job.step = ending.step or job.step
    job.finished_at = datetime.now(UTC)
    if ending.state == "succeeded":
        job.progress, job.step = 1.0, "done"


def _requeue(session: Session, job: Job, delay_s: float) -> None:
    job.state = "queued"
    job.queue_id = queue.enqueue(session, job.id, lock_of(job.kind), delay_s=delay_s)


def _count_mishap(session: Session, job: Job, *, crashed: bool, delay_s: float) -> None:
    if job.cancel_requested:
        _end(job, Ending("cancelled", step="cancelled"))
        return
    if crashed:
        job.crashes += 1
    else:
        job.interruptions += 1
    if job.crashes > MAX_CRASHES or job.interruptions > MAX_INTERRUPTIONS:
        message = (
            f"it was begun {job.attempts} times and ended before its end each time "
            f"({job.crashes} crashes of its own, {job.interruptions} interruptions from outside); its log and the "
            "worker's say more; a process that ends without a word has mostly run out of memory"
        )
        _end(job, Ending("failed", error={"code": "job_abandoned", "message": message}, step="given up"))
        return
    job.step = "interrupted; goes on with the next worker"
    _requeue(session, job, delay_s)
