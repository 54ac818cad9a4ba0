"""Importing a catalogue: checked first, then for good."""

from __future__ import annotations

from uuid import UUID, uuid4

from flask import g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.api.context import container
from app.api.imports import ImportForm, take_catalogue
from app.api.security import principal
from app.errors import RequestInvalid, UploadsFull
from app.services.catalogue.uploads import MOST_CHECKED
from app.web.admin import gate
from app.web.admin.catalogue_form import by_field
from app.web.admin.problems import sentence

pages = gate.section("imports")


class UploadForm(ImportForm):
    """The fields beside the files. once: see ``gate.once``."""

    once: str = ""


@pages.get("/imports")
def page() -> str:
    """The form for the files, and the imports so far."""
    return _page({})


@pages.post("/imports")
def upload() -> BaseResponse:
    """Take the files in and check them, or import them at once. What was checked is kept for an hour.

    The same form with the same files, sent twice, is one upload.
    """
    jobs, job_id = container().jobs, uuid4()
    try:
        with jobs.spooled(job_id) as folder:
            form = take_catalogue(folder, UploadForm)
            asked = jobs.ask_import(
                principal(),
                job_id,
                dry_run=form.dry_run,
                strict=form.strict,
                keep_files=form.dry_run,
                once=gate.once(),
            )
    except RequestInvalid as error:
        g.problem_code = error.code
        return make_response(_page(by_field(error.problems)), 422)
    except UploadsFull as error:
        g.problem_code = error.code
        return make_response(_page({"": [sentence(error.code) or str(error)]}), 409)
    return redirect(url_for("admin_jobs.show", job_id=asked.job.id), 303)


@pages.post("/imports/<uuid:job_id>/import")
def import_checked(job_id: UUID) -> BaseResponse:
    """Import what was checked."""
    strict = request.form.get("strict") == "true"
    asked = container().jobs.ask_import_of(principal(), job_id, strict=strict, once=gate.once())
    return redirect(url_for("admin_jobs.show", job_id=asked.job.id, told="asked"), 303)


@pages.post("/imports/<uuid:job_id>/forget")
def forget_checked(job_id: UUID) -> BaseResponse:
    """Delete the files that are kept after a check."""
    container().jobs.forget_checked(job_id)
    return redirect(url_for("admin_imports.page", told="forgotten", _anchor="kept"), 303)


def _page(problems: dict[str, list[str]]) -> str:
    """problems: by field; "" for the form as a whole."""
    jobs = container().jobs
    kept = jobs.checked_uploads()
    return render_template(
        "admin/jobs/import.html",
        problems=problems,
        typed=request.form,
        once=uuid4(),
        kept=kept,
        kept_bytes=sum(upload.size_bytes for upload in kept),
        most_kept=MOST_CHECKED,
        most_kept_bytes=jobs.most_checked_bytes,
        imports=jobs.page(None, "import", 10),
        currency=container().settings.currency,
        max_import_bytes=container().settings.max_import_bytes,
    )
