"""Asking for long tasks, looking at them and cancelling them. The work itself is the worker's (``app.jobs``)."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.errors import (
    CursorInvalid,
    IdempotencyKeyReused,
    JobEnded,
    JobNotFound,
    JobRunning,
    StorageFull,
    UploadGone,
    UploadsFull,
)
from app.services.access import Principal
from app.services.catalogue.uploads import (
    MOST_CHECKED,
    digests,
    is_kept,
    remove_upload,
    size_bytes,
    take_kept,
    upload_folder,
    uploaded,
)
from app.services.cursors import Cursors
from app.store import jobs
from app.store.database import transaction
from app.store.job_table import Job
from app.store.jobs import JobKind, JobPosition, JobState, NewJob
from app.store.queue import workers_alive

HEARTBEAT_S = 5.0
"""How often a worker says that it lives."""

STALLED_S = 20.0
"""How long a worker may be silent before its jobs are given to another; a database that is away counts for nobody."""

_LISTING = "jobs"
_TRIES = 5
_ONCE_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """A job that was asked for. is_new: False where the same request had come before and made it."""

    job: Job
    is_new: bool


@dataclass(frozen=True, slots=True)
class CheckedUpload:
    """Files kept, or to be kept, to be imported once they have been checked. job: which checks them."""

    job: Job
    size_bytes: int


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs, newest first. workers: that live now."""

    items: tuple[Job, ...]
    next_cursor: str | None
    workers: int


