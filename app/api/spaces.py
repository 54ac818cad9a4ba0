"""Spaces, for administrators: one vector world a weight source, and what each still lacks."""

from __future__ import annotations

from datetime import datetime

from flask import Response, jsonify
from pydantic import BaseModel, Field

from app.api.context import container
from app.api.resource import resource
from app.services.spaces import SpaceInfo, SpaceState

api = resource("spaces", "/v1/admin/spaces", secured=True, admin=True)


class UnreadableOut(BaseModel):
    """A photo whose vector could not be computed."""

    sku: str
    content_hash: str
    reason: str


class SpaceOut(BaseModel):
    """A space."""

    space: str
    state: SpaceState = Field(
        description="`served`; `rollback`: a rollback would serve it; `preparing`: kept complete for a promotion; "
        "`unused`: kept up to date by nobody; `dropped`: only named by model versions."
    )
    weights: str | None
    precision: str | None
    versions: list[str] = Field(description="Model versions of it, newest first.")
    vectors: int = Field(description="Reference photos that it holds.")
    lacking: int | None = Field(description="Photos that it still lacks; null where nobody keeps account of it.")
    unreadable_total: int | None = Field(description="Those of them whose vectors could not be computed.")
    unreadable: list[UnreadableOut] = Field(description="The first few of these.")
    prepared: bool = Field(description="Whether its network is here.")
    size_bytes: int = Field(description="Of its vectors in the database, with their indexes.")
    created_at: datetime
    dropped_at: datetime | None


class SpaceListOut(BaseModel):
    """Every space, newest first."""

    spaces: list[SpaceOut]


@api.get("", responses={200: SpaceListOut})
def list_spaces() -> Response:
    """List every space with its state and what it lacks, newest first."""
    out = SpaceListOut(spaces=[_shown(found) for found in container().spaces.all()])
    return jsonify(out.model_dump(mode="json"))


def _shown(found: SpaceInfo) -> SpaceOut:
    return SpaceOut(
        space=found.identifier,
        state=found.state,
        weights=found.weights,
        precision=found.precision,
        versions=list(found.versions),
        vectors=found.vectors,
        lacking=None if found.lacking is None else found.lacking.photos,
        unreadable_total=None if found.lacking is None else found.lacking.unreadable,
        unreadable=[
            UnreadableOut(sku=photo.sku, content_hash=photo.content_hash, reason=photo.reason)
            for photo in found.unreadable
        ],
        prepared=found.prepared,
        size_bytes=found.size_bytes,
        created_at=found.created_at,
        dropped_at=found.dropped_at,
    )
