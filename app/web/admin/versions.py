"""Model versions and spaces: what is served, what was measured, promoting and rolling back."""

from __future__ import annotations

from flask import Response, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.api.admin_models import REPORT_POLICY, ModelPath
from app.api.context import container
from app.errors import PreconditionFailed
from app.services.versions import ModelVersion, Seen
from app.web.admin import gate
from app.web.admin.arguments import asked
from models.errors import BundleError

pages = gate.section("versions")


@pages.get("/models")
def listing() -> str:
    """Every version, newest first, and what a rollback would serve."""
    versions = container().versions
    return render_template(
        "admin/models/list.html", models=versions.all(), before=versions.before_champion(), serving=_serving()
    )


@pages.get("/models/<version>")
def show(version: str) -> str:
    """One version with its figures and its history."""
    found = _version(version)
    files: frozenset[str] | None
    try:
        files = container().inspection.files(found.version)
    except BundleError:
        files = None  # its folder is gone, or is not what was written: what the database knows is shown all the same
    return render_template("admin/models/show.html", model=found, serving=_serving(), files=files)


@pages.get("/models/<version>/report")
def report(version: str) -> Response:
    """The report that training wrote: a page that loads and runs nothing."""
    response = Response(container().versions.report(_version(version).version), mimetype="text/html")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


@pages.get("/models/<version>/promote")
def ask_to_promote(version: str) -> str:
    """What serving this version would change, and the button that does it."""
    return _promoting(version)


@pages.post("/models/<version>/promote")
def promote(version: str) -> BaseResponse:
    """Serve this version from now on, unless another one has been served since the question was shown."""
    try:
        container().versions.promote(_version(version).version, Seen(request.form.get("champion")))
    except PreconditionFailed as error:
        g.problem_code = error.code
        return make_response(_promoting(version, changed=True), 409)
    return redirect(url_for("admin_versions.listing", told="promoted"), 303)


@pages.get("/models/rollback")
def ask_to_roll_back() -> str:
    """What would be served instead, and the button that does it."""
    return _rolling_back()


@pages.post("/models/rollback")
def roll_back() -> BaseResponse:
    """Serve again what was served before, unless that is another version since the question was shown."""
    try:
        container().versions.rollback(Seen(request.form.get("champion"), request.form.get("before")))
    except PreconditionFailed as error:
        g.problem_code = error.code
        return make_response(_rolling_back(changed=True), 409)
    return redirect(url_for("admin_versions.listing", told="rolled-back"), 303)


@pages.get("/spaces")
def spaces() -> str:
    """Every space with what it still lacks."""
    return render_template("admin/models/spaces.html", spaces=container().spaces.all())


def _promoting(version: str, *, changed: bool = False) -> str:
    """The question. changed: something else has been served since it was shown before."""
    found, champion = _version(version), container().versions.champion()
    return render_template("admin/models/promote.html", model=found, champion=champion, changed=changed)


def _rolling_back(*, changed: bool = False) -> str:
    """The question. changed: as of ``_promoting``."""
    versions = container().versions
    champion, before = versions.champion(), versions.before_champion()
    return render_template("admin/models/rollback.html", champion=champion, before=before, changed=changed)


def _version(version: str) -> ModelVersion:
    """:raise ModelNotFound: there is none of this name. :raise RequestInvalid: it is no name of one."""
    return container().versions.get(asked(ModelPath, {"version": version}).version)


def _serving() -> str | None:
    served = container().model.now()
    return None if served is None else served.recognizer.version
