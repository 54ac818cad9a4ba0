"""Who calls: the bearer token of every ``/v1`` request, looked up once."""

from __future__ import annotations

from typing import Any

from flask import g, request

from app.api import limits
from app.api.context import container
from app.errors import Forbidden, Unauthorized
from app.services.access import Principal

BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""The OpenAPI security requirement of the routes that ask for a token."""

SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session token (POST /v1/sessions) or an admin key.",
    }
}

_LONGEST_TOKEN = 256


def require_bearer() -> None:
    """Refuse a request without a live token; for ``Blueprint.before_request``.

    A browser's preflight (OPTIONS) carries no token by design and reads nothing, so it passes.

    :raise Unauthorized: no token, or not a live one.
    """
    if request.method == "OPTIONS":
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
        limits.spend(1)
        raise Unauthorized("send `Authorization: Bearer TOKEN`; open a session with POST /v1/sessions")
    try:
        g.principal = container().access.authenticate(token)
    except Unauthorized:
        # Wrong credentials count as well, for the address: whoever guesses is soon told to wait, right or wrong.
        limits.spend(1)
        raise


def require_admin() -> None:
    """Refuse everyone but the holder of an admin key; registered after ``require_bearer``.

    :raise Forbidden: the token is a session's.
    """
    if request.method != "OPTIONS" and not principal().is_admin:
        raise Forbidden(
            "this needs an admin key as the bearer token; `python -m app keys create --role admin` makes one"
        )


def principal() -> Principal:
    """The caller of this request, once ``require_bearer`` has let it in."""
    known: Principal = g.principal
    return known
