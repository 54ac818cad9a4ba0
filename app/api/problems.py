"""Every failure becomes one body shape: ``application/problem+json`` (RFC 9457) with a stable ``code``."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable

from flask import Flask, Response, current_app, g, json, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from app.error_table import HTTP_CODES, row_for
from app.errors import (
    ConflictError,
    DatabaseUnavailable,
    FieldProblem,
    LimitExceeded,
    RequestInvalid,
    ServiceError,
    StorageFull,
)
from models.errors import PicktureError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MESSAGE_CHARACTERS = 500
_PROBLEMS_SHOWN = 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DATABASE_FULL = "53100"
"""PostgreSQL's code where its own disk is full."""


class ProblemField(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Dotted name of the field, empty for the request as a whole.")
    value: str | None = Field(None, description="What came, cut; left out where it is not repeated.")
    reason: str


class Problem(BaseModel):
    """A failure, as RFC 9457 shapes it, with a stable machine-readable code."""

    model_config = ConfigDict(title="Problem")

    type: str = Field("about:blank", description="Always about:blank: `code` tells the kinds apart.")
    title: str = Field(description="The same short sentence for every failure of this kind.")
    status: int
    code: str = Field(description="Stable, machine-readable.", examples=["photo_damaged"])
    detail: str | None = Field(None, description="This failure in words: what came, what was expected.")
    instance: str = Field(description="The request's id; it is in the service's log too.")
    problems: list[ProblemField] | None = Field(None, description="Which fields were wrong, where any was.")
    job_id: str | None = Field(None, description="The job in the way, where one is.")


def problem_response(problem: Problem, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """The response that carries ``problem``."""
    body = json.dumps(problem.model_dump(mode="json", exclude_none=True), ensure_ascii=False)
    response = current_app.response_class(body, status=problem.status, mimetype=MEDIA_TYPE)
    response.headers.extend(list(headers))
    response.headers["Cache-Control"] = "no-store"
    return response


def from_error(error: PicktureError) -> Response:
    """The answer to an error of ours, by ``app.error_table``; faults of the service itself are logged."""
    row = row_for(type(error))
    problems = error.problems if isinstance(error, RequestInvalid) else ()
    if row.status >= 500:
        log.warning("%s %s: %s [%s] %s", request.method, request.path, error, error.code, g.request_id)
    headers: list[tuple[str, str]] = []
    if row.status == 401:
        headers.append(("WWW-Authenticate", 'Bearer realm="pickture"'))
    if row.status in (429, 503):
        wait_s = error.retry_after_s if isinstance(error, ServiceError | LimitExceeded) else ServiceError.retry_after_s
        headers.append(("Retry-After", str(wait_s)))
    return problem_response(
        Problem(
            type="about:blank",
            title=row.title,
            status=row.status,
            code=error.code,
            detail=str(error)[:_MESSAGE_CHARACTERS] if row.public else None,
            instance=_instance(),
            problems=[ProblemField(field=p.field, value=p.value, reason=p.reason) for p in problems] or None,
            job_id=error.job_id if isinstance(error, ConflictError) else None,
        ),
        headers,
    )


def refuse_invalid(error: ValidationError) -> Response:
    """Turn what pydantic found into our own error; ``flask-openapi3`` calls this before a view runs."""
    raise invalid(error) from None


def invalid(error: ValidationError) -> RequestInvalid:
    """Our own error for what pydantic found wrong; values that came are not repeated."""
    found = [
        FieldProblem(".".join(str(part) for part in item["loc"]), item["msg"])
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ][:_PROBLEMS_SHOWN]
    told = "; ".join(f"{p.field or 'body'}: {p.reason}" for p in found)
    return RequestInvalid(told, found)


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    detail = error.description
    if isinstance(error, RequestEntityTooLarge):
        limit = request.max_content_length
        detail = f"the request body may have at most {limit:,} bytes" if limit else detail
    kept = [(name, value) for name, value in error.get_headers() if name == "Allow"]
    code = HTTP_CODES.get(status, "internal" if status >= 500 else "bad_request")
    return problem_response(
        Problem(
            type="about:blank",
            title=error.name,
            status=status,
            code=code,
            detail=detail,
            instance=_instance(),
            problems=None,
            job_id=None,
        ),
        kept,
    )


def _from_database(error: Exception) -> Response:
    if getattr(getattr(error, "orig", None), "pgcode", None) == _DATABASE_FULL:
        return from_error(StorageFull("the database's disk is full; try again when there is room"))
    log.error("the database does not answer: %s", error)
    return from_error(DatabaseUnavailable("the database does not answer at this moment; try again in a few seconds"))


def _from_system(error: OSError) -> Response:
    if error.errno in _FULL:
        return from_error(StorageFull("the disk of the service is full; try again when there is room"))
    return _from_fault(error)


def _from_fault(error: Exception) -> Response:
    """A bug. The client gets the request's id and nothing of the fault; the log has the rest."""
    log.error("%s %s failed, request %s", request.method, request.path, g.request_id, exc_info=error)
    return from_error(PicktureError("internal"))


def _instance() -> str:
    return f"urn:uuid:{g.request_id}"


def init_app(app: Flask) -> None:
    """Answer every exception with a problem."""
    app.register_error_handler(PicktureError, from_error)
    app.register_error_handler(HTTPException, _from_http)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(kind, _from_database)
    app.register_error_handler(OSError, _from_system)
    app.register_error_handler(Exception, _from_fault)
