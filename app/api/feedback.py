"""POST /v1/feedback and DELETE /v1/queries/{id}: what the shopper chose, and taking a search back."""

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


@api.delete("/queries/<query_id>", responses={204: None})
def forget(path: QueryPath) -> tuple[str, int]:
    """Delete a search with its pick and its kept photo."""
    container().feedback.forget(principal(), path.query_id)
    return "", 204
