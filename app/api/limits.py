"""The limits on operations, for every group of routes that shoppers and administrators use."""

from __future__ import annotations

from flask import g, request

from app.api import metrics
from app.api.context import container
from app.errors import LimitExceeded
from app.services.access import Principal
from app.services.limits import operations_of

_MOST_ITEMS = 1_000_000


def count_request() -> None:
    """Count the request that begins: one operation, or as many as the page asked for is long.

    For ``Blueprint.before_request``, after the caller is known where the group asks who calls.

    :raise LimitExceeded: too many in this minute.
    """
    if request.method == "OPTIONS":
        return
    wanted = request.args.get("limit", default=1, type=int)
    spend(operations_of(min(max(wanted, 1), _MOST_ITEMS)))


def spend(operations: int) -> None:
    """Count further operations of this request, once it is known how many there are; 0 counts none.

    :raise LimitExceeded: too many in this minute.
    """
    if operations <= 0:
        return
    caller: Principal | None = getattr(g, "principal", None)
    try:
        container().limits.spend(caller, request.remote_addr, operations)
    except LimitExceeded as exceeded:
        metrics.metrics().limited.labels(exceeded.scope).inc()
        raise
