"""Who gets to the pages of the dashboard, and what they are told who do not.

Every page lies in a ``section``. A request passes, in this order: the setting (this machine alone, or everyone), its
origin where it changes something, the login, the limits. What fails becomes a page in sentences.

A form that is sent when the login has ended is not lost: the answer asks for the key with everything typed kept in
hidden fields, and goes to the same address. With the key it is carried out as if nothing had been between.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import quote
from uuid import uuid4

from flask import Blueprint, Flask, Response, abort, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.api import audit, limits
from app.api.context import container
from app.errors import Forbidden, Unauthorized
from app.services.logins import Login, NewLogin
from app.web.admin.problems import KEY_FIELD, PLAIN_FORM, by_script, explain_errors, sentence, typed
from app.web.site import protect

_COOKIE: Final = "pickture_admin"
_SECURE_COOKIE: Final = f"__Secure-{_COOKIE}"
_PLACE: Final = "/admin"
_LONGEST: Final = 256
_LONGEST_ONCE: Final = 100
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


def section(name: str, *, public: bool = False) -> Blueprint:
    """A group of pages, in the module ``app.web.admin.NAME``. public: the login's own, which asks for none."""
    pages = Blueprint(f"admin_{name}", f"app.web.admin.{name}", url_prefix=_PLACE)
    pages.before_request(_require_place)
    pages.before_request(_require_own_origin)
    if not public:
        pages.before_request(require_login)
        pages.before_request(limits.count_request)
    pages.before_request(_require_storable)
    pages.after_request(_remember_login)
    pages.after_request(protect)
    pages.after_request(audit.record)
    explain_errors(pages)
    return pages


def init_app(app: Flask) -> None:
    """Tell the templates who is logged in, and what codes mean."""
    app.jinja_env.globals.update(admin_login=current_login, asked_address=asked_address, problem_sentence=sentence)


def current_login() -> Login | None:
    """The login of this request; None where there is none."""
    known: Login | None = g.get("admin_login")
    return known


def once() -> str:
    """What tells this form from all others (its hidden field ``once``): sent twice, it asks for one thing once."""
    came = request.form.get("once", "")
    return came if 0 < len(came) <= _LONGEST_ONCE and came.isascii() and came.isprintable() else str(uuid4())


def log_in(key: str) -> None:
    """Log this browser in, and end the login that it had.

    From now on this request has the rights of the key, and its answer sets the cookie.

    :raise Unauthorized: not a live admin key. :raise LimitExceeded: too many attempts from this address.
    """
    limits.spend(1)  # before the key is looked at: whoever guesses is told to wait, right or wrong
    opened = container().logins.open(key.strip()[:_LONGEST])
    for token in _tokens():
        container().logins.close(token)
    _enter(opened.login)
    g.opened_login = opened


def log_out() -> None:
    """End the login of this browser; its answer takes the cookie away."""
    for token in _tokens():
        container().logins.close(token)
    g.closed_login = True


def ask_to_log_in(goal: str, kept: list[tuple[str, str]], problem: str | None = None) -> str:
    """The page that asks for the key. goal: where its form goes. kept: what was typed before. problem: a code."""
    return render_template("admin/login.html", goal=goal, kept=kept, problem=problem, field=KEY_FIELD)


def asked_address() -> str:
    """The address that was asked for, within this host, to be asked for again."""
    query = request.query_string.decode("latin-1")
    return f"{_asked_path()}?{query}" if query else _asked_path()


def _asked_path() -> str:
    # Quoted anew: flask has the path without its escapes, and a sku may hold a "#" or a "%".
    return quote(request.path, safe="/")


