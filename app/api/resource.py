"""How every group of routes begins: its place, its tag, its failures, and whether it asks for a token."""

from __future__ import annotations

from typing import Any

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from app.api import audit, limits
from app.api.problems import MEDIA_TYPE
from app.api.security import BEARER, require_admin, require_bearer

_PROBLEM: dict[str, Any] = {
    "description": "A problem (RFC 9457).",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def resource(
    name: str, prefix: str | None, *, secured: bool, admin: bool = False, limited: bool = False
) -> APIBlueprint:
    """A group of routes.

    prefix: where they lie. secured: whether each asks for a bearer token. admin: it must be an admin key,
    and what is done with it is written to the audit log. limited: operations are counted, although
    nobody says who calls.
    """
    group = APIBlueprint(
        name,
        f"app.api.{name}",
        url_prefix=prefix,
        abp_tags=[Tag(name=name.replace("_", " ").capitalize())],
        abp_security=BEARER if secured else None,
        abp_responses={"422": dict(_PROBLEM), "default": dict(_PROBLEM)},
    )
    if secured:
        group.before_request(require_bearer)
    if secured or limited:
        group.before_request(limits.count_request)
    if admin:
        group.before_request(require_admin)
        group.after_request(audit.record)
    return group
