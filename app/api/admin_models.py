"""Model versions, for administrators: list, look at, promote, roll back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from flask import Response, jsonify
from pydantic import BaseModel, Field

from app.api.context import container
from app.api.resource import resource
from app.services.versions import ModelVersion

api = resource("admin_models", "/v1/admin/models", secured=True, admin=True)

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""A report is a page of figures, drawings and pictures inside one file: it loads and runs nothing."""


class ModelOut(BaseModel):
    """A model version."""

    version: str
    state: Literal["challenger", "champion", "refused", "retired"]
    weights: str | None = Field(description="The weights it was trained with.")
    space: str = Field(description="The vector world of these weights.")
    fits: bool = Field(description="Whether its network is here, so that it can be served.")
    served: bool = Field(description="Whether the process that answers serves it at this moment.")
    created_at: datetime
    promoted_at: datetime | None
    reason: str | None = Field(description="What the gate decided when it was made, and why; null without a gate.")


class GateOut(BaseModel):
    """What was decided when the version was made."""

    decision: Literal["promoted", "refused", "kept"]
    reason: str
    champion: str | None = Field(description="The version it was compared with; null where none was served.")
    comparison: dict[str, Any] | None


class ModelListOut(BaseModel):
    """Every version, newest first."""

    models: list[ModelOut]


class PromotionOut(BaseModel):
    """One time the version became champion."""

    replaced: str | None
    created_at: datetime
    undone_at: datetime | None


class ModelDetailOut(ModelOut):
    """A version with what was measured and its history."""

    metrics: dict[str, Any]
    gate: GateOut | None
    promotions: list[PromotionOut] = Field(description="Newest first.")


class ModelPath(BaseModel):
    """Which version."""

    version: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


@api.get("", responses={200: ModelListOut})
def list_models() -> Response:
    """List every model version, newest first."""
    serving = _serving()
    out = ModelListOut(models=[ModelOut(**_fields(found, serving)) for found in container().versions.all()])
    return jsonify(out.model_dump(mode="json"))


@api.get("/<version>", responses={200: ModelDetailOut})
def show_model(path: ModelPath) -> Response:
    """Show one model version with its measures and promotions."""
    found = container().versions.get(path.version)
    notes = [
        PromotionOut(replaced=n.replaced, created_at=n.created_at, undone_at=n.undone_at) for n in found.promotions
    ]
    gate = None if found.gate is None else GateOut(**found.gate)
    out = ModelDetailOut(**_fields(found, _serving()), metrics=dict(found.metrics), gate=gate, promotions=notes)
    return jsonify(out.model_dump(mode="json"))


@api.get(
    "/<version>/report",
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
def show_report(path: ModelPath) -> Response:
    """The report that training wrote, as a page."""
    response = Response(container().versions.report(path.version), mimetype="text/html")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


@api.post("/<version>/promote", responses={200: ModelOut})
def promote(path: ModelPath) -> Response:
    """Serve this version from now on; every process does within about two seconds.

    One of other weights takes some seconds more to load, and is refused while its space lacks photos.
    """
    found = container().versions.promote(path.version)
    return jsonify(ModelOut(**_fields(found, _serving())).model_dump(mode="json"))


@api.post("/rollback", responses={200: ModelOut})
def rollback() -> Response:
    """Serve again what was served before; repeated, it goes further back."""
    found = container().versions.rollback()
    return jsonify(ModelOut(**_fields(found, _serving())).model_dump(mode="json"))


def _serving() -> str | None:
    served = container().model.now()
    return None if served is None else served.recognizer.version


def _fields(found: ModelVersion, serving: str | None) -> dict[str, Any]:
    return {
        "version": found.version,
        "state": found.state,
        "weights": found.weights,
        "space": found.space,
        "fits": found.fits,
        "served": found.version == serving,
        "created_at": found.created_at,
        "promoted_at": found.promoted_at,
        "reason": found.reason,
    }