def _require_place() -> None:
    """Refuse other machines where the dashboard is for this one.

    :raise Forbidden: the request comes from elsewhere, or through a proxy that nobody vouches for, or asks for another
        host: a proxy that says nothing of itself, or a page whose name was made to lead here (DNS rebinding).
    """
    settings = container().settings
    if settings.admin_web != "local":
        return
    forwarded = any(name in request.headers for name in _FORWARDED) or not _is_called_here(request.host)
    if (settings.proxies == 0 and forwarded) or not _is_here(request.remote_addr):
        raise Forbidden(
            "the dashboard answers this machine alone, as localhost or 127.0.0.1; "
            "PICKTURE_ADMIN_WEB=open opens it to others"
        )


def _is_called_here(host: str) -> bool:
    """Whether a host, with or without a port, is a name of the machine that asks."""
    name = re.sub(r":\d*$", "", host).strip("[]").lower()
    return name == "localhost" or name.endswith(".localhost") or _is_here(name)


def _is_here(address: str | None) -> bool:
    if address is None:
        return True  # a socket of this machine
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False  # what a proxy calls someone whom it does not name
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed.is_loopback or (mapped is not None and mapped.is_loopback)


def _require_own_origin() -> None:
    """Refuse what changes something and does not come from a page of this host (CSRF).

    A browser says where a form comes from; what does not say it is no browser of a person, and has the API.

    :raise Forbidden: the request says another origin, or none.
    """
    if request.method in _READING:
        return
    from_here = request.headers.get("Origin") in (f"http://{request.host}", f"https://{request.host}")
    if not from_here or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise Forbidden("forms of the dashboard are taken from its own pages alone; programs use /v1/admin")


def _require_storable() -> None:
    """:raise NotFound: the address names something that the database cannot hold, so that it is not there."""
    if any("\x00" in str(value) for value in (request.view_args or {}).values()):
        abort(404)


def require_login() -> BaseResponse | None:
    """Let a live login pass, or ask for one; before each page.

    :raise Unauthorized: there is none, and a script asks. :raise LimitExceeded: too many wrong keys.
    """
    for token in _tokens():
        login = container().logins.find(token, used=not by_script())
        if login is not None:
            _enter(login)
            return None
    if request.method in _READING:
        if by_script():
            raise Unauthorized("the login has ended")
        return redirect(url_for("admin_login.page", next=asked_address()), 303)
    return _log_in_between()


def _log_in_between() -> BaseResponse | None:
    """A form came without a login: take the key that came with it, or ask for it and keep what was typed."""
    if request.mimetype != PLAIN_FORM:  # files: they are not read for strangers, and cannot be kept in a page
        g.problem_code = Unauthorized.code
        page = ask_to_log_in(url_for("admin_login.page", next=_asked_path()), [], "login_ended_with_files")
        return make_response(page, 401)
    key = request.form.get(KEY_FIELD)
    problem = "login_ended"
    if key is not None:
        try:
            log_in(key)
        except Unauthorized:
            problem = "key_wrong"
        else:
            return None
    g.problem_code = Unauthorized.code
    return make_response(ask_to_log_in(asked_address(), typed(), problem), 401)


def _enter(login: Login) -> None:
    g.admin_login = login
    g.principal = login.principal


def _tokens() -> list[str]:
    found = (request.cookies.get(name) for name in (_SECURE_COOKIE, _COOKIE))
    return [token for token in found if token and len(token) <= _LONGEST]


def _remember_login(response: Response) -> Response:
    """Set the cookie of a login that began, take away that of one that ended."""
    opened: NewLogin | None = g.get("opened_login")
    if opened is not None:
        # The browser knows whether it came over TLS; the service behind a proxy does not.
        secure = request.headers.get("Origin", "").startswith("https:")
        response.set_cookie(
            _SECURE_COOKIE if secure else _COOKIE,
            opened.token,
            path=_PLACE,
            secure=secure,
            httponly=True,
            samesite="Strict",
        )
    elif g.get("closed_login"):
        response.delete_cookie(_SECURE_COOKIE, path=_PLACE, secure=True, httponly=True, samesite="Strict")
        response.delete_cookie(_COOKIE, path=_PLACE, httponly=True, samesite="Strict")
    return response
