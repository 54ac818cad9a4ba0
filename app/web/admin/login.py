"""Logging in with an admin key, and out."""

from __future__ import annotations

from flask import g, make_response, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.errors import Unauthorized
from app.web.admin import gate
from app.web.admin.problems import KEY_FIELD

pages = gate.section("login", public=True)


@pages.get("/login")
def page() -> str:
    """Ask for the key. ``?next=`` says where to go then."""
    return gate.ask_to_log_in(url_for("admin_login.enter", next=_goal()), [])


@pages.post("/login")
def enter() -> BaseResponse:
    """Log in, and go where the person wanted to."""
    try:
        gate.log_in(request.form.get(KEY_FIELD, ""))
    except Unauthorized as error:
        g.problem_code = error.code
        page = gate.ask_to_log_in(url_for("admin_login.enter", next=_goal()), [], "key_wrong")
        return make_response(page, 401)
    return redirect(_goal(), 303)


@pages.post("/logout")
def leave() -> BaseResponse:
    """End this login."""
    gate.log_out()
    return redirect(url_for("admin_login.page", told="logged-out"), 303)


@pages.get("/alive")
def alive() -> tuple[str, int]:
    """Whether the service is there, 204, and whether this browser is logged in, 401; for scripts of the pages."""
    gate.require_login()
    return "", 204


def _goal() -> str:
    """Where to go after the login: a page of the dashboard, whatever came."""
    wanted = request.args.get("next", "")
    within = wanted == "/admin" or wanted.startswith(("/admin/", "/admin?"))
    return wanted if within and "\\" not in wanted and wanted.isprintable() else url_for("admin_start.page")
