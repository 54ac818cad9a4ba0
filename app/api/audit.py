"""The audit log: one line of JSON for each thing done, or refused, with an admin key.

The lines go to the logger ``pickture.audit`` at INFO: who (the key's id), what (the route and the things its
address names), when, and the outcome. They hold no body, no key and no address of a shopper. Reading is not
recorded, unless it was refused for want of rights.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from flask import Response, g, request

from app.logs import StandardError

LOGGER = "pickture.audit"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_NOT_ALLOWED = frozenset({401, 403})

log = logging.getLogger(LOGGER)


def to_standard_error() -> None:
    """Have the audit log of this process written to standard error; called once by what serves."""
    if not log.handlers:
        handler = StandardError()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # a line of its own, in a form of its own, once


def record(response: Response) -> Response:
    """Write the line of this request; for ``Blueprint.after_request``."""
    if request.method in _READING and response.status_code not in _NOT_ALLOWED:
        return response
    caller = getattr(g, "principal", None)
    line = {
        "audit": "admin",
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "key_id": None if caller is None else caller.key_id,
        "role": None if caller is None else caller.role,
        "action": f"{request.method} {request.url_rule.rule if request.url_rule is not None else request.path}",
        "target": {name: str(value) for name, value in (request.view_args or {}).items()},
        "status": response.status_code,
        "code": code_of(response),
        "request_id": g.request_id,
    }
    log.info("%s", json.dumps(line, ensure_ascii=False))
    return response


def code_of(response: Response) -> str | None:
    """The stable code of a problem, which a page notes as ``g.problem_code``; None where there was none."""
    noted: str | None = g.get("problem_code")
    if noted is not None:
        return noted
    problem = response.get_json(silent=True) if response.mimetype == "application/problem+json" else None
    return problem.get("code") if isinstance(problem, dict) else None
