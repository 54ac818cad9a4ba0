"""Long tasks: asking for them, watching and cancelling them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID, uuid4

from flask import g, make_response, redirect, render_template, request, url_for
from pydantic import BaseModel, ValidationError
from werkzeug.wrappers import Response as BaseResponse

from app.api.context import container
from app.api.jobs import JobQuery, JobRequest
from app.api.problems import invalid
from app.api.retrain import RetrainRequest
from app.api.security import principal
from app.errors import IdempotencyKeyReused, JobEnded, JobRunning, RequestInvalid
from app.store.jobs import ACTIVE, KINDS, STATES, JobKind
from app.web.admin import gate
from app.web.admin.catalogue_form import by_field
from app.web.admin.problems import by_script, sentence

_ON_A_PAGE: Final = 20
_FILTERS: Final = ("state", "kind")
_OPTIONS: Final[dict[JobKind, tuple[type[BaseModel], tuple[str, ...]]]] = {
    "bottlenecks": (JobRequest, ("originals_only",)),
    "train": (JobRequest, ("folds", "without_variants")),
    "retrain": (RetrainRequest, ("folds", "without_variants", "promote")),
}
"""What each kind of job can be told, and by which rules."""

pages = gate.section("jobs")


@pages.get("/jobs")
def page() -> BaseResponse:
    """The jobs, newest first, and the forms that ask for more. A script gets the list alone."""
    return make_response(_page("admin/jobs/rows.html" if by_script() else "admin/jobs/list.html"))


@pages.post("/jobs")
def ask() -> BaseResponse:
    """Ask for a job; the same form sent twice asks once.

    A form that the browser brought back, sent with other answers, is given again: nobody trains by mistake.
    """
    kind: JobKind | None = next((kind for kind in _OPTIONS if kind == request.form.get("kind")), None)
    try:
        if kind is None:
            raise RequestInvalid.of("kind", f"expected one of {', '.join(_OPTIONS)}")
        asked = container().jobs.ask(principal(), kind, _options(kind), gate.once())
    except RequestInvalid as error:
        g.problem_code = error.code
        return make_response(_page(problems=by_field(error.problems)), 422)
    except IdempotencyKeyReused as error:
        g.problem_code = error.code
        return make_response(_page(problem=sentence(error.code)), 409)
    except JobRunning as error:
        g.problem_code = error.code
        return make_response(_page(running=error.job_id, problem=sentence(error.code)), 409)
    return redirect(url_for("admin_jobs.show", job_id=asked.job.id, told="asked"), 303)


@pages.get("/jobs/<uuid:job_id>")
def show(job_id: UUID) -> str:
    """One job, as it goes. A script gets what changes alone."""
    job = container().jobs.job(job_id)
    return render_template(
        "admin/jobs/progress.html" if by_script() else "admin/jobs/job.html",
        job=job,
        is_active=job.state in ACTIVE,
        can_import=container().jobs.can_import(job),
        once=uuid4(),
    )


@pages.post("/jobs/<uuid:job_id>/cancel")
def cancel(job_id: UUID) -> BaseResponse:
    """Cancel a job."""
    try:
        container().jobs.cancel(job_id)
    except JobEnded as error:
        g.problem_code = error.code
        return redirect(url_for("admin_jobs.show", job_id=job_id, told="ended"), 303)
    return redirect(url_for("admin_jobs.show", job_id=job_id, told="cancelled"), 303)


def _options(kind: JobKind) -> dict[str, Any]:
    """What the form says of this kind of job; fields left empty say nothing.

    :raise RequestInvalid: a field is out of range.
    """
    rules, names = _OPTIONS[kind]
    given: dict[str, Any] = {name: request.form[name] for name in names if request.form.get(name)}
    try:
        checked = rules.model_validate(given | ({"kind": kind} if rules is JobRequest else {}))
    except ValidationError as error:
        raise invalid(error) from None
    return checked.model_dump(exclude_none=True, exclude={"kind"})


def _page(
    template: str = "admin/jobs/list.html",
    *,
    problems: dict[str, list[str]] | None = None,
    problem: str | None = None,
    running: str | None = None,
) -> str:
    """The list. problems: of the form that came, by field. problem, running: why nothing was asked for."""
    asked: dict[str, Any] = {name: request.args[name] for name in _FILTERS if request.args.get(name)}
    cursor = request.args.get("cursor")
    try:
        query = JobQuery.model_validate({**asked, "limit": _ON_A_PAGE} | ({"cursor": cursor} if cursor else {}))
    except ValidationError as error:
        raise invalid(error) from None
    found = container().jobs.page(query.state, query.kind, query.limit, query.cursor)
    return render_template(
        template,
        found=found,
        is_active=any(job.state in ACTIVE for job in found.items),
        asked=asked,
        typed=request.form,
        problems=problems or {},
        problem=problem,
        running=running,
        kinds=KINDS,
        states=STATES,
        once=uuid4(),
        first=url_for("admin_jobs.page", **asked),
        next=None if found.next_cursor is None else url_for("admin_jobs.page", **asked, cursor=found.next_cursor),
    )
