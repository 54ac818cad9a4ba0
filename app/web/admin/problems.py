"""Failures of the dashboard as pages: a sentence for people, the request's id, and what was typed still there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from flask import Blueprint, Response, g, make_response, render_template, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from app.api.problems import MEDIA_TYPE, from_error
from app.error_table import HTTP_CODES, Row, row_for
from app.errors import DatabaseUnavailable
from app.web.admin.words import size
from app.web.site import translate as _
from models.errors import PicktureError

log = logging.getLogger(__name__)

KEY_FIELD: Final = "admin_key"
"""Where a login's form has the key, beside whatever else was typed; it is never shown again."""

SCRIPT_HEADER: Final = "X-Pickture-Script"
"""What the scripts of the pages send along, see static/admin/ask.js."""

_PASSED_ON: Final = ("Retry-After", "Allow")
"""Headers of a problem that its page has, too."""

PLAIN_FORM: Final = "application/x-www-form-urlencoded"
"""What a form without files is sent as."""


def sentence(code: str | None) -> str | None:
    """What to tell of a failure with this code; None where its own words have to do."""
    told = None if code is None else _SENTENCES.get(code)
    return None if told is None else told()


_SENTENCES: Final[dict[str, Callable[[], str]]] = {
    "login_ended": lambda: _("You are not logged in any more. Log in: what you entered is kept, and is sent then."),
    "login_ended_with_files": lambda: _("You are not logged in any more. Log in, then choose the files again."),
    "key_wrong": lambda: _("This key is not valid. It may be mistyped, revoked, or the key of an app."),
    "unauthorized": lambda: _("You are not logged in any more. Load the page again to log in."),
    "forbidden": lambda: _("This is not allowed from here."),
    "limit_exceeded": lambda: _("Too many requests from your address. Wait a minute, then try again."),
    "database_unavailable": lambda: _("The database does not answer at this moment. Try again in a few seconds."),
    "storage_full": lambda: _("The disk of the service is full. Make room, then try again."),
    "not_ready": lambda: _("The service is not ready yet. Try again in a few seconds."),
    "overloaded": lambda: _("The service is busy at this moment. Try again in a few seconds."),
    "route_not_found": lambda: _("There is no such page."),
    "method_not_allowed": lambda: _("This address takes no such request. Start again from the page before."),
    "request_too_large": lambda: _("What was sent is too large."),
    "product_not_found": lambda: _("There is no such product. Someone may have deleted it."),
    "category_not_found": lambda: _("There is no such category."),
    "job_not_found": lambda: _("There is no such job."),
    "job_ended": lambda: _("The job has ended already."),
    "job_running": lambda: _("Another training has been asked for and has not ended. One is let in at a time."),
    "idempotency_key_reused": lambda: _(
        "This form was sent before with other answers, and that job was asked for. What you entered now is kept: send "
        "it again to ask for another job."
    ),
    "cursor_invalid": lambda: _("This page of the list is not there any more. Start at the first."),
    "upload_gone": lambda: _("The files are not kept any more. Choose them again."),
    "uploads_full": lambda: _(
        "No more checked files can be kept at the moment. Import or delete some of those below, then choose the files "
        "again."
    ),
    "precondition_failed": lambda: _("Someone changed this while you were at it."),
    "model_not_found": lambda: _("There is no such model version, or it was made without this part."),
    "bundle_not_found": lambda: _("The files of this model version are missing. Restore them, or serve another one."),
    "bundle_damaged": lambda: _(
        "The files of this model version are not those that were written. Restore them, or serve another one."
    ),
    "no_earlier_model": lambda: _("There is nothing to go back to: no other version was served before."),
    "space_mismatch": lambda: _("This version sees with weights whose network is not here, so it cannot be served."),
    "space_incomplete": lambda: _(
        "The space of this version still lacks photos. They are being added from now on: serve it when all are there."
    ),
    "review_item_not_found": lambda: _("There is no such photo to review. The shopper may have taken it back."),
    "review_decided": lambda: _("Someone decided otherwise on this photo before."),
    "review_flagged": lambda: _("This photo has a doubt: it wants a look of its own."),
    "review_limit": lambda: _("Training takes no more photos of this product from this shopper. Discard it."),
    "proposal_not_found": lambda: _("There is no such proposal any more."),
    "proposal_decided": lambda: _("Someone decided otherwise on this proposal before. Change the product itself."),
    "proposal_outdated": lambda: _("The product says so itself by now, so the proposal is not needed any more."),
    "text_model_not_found": lambda: _("No text model has been trained yet."),
    "internal": lambda: _("Something in the service went wrong. Its log says more under the number below."),
}
"""Sentences by the codes of ``app.errors``, and by those of the login."""


def explain_errors(pages: Blueprint) -> None:
    """Answer what these pages raise with a page."""
    pages.register_error_handler(PicktureError, explain)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        pages.register_error_handler(kind, _explain_database)
    pages.register_error_handler(HTTPException, _explain_http)
    pages.register_error_handler(Exception, _explain_fault)


def explain(error: PicktureError) -> Response:
    """The page for an error of ours, under its status; faults of the service itself are logged."""
    plain = from_error(error)  # logs it, and knows the headers
    row = row_for(type(error))
    return _page(row, error.code, str(error) if row.public else None, plain)


def by_script() -> bool:
    """Whether a script of a page asks, of its own accord, and no person waits for a page."""
    return SCRIPT_HEADER in request.headers


def typed() -> list[tuple[str, str]]:
    """The fields of the form that came, in order, without the key; files are none."""
    if request.mimetype != PLAIN_FORM:
        return []
    return [(name, value) for name, value in request.form.items(multi=True) if name != KEY_FIELD]


def _page(row: Row, code: str, detail: str | None, plain: Response, told: str | None = None) -> Response:
    """plain: what a script gets. told: the sentence, where it is not the code's."""
    g.problem_code = code
    if by_script():
        return plain
    may_pass = row.status >= 500 or row.status == HTTPStatus.TOO_MANY_REQUESTS
    kept = typed() if request.method == "POST" and may_pass else []
    page = render_template(
        "admin/problem.html",
        sentence=told or sentence(code),
        title=row.title,
        detail=detail,
        typed=kept,
        status=row.status,
    )
    response = make_response(page, row.status)
    for name in _PASSED_ON:
        if name in plain.headers:
            response.headers[name] = plain.headers[name]
    return response


def _explain_database(error: Exception) -> Response:
    log.error("the database does not answer: %s", error)
    return explain(DatabaseUnavailable("the database does not answer at this moment; try again in a few seconds"))


def _explain_http(error: HTTPException) -> Response:
    status = error.code or 500
    code = HTTP_CODES.get(status, "internal" if status >= 500 else "bad_request")
    plain = make_response({"code": code, "status": status}, status)
    plain.mimetype = MEDIA_TYPE
    plain.headers.extend([(name, value) for name, value in error.get_headers() if name == "Allow"])
    limit = request.max_content_length if isinstance(error, RequestEntityTooLarge) else None
    if limit is None or (request.content_length or 0) <= limit:  # a text of its own limit, or sent in chunks
        return _page(Row(status, error.name), code, error.description, plain)
    told = _("What was sent is too large: at most %(size)s can be sent at once.") % {"size": size(limit)}
    return _page(Row(status, error.name), code, None, plain, told)


def _explain_fault(error: Exception) -> Response:
    log.error("%s %s failed, request %s", request.method, request.path, g.request_id, exc_info=error)
    return explain(PicktureError("internal"))
