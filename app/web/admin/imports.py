"""Importing a catalogue: checked first, then for good."""

from __future__ import annotations

from uuid import UUID

from flask import g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.api.context import container
from app.api.imports import take_import
from app.api.security import principal
from app.errors import RequestInvalid
from app.web.admin import gate
from app.web.admin.catalogue_form import by_field

pages = gate.section("imports")


@pages.get("/imports")
def page() -> str:
    """The form for the files, and the imports so far."""
    return _page({})


@pages.post("/imports")
def upload() -> BaseResponse:
    """Take the files in and check them, or import them at once. What was checked is kept for an hour."""
    try:
        asked = take_import(None, keep_checked=True)
    except RequestInvalid as error:
        g.problem_code = error.code
        return make_response(_page(by_field(error.problems)), 422)
    return redirect(url_for("admin_jobs.show", job_id=asked.job.id), 303)


@pages.post("/imports/<uuid:job_id>/import")
def import_checked(job_id: UUID) -> BaseResponse:
    """Import what was checked."""
    strict = request.form.get("strict") == "true"
    asked = container().jobs.ask_import_of(principal(), job_id, strict=strict, idempotency_key=gate.once())
    return redirect(url_for("admin_jobs.show", job_id=asked.job.id, told="asked"), 303)


def _page(problems: dict[str, list[str]]) -> str:
    return render_template(
        "admin/jobs/import.html",
        problems=problems,
        imports=container().jobs.page(None, "import", 10),
        currency=container().settings.currency,
        max_import_bytes=container().settings.max_import_bytes,
    )
