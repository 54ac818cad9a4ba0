"""/v1/admin/jobs: asking for long tasks, watching and cancelling them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field

from app.api.context import container
from app.api.fields import PAGE_LIMIT, Cursor
from app.api.resource import resource
from app.api.security import principal
from app.errors import RequestInvalid
from app.services.jobs import Asked
from app.store.job_table import Job
from app.store.jobs import JobKind, JobState

api = resource("jobs", "/v1/admin", secured=True, admin=True)

KEY_HEADER = "Idempotency-Key"
_LONGEST_KEY = 200

KEY_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "in": "header",
            "name": KEY_HEADER,
            "schema": {"type": "string", "minLength": 1, "maxLength": _LONGEST_KEY},
            "description": "The same key with the same request gives the same job, however often it is sent.",
        }
    ]
}


class JobRequest(BaseModel):
    """Which job to do."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["bottlenecks", "train"]
    originals_only: bool | None = Field(None, description="bottlenecks: no variants, enough for k-NN.")
    folds: int | None = Field(None, ge=2, le=20, description="train: folds of the cross-validation.")
    without_variants: bool | None = Field(None, description="train: on the originals alone.")


class JobAccepted(BaseModel):
    """The job that will do it."""

    job_id: UUID
    state: JobState


class JobError(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class RowErrorOut(BaseModel):
    """One thing that is wrong with what was imported, or with a photo."""

    line: int | None
    sku: str | None
    field: str | None
    value: str | None
    reason: str


class JobOut(BaseModel):
    """A job."""

    job_id: UUID
    kind: JobKind
    state: JobState
    progress: Annotated[float, Field(ge=0, le=1)] = Field(description="How much is done, an estimate.")
    step: str | None = Field(description="What it does now, in words.")
    parameters: dict[str, Any]
    parent_id: UUID | None = Field(description="The job it follows from.")
    asked_by: int | None = Field(description="Id of the admin key that asked for it.")
    cancel_requested: bool
    attempts: int = Field(description="How often it was begun; more than once where a worker was lost.")
    error: JobError | None = Field(description="Why it failed.")
    row_errors_total: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobDetailOut(JobOut):
    """A job with all it has."""

    result: dict[str, Any] | None = Field(description="What came of it; its shape depends on the kind.")
    row_errors: list[RowErrorOut] = Field(description="The first 1,000.")
    log: list[str] = Field(description="The last 200 lines that it wrote.")


class JobPageOut(BaseModel):
    """A page of jobs, newest first."""

    items: list[JobOut]
    next_cursor: str | None
    workers: int = Field(description="Workers that live now; with none, jobs wait.")


class JobQuery(BaseModel):
    """Which jobs."""

    model_config = ConfigDict(extra="forbid")

    state: JobState | None = None
    kind: JobKind | None = None
    limit: int = Field(20, ge=1, le=PAGE_LIMIT)
    cursor: Cursor | None = Field(None, description="next_cursor of the page before, with the same filters.")


class JobPath(BaseModel):
    """Which job."""

    job_id: UUID


@api.get("/jobs", responses={200: JobPageOut})
def list_jobs(query: JobQuery) -> Response:
    """List jobs, newest first, a page at a time."""
    page = container().jobs.page(query.state, query.kind, query.limit, query.cursor)
    items = [JobOut(**_facts(job)) for job in page.items]
    out = JobPageOut(items=items, next_cursor=page.next_cursor, workers=page.workers)
    return jsonify(out.model_dump(mode="json"))


@api.post("/jobs", responses={202: JobAccepted}, openapi_extensions=KEY_PARAMETER)
def ask_job(body: JobRequest) -> tuple[Response, int]:
    """Ask for bottlenecks or a training.

    One is let in at a time: where another has not ended, 409 `job_running` names it.
    """
    given = body.model_dump(exclude_none=True)
    kind = given.pop("kind")
    foreign = sorted(set(given) - _PARAMETERS[kind])
    if foreign:
        raise RequestInvalid.of(foreign[0], f"a job of the kind {kind} has no such parameter")
    return accepted(container().jobs.ask(principal(), kind, given, idempotency_key()))


_PARAMETERS = {"bottlenecks": {"originals_only"}, "train": {"folds", "without_variants"}}


@api.get("/jobs/<job_id>", responses={200: JobDetailOut})
def show_job(path: JobPath) -> Response:
    """Show one job with its result, its row errors and the end of its log."""
    return _detail(container().jobs.job(path.job_id))


@api.post("/jobs/<job_id>/cancel", responses={200: JobDetailOut})
def cancel_job(path: JobPath) -> Response:
    """Cancel a job: at once where it waits, within seconds where it runs; the answer's `state` says which.

    What it has committed by then stays.
    """
    return _detail(container().jobs.cancel(path.job_id))


def idempotency_key() -> str | None:
    """The request's Idempotency-Key. :raise RequestInvalid: it is empty, too long, or not printable ASCII."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
        raise RequestInvalid.of(KEY_HEADER, f"expected 1 to {_LONGEST_KEY} printable ASCII characters")
    return key


def accepted(asked: Asked) -> tuple[Response, int]:
    """202 with the job, and where to watch it."""
    response = jsonify(JobAccepted(job_id=asked.job.id, state=asked.job.state).model_dump(mode="json"))  # type: ignore[arg-type]
    response.headers["Location"] = f"/v1/admin/jobs/{asked.job.id}"
    return response, 202


def _detail(job: Job) -> Response:
    out = JobDetailOut(**_facts(job), result=job.result, row_errors=job.row_errors, log=job.log_tail.splitlines())
    return jsonify(out.model_dump(mode="json"))


def _facts(job: Job) -> dict[str, Any]:
    same = ("kind", "state", "progress", "step", "parent_id", "cancel_requested", "attempts", "error")
    facts = {
        name: getattr(job, name) for name in (*same, "row_errors_total", "created_at", "started_at", "finished_at")
    }
    return {**facts, "job_id": job.id, "parameters": job.payload, "asked_by": job.key_id}
