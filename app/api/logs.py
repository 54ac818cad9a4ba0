"""The service's log: every line with its request's id, and one line for each request, without address or content.

A request's line says what an operator needs and nothing of the shopper: the route (not the path, which may name a
product), status, code, milliseconds and the request's id, which the client has as ``X-Request-Id``.
"""

from __future__ import annotations

import logging
import time

from flask import Flask, Response, g, has_request_context, request

from app.api.audit import code_of
from app.config import Settings
from app.logs import FIELDS, to_standard_error

log = logging.getLogger("pickture.requests")

_UNTOLD = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked for every few seconds by machines; their failures are told."""


def configure(settings: Settings) -> None:
    """Set up the log of a process that serves."""
    to_standard_error(settings.log_level, settings.log_format, request_id)


def request_id() -> str | None:
    """The id of the request that this thread answers; None where it answers none."""
    return g.get("request_id") if has_request_context() else None


def init_app(app: Flask) -> None:
    """Log a line for each request. After ``app.api.metrics``, which takes the time."""
    app.after_request(_tell)


def _tell(response: Response) -> Response:
    route = request.url_rule.rule if request.url_rule is not None else None
    if route in _UNTOLD and response.status_code < 500:
        return response
    fields = {
        "event": "request",
        "method": request.method,
        "route": route,
        "status": response.status_code,
        "code": code_of(response),
        "ms": round(1000 * (time.perf_counter() - g.started), 1),
    }
    log.info("%s %s %d", request.method, route, response.status_code, extra={FIELDS: fields})
    return response