class JobService:
    """Jobs as the administrator sees them.

    most_checked_bytes: how much all uploads together may take that are kept once they have been checked.
    """

    def __init__(self, engine: Engine, home: Path, cursors: Cursors, most_checked_bytes: int) -> None:
        self._engine = engine
        self._home = home
        self._cursors = cursors
        self.most_checked_bytes = most_checked_bytes

    def ask(
        self, caller: Principal, kind: JobKind, payload: Mapping[str, Any], idempotency_key: str | None = None
    ) -> Asked:
        """Ask for a job of a kind that is let in one at a time.

        :raise JobRunning: another has not ended; the error names it.
        :raise IdempotencyKeyReused: the key came with another request before.
        """
        digest = _digest([kind, dict(payload)])
        return self._add(NewJob(uuid4(), kind, payload, True, caller.key_id, None, idempotency_key, digest))

    def ask_import(
        self,
        caller: Principal,
        job_id: UUID,
        *,
        dry_run: bool,
        strict: bool,
        keep_files: bool = False,
        idempotency_key: str | None = None,
        once: str | None = None,
    ) -> Asked:
        """Ask for the import of what ``spooled(job_id)`` holds.

        keep_files: after a dry run, so that ``ask_import_of`` can import them. once: in place of a key, names the form
        that these files came with: sent twice it makes one job; with other files or answers, as nobody would
        want to send two gigabytes again for a new form, it makes another.

        :raise IdempotencyKeyReused: the key came with another request or other files before.
        :raise UploadsFull: with ``keep_files``, as many are kept as may be.
        """
        payload = {"dry_run": dry_run, "strict": strict} | ({"keep_files": True} if keep_files else {})
        new = self._import(caller, job_id, payload, idempotency_key, once)
        return self._add(new, self._require_room if keep_files else None)

    def ask_import_of(self, caller: Principal, checked: UUID, *, strict: bool, once: str | None = None) -> Asked:
        """Ask for the import of what the job ``checked`` was asked to check, with ``keep_files``. once: as there.

        What was checked is kept until its hour is over or it has been imported.

        :raise JobNotFound: there is none of this id.
        :raise UploadGone: its files are not kept, or not any more, or it is no check that has succeeded.
        """
        job = self.job(checked)
        names = job.payload["files"] if self.can_import(job) else ()
        job_id = uuid4()
        with self.spooled(job_id) as folder:
            take_kept(self._home, checked, names, folder)
            new = self._import(caller, job_id, {"dry_run": False, "strict": strict}, None, once)
            return self._add(replace(new, parent_id=checked))

    def checked_uploads(self) -> tuple[CheckedUpload, ...]:
        """What is kept, or will be, after a check; newest first."""
        with transaction(self._engine) as session:
            return self._checked(session)

    def forget_checked(self, job_id: UUID) -> None:
        """Delete what is kept after the check ``job_id``; a check that has not ended is cancelled.

        :raise JobNotFound: there is none of this id. :raise UploadGone: nothing is kept after that job (any more).
        """
        with transaction(self._engine) as session:
            job = next((upload.job for upload in self._checked(session) if upload.job.id == job_id), None)
        if job is None:
            self.job(job_id)
            raise UploadGone(f"the files of job {job_id} are not kept any more", str(job_id))
        with suppress(JobEnded):  # a moment ago
            self.cancel(job_id)
            return
        remove_upload(self._home, job_id)

    def can_import(self, job: Job) -> bool:
        """Whether ``ask_import_of`` this job would find its files."""
        checked = job.kind == "import" and job.state == "succeeded" and job.payload.get("dry_run")
        return bool(checked) and is_kept(self._home, job.id)

    @contextmanager
    def spooled(self, job_id: UUID) -> Iterator[Path]:
        """A new private folder for a job's upload; gone after the block unless ``ask_import`` made the job.

        :raise StorageFull: the disk is full.
        """
        folder = upload_folder(self._home, job_id)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(mode=0o700)
            yield folder
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull("the disk is full: the upload was dropped; try again when there is room") from error
            raise
        finally:
            # Whatever failed: without a job nobody would ever look here again. A database that cannot tell
            # leaves the folder to the worker's housekeeping.
            if not self._is_wanted(job_id):
                shutil.rmtree(folder, ignore_errors=True)

    def page(self, state: JobState | None, kind: JobKind | None, limit: int, cursor: str | None = None) -> JobPage:
        """One page, newest first. :raise CursorInvalid: not of this listing."""
        request = {"state": state, "kind": kind}
        after = None if cursor is None else _position(self._cursors.read(_LISTING, request, cursor))
        with transaction(self._engine) as session:
            items, position = jobs.list_jobs(session, state, kind, limit, after)
            workers = workers_alive(session, STALLED_S)
        following = None
        if position is not None:
            following = self._cursors.write(_LISTING, request, [position.created_at.isoformat(), str(position.id)])
        return JobPage(tuple(items), following, workers)

    def job(self, job_id: UUID) -> Job:
        """One job. :raise JobNotFound: there is none of this id."""
        with transaction(self._engine) as session:
            return _found(jobs.find_job(session, job_id), job_id)

    def cancel(self, job_id: UUID) -> Job:
        """Cancel a job: at once where it waits, within seconds where it runs. Cancelling again changes nothing.

        What a job has committed stays: photos computed, a model published a moment before.

        :raise JobNotFound: there is none of this id. :raise JobEnded: it succeeded or failed before.
        """
        with transaction(self._engine) as session:
            job = _found(jobs.find_job(session, job_id, lock=True), job_id)
            if job.state in ("succeeded", "failed"):
                raise JobEnded(f"job {job_id} has {job.state} and cannot be cancelled", str(job_id))
            if job.state != "cancelled":
                jobs.cancel(session, job)
        if job.state == "cancelled":
            remove_upload(self._home, job_id)
        return job

    def _import(
        self, caller: Principal, job_id: UUID, payload: Mapping[str, Any], idempotency_key: str | None, once: str | None
    ) -> NewJob:
        files = digests(upload_folder(self._home, job_id))
        payload = {**payload, "files": sorted(files)}
        digest = _digest(["import", payload, files])
        key = idempotency_key if once is None else f"{once}-{digest[:_ONCE_DIGITS]}"
        return NewJob(job_id, "import", payload, False, caller.key_id, None, key, digest)

    def _checked(self, session: Session) -> tuple[CheckedUpload, ...]:
        found = jobs.list_keeping(session, uploaded(self._home))
        return tuple(CheckedUpload(job, size_bytes(self._home, job.id)) for job in found)

    def _require_room(self, session: Session) -> None:
        """:raise UploadsFull: with the job that was just added, more is kept after checks than may be."""
        jobs.own_checked(session)
        kept = self._checked(session)
        taken = sum(upload.size_bytes for upload in kept)
        if len(kept) > MOST_CHECKED or taken > self.most_checked_bytes:
            raise UploadsFull(
                f"at most {MOST_CHECKED} checked uploads are kept, of {self.most_checked_bytes:,} bytes together; "
                "import or delete some of those that are there first, or wait: each goes an hour after its check"
            )

    def _add(self, new: NewJob, check: Callable[[Session], None] | None = None) -> Asked:
        """check: raises where the job that was just added may not be; it is taken back then."""
        for _ in range(_TRIES):
            with transaction(self._engine) as session:
                made = jobs.add_job(session, new)
                if made is not None:
                    session.refresh(made)
                    if check is not None:
                        check(session)
                    return Asked(made, True)
                before = _same_request(session, new)
                if before is not None:
                    return Asked(before, False)
                running = jobs.exclusive_job(session) if new.exclusive else None
                if running is not None:
                    raise JobRunning(
                        f"job {running.id} ({running.kind}) is {running.state}; wait for its end, or cancel it",
                        str(running.id),
                    )
        # Each time what stood in the way had ended by the next look.
        raise JobRunning("other jobs come and go at this moment; try again")

    def _is_wanted(self, job_id: UUID) -> bool:
        with transaction(self._engine) as session:
            return jobs.find_job(session, job_id) is not None


def _same_request(session: Session, new: NewJob) -> Job | None:
    """The job that this key made before.

    :raise IdempotencyKeyReused: with another request.
    """
    if new.key_id is None or new.idempotency_key is None:
        return None
    before = jobs.find_by_key(session, new.key_id, new.idempotency_key)
    if before is not None and before.request_sha256 != new.request_sha256:
        raise IdempotencyKeyReused(
            f"the Idempotency-Key {new.idempotency_key!r} came with another request before (job {before.id}); "
            "repeat that request unchanged, or send a new key"
        )
    return before


def _digest(request: object) -> str:
    canonical = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _found(job: Job | None, job_id: UUID) -> Job:
    if job is None:
        raise JobNotFound(f"no job has the id {job_id}; GET /v1/admin/jobs lists them")
    return job


def _position(values: list[object]) -> JobPosition:
    match values:
        case [str(created_at), str(job_id)]:
            return JobPosition(datetime.fromisoformat(created_at), UUID(job_id))
    raise CursorInvalid("the cursor is of an older version; start at the first page")
