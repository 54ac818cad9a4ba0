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


class RefusedOut(BaseModel):
    """A champion that this process cannot serve."""

    version: str
    code: str = Field(description="Why, as in the list of errors; the log says more.")


class ReadyOut(BaseModel):
    """Everything a search needs is there and warm."""

    status: Literal["ready"] = "ready"
    database: Literal["ok"] = "ok"
    model_version: str = Field(description="The bundle in service.")
    weights: str = Field(description="The backbone's weights in service.")
    space: str = Field(description="Their vector world.")
    refused: RefusedOut | None = Field(
        description="The champion, where this process cannot load it and serves the version before; else null."
    )


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
    found = container().model.refused
    refused = None if found is None else RefusedOut(version=found.version, code=found.error.code)
    out = ReadyOut(model_version=served.version, weights=served.weights, space=served.space, refused=refused)
    return jsonify(out.model_dump())


@api.get("/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
def prometheus() -> Response:
    """Metrics in Prometheus' text format."""
    container().model.now()  # where no thread watches for models, this is who looks
    return metrics.scrape()
