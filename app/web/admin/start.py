"""The first page: what needs someone's attention, and whether the service is well."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from flask import abort, render_template, request, url_for
from werkzeug.exceptions import MethodNotAllowed

from app.api.context import container
from app.services.jobs import JobPage
from app.store.review_listing import ReviewFilters
from app.web.admin import gate
from app.web.admin.problems import by_script
from app.web.admin.words import number
from app.web.site import methods_of, translate_count
from app.web.site import translate as _

_RECENT: Final = timedelta(days=3)
"""How long a failed job is worth a word on the first page."""

_LITTLE_ROOM: Final = 0.1

_CHANGING: Final = ("POST", "PUT", "PATCH", "DELETE")

pages = gate.section("start")


@dataclass(frozen=True, slots=True)
class Task:
    """Something for a person to do or to know. address: where; None where there is no such page."""

    weight: Literal["danger", "warning", "info"]
    sentence: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """Room on the disk of the state folder, bytes."""

    free: int
    total: int

    @property
    def is_short(self) -> bool:
        """Whether less than a tenth is free."""
        return self.free < _LITTLE_ROOM * self.total


@pages.get("", strict_slashes=False)
def page() -> str:
    """What there is to do, and how the service is. A script gets what changes alone."""
    parts = container()
    jobs = parts.jobs.page(None, None, 1)
    usage = shutil.disk_usage(_nearest(parts.settings.home))
    disk = Disk(usage.free, usage.total)
    tasks = [*_of_the_service(jobs, disk), *_of_the_jobs(), *_of_the_data()]
    template = "admin/start-live.html" if by_script() else "admin/start.html"
    return render_template(template, tasks=tasks, jobs=jobs, served=parts.model.now(), disk=disk)


def _nearest(home: Path) -> Path:
    """The state folder, or where it will be made: with a database elsewhere it may not be there yet."""
    whole = home.absolute()
    return next(place for place in (whole, *whole.parents) if place.is_dir())


@pages.route("", methods=_CHANGING, strict_slashes=False)
@pages.route("/<path:unknown>", methods=("GET", *_CHANGING))
def nothing(unknown: str = "") -> str:
    """Every other address, and every other method of those that there are.

    :raise NotFound, MethodNotAllowed: always; so that people get a page for it, in place of a problem for programs.
    """
    there = methods_of(request.path)
    if there:
        raise MethodNotAllowed(there)
    abort(404, f"/admin/{unknown} is no page of the dashboard")


def _of_the_service(jobs: JobPage, disk: Disk) -> list[Task]:
    model = container().model
    tasks = []
    if model.refused is not None:
        sentence = _("Model %(version)s is published and cannot be served; the one before it answers.")
        tasks.append(Task("danger", sentence % {"version": model.refused.version}))
    elif model.now() is None:
        sentence = _("No model is served: photos cannot be searched by. Import and train first.")
        tasks.append(Task("danger", sentence, url_for("admin_imports.page")))
    if jobs.workers == 0:
        tasks.append(Task("danger", _("No worker is alive: jobs wait. Start one with: python -m app worker")))
    if disk.is_short:
        tasks.append(Task("warning", _("The disk of the service is nearly full.")))
    return tasks


def _of_the_jobs() -> list[Task]:
    failed = container().jobs.page("failed", None, 1).items
    if not failed or (failed[0].finished_at or failed[0].created_at) < datetime.now(UTC) - _RECENT:
        return []
    return [Task("danger", _("A job has failed."), url_for("admin_jobs.page", state="failed"))]


def _of_the_data() -> list[Task]:
    tasks = []
    waiting = container().review.page(ReviewFilters(state="undecided"), 1).undecided
    if waiting:
        sentence = translate_count("%(count)s photo waits for review.", "%(count)s photos wait for review.", waiting)
        tasks.append(Task("info", sentence % {"count": number(waiting)}, url_for("admin_review.listing")))
    return tasks
