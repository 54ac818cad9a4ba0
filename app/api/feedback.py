"""What the shopper chose, unsaying it, and taking a search back."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field

from app.api.context import container
from app.api.fields import Sku
from app.api.resource import resource
from app.api.security import principal

api = resource("feedback", "/v1", secured=True)


class FeedbackRequest(BaseModel):
    """What the shopper said of a search."""

    model_config = ConfigDict(extra="forbid")

    query_id: UUID
    outcome: Literal["picked", "none_of_these"]
    sku: Sku | None = Field(None, description="Required where outcome is `picked`, else left out.")


class FeedbackOut(BaseModel):
    """What is recorded now."""

    query_id: UUID
    outcome: Literal["picked", "none_of_these"]
    sku: str | None
    created_at: datetime


class QueryPath(BaseModel):
    """Which query."""

    query_id: UUID


class TaughtModelOut(BaseModel):
    """A model version that was made with the photo."""

    version: str
    state: Literal["challenger", "champion", "refused", "retired"]
    use: Literal["trained", "held_out", "not_known"] = Field(
        description="Trained on it, only measured on it, or its files no longer tell."
    )


class ForgottenOut(BaseModel):
    """A deleted search whose photo had been accepted for training."""

    query_id: UUID
    photo_deleted: bool = Field(description="False where another search or the catalogue has the very same photo.")
    models: list[TaughtModelOut] = Field(description="Newest first; the next training does without the photo.")


@api.post("/feedback", responses={200: FeedbackOut})
def feedback(body: FeedbackRequest) -> Response:
    """Say which product it was, or that it was none of the candidates.

    Idempotent: the same again changes nothing; something else replaces what was said before.
    """
    recorded = container().feedback.record(principal(), body.query_id, body.outcome, body.sku)
    out = FeedbackOut(
        query_id=recorded.query_id,
        outcome=recorded.outcome,
        sku=recorded.sku,
        created_at=recorded.created_at,
    )
    return jsonify(out.model_dump(mode="json"))


@api.delete("/feedback/<query_id>", responses={204: None})
def withdraw(path: QueryPath) -> tuple[str, int]:
    """Unsay what was said of a search; the search and its kept photo stay."""
    container().feedback.withdraw(principal(), path.query_id)
    return "", 204


@api.delete("/queries/<query_id>", responses={200: ForgottenOut, 204: None})
def forget(path: QueryPath) -> tuple[Response | str, int]:
    """Delete a search with its pick, its kept photo and what was learned from it but for the trained models.

    204, or 200 with the model versions that were made with the photo where there are any.
    """
    return forgotten(path.query_id)


def forgotten(query_id: UUID) -> tuple[Response | str, int]:
    """Delete a query of the caller's, and say what it taught."""
    found = container().feedback.forget(principal(), query_id)
    if not found.models:
        return "", 204
    models = [TaughtModelOut(version=m.version, state=m.state, use=m.use) for m in found.models]  # type: ignore[arg-type]
    out = ForgottenOut(query_id=found.query_id, photo_deleted=found.photo_deleted, models=models)
    return jsonify(out.model_dump(mode="json")), 200
