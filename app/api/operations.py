"""For operators and their machines: alive, ready, metrics."""

from __future__ import annotations

from typing import Literal

from flask import Response, jsonify
from pydantic import BaseModel, Field

from app.api import metrics
from app.api.context import container
from app.api.resource import resource

api = resource("operations", None, secured=False)


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class ReadyOut(BaseModel):
    """Everything a search needs is there and warm."""

    status: Literal["ready"] = "ready"
    database: Literal["ok"] = "ok"
    model_version: str = Field(description="The bundle in service.")
    weights: str = Field(description="The backbone's weights in service.")


@api.get("/healthz", responses={200: Alive})
def healthz() -> Response:
    """Whether the process is alive.

    Touches nothing: a supervisor must not restart a process because its database is away.
    """
    return jsonify(Alive().model_dump())


@api.get("/readyz", responses={200: ReadyOut})
def readyz() -> Response:
    """Whether database, model and network are there and warm.

    Otherwise 503; the problem's `code` says what is missing and its `detail` how to mend it.
    """
    served = container().ready()
    return jsonify(ReadyOut(model_version=served.version, weights=served.weights).model_dump())


@api.get("/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
def prometheus() -> Response:
    """Metrics in Prometheus' text format."""
    return metrics.scrape()
