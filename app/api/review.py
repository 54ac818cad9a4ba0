"""/v1/admin/review: what shoppers picked for photos that they let the shop keep; and deleting a query as an admin."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from flask import Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field

from app.api import limits
from app.api.context import container
from app.api.feedback import ForgottenOut, QueryPath, forgotten
from app.api.fields import PAGE_LIMIT, Cursor, Sku
from app.api.refusals import RefusalOut, refusal_out
from app.api.resource import resource
from app.api.security import principal
from app.errors import RequestInvalid
from app.services.review import BulkOutcome, Decision, ReviewedItem
from app.services.review_guards import FlagCode
from app.store.review import ReviewState
from app.store.review_listing import ReviewFilters

api = resource("review", "/v1/admin", secured=True, admin=True)

_LONGEST_BATCH = 100


class PickOut(BaseModel):
    """What the shopper said."""

    outcome: Literal["picked", "none_of_these"]
    sku: str | None
    label: str | None = Field(description="The label of the picked product, when it was picked.")


class JuryVoteOut(BaseModel):
    """One classifier's opinion of a candidate."""

    state: Literal["ranked", "not_ranked", "label_unknown"]
    rank: int | None
    score: float | None


class ModelCandidateOut(BaseModel):
    """A candidate of the answer."""

    label: str
    sku: str
    score: float
    votes: dict[str, JuryVoteOut] = Field(description="By classifier; empty for searches of older versions.")


class ModelOpinionOut(BaseModel):
    """What the model answered."""

    version: str
    verdict: Literal["known", "unsure", "unknown"]
    calibrated: bool
    candidates: list[ModelCandidateOut]


class FlagOut(BaseModel):
    """Why the item wants a closer look."""

    code: FlagCode
    reason: str


class OriginOut(BaseModel):
    """Who picked, and how much came from there."""

    installation: str | None = Field(description="A pseudonym; null for an administrator.")
    items: int = Field(description="Review items of this installation.")
    doubtful_items: int = Field(description="Those of them that were discarded or relabelled, or are doubtful.")
    items_of_label: int = Field(description="Those of them with the same label that are not discarded.")
    label_items: int = Field(description="Items of this label from anyone that are not discarded.")
    share: float | None = Field(description="items_of_label / label_items.")
    installations_at_address: int = Field(description="Installations that picked from its address within a day of it.")


class DecisionOut(BaseModel):
    """What was decided."""

    sku: str | None = Field(description="The product that the photo was accepted as; null where it was discarded.")
    decided_at: datetime
    decided_by: int | None = Field(description="Id of the admin key.")


class ReviewItemOut(BaseModel):
    """A review item."""

    id: UUID = Field(description="Its query's id.")
    state: ReviewState
    created_at: datetime
    photo_url: str = Field(description="Path on this host; needs an admin key as the bearer token.")
    pick: PickOut
    model: ModelOpinionOut
    flags: list[FlagOut]
    origin: OriginOut
    decision: DecisionOut | None
    in_training: bool = Field(description="Whether the next training takes the photo.")
    etag: str = Field(description="As in the header ETag, without its quotes.")


class ReviewPageOut(BaseModel):
    """A page of review items, newest first."""

    items: list[ReviewItemOut]
    next_cursor: str | None
    undecided: int = Field(description="How many items wait in all.")


class ReviewQuery(BaseModel):
    """Which items."""

    model_config = ConfigDict(extra="forbid")

    state: ReviewState | None = None
    flag: FlagCode | None = Field(None, description="Only items with this flag.")
    flagged: bool | None = Field(None, description="Only items with any flag, or only those without one.")
    limit: int = Field(20, ge=1, le=PAGE_LIMIT)
    cursor: Cursor | None = Field(None, description="next_cursor of the page before, with the same filters.")


class ReviewPath(BaseModel):
    """Which item."""

    query_id: UUID


class PhotoQuery(BaseModel):
    """How large."""

    model_config = ConfigDict(extra="forbid")

    size: Literal["200", "800"] = Field("800", description="Longest edge, pixels.")


class DecisionRequest(BaseModel):
    """What to do with an item."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["accept", "relabel", "discard"]
    sku: Sku | None = Field(None, description="relabel: the product that the photo shows. accept: the pick's, or none.")


class BulkRequest(BaseModel):
    """What to do with many items."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["accept", "discard"]
    ids: list[UUID] = Field(min_length=1, max_length=_LONGEST_BATCH)


class BulkResultOut(BaseModel):
    """What became of one item."""

    id: UUID
    done: bool
    problem: RefusalOut | None


class BulkOut(BaseModel):
    """What became of each item, in the order they came; an id that came twice is there once."""

    results: list[BulkResultOut]


_IF_MATCH: dict[str, Any] = {
    "parameters": [
        {
            "in": "header",
            "name": "If-Match",
            "schema": {"type": "string"},
            "description": "The item's ETag: decide only if it is still so; replaces a former decision.",
        }
    ]
}


@api.get("/review", responses={200: ReviewPageOut})
def list_review(query: ReviewQuery) -> Response:
    """List review items, newest first, a page at a time."""
    filters = ReviewFilters(query.state, query.flag, query.flagged)
    page = container().review.page(filters, query.limit, query.cursor)
    items = [_item_out(found) for found in page.items]
    out = ReviewPageOut(items=items, next_cursor=page.next_cursor, undecided=page.undecided)
    return jsonify(out.model_dump(mode="json"))


@api.post("/review", responses={200: BulkOut})
def decide_many(body: BulkRequest) -> Response:
    """Accept or discard many items. Items with a flag are not accepted here: each needs a look of its own."""
    limits.spend(len(body.ids) - 1)
    outcomes = container().review.decide_many(principal(), body.ids, body.action)
    return jsonify(BulkOut(results=[_bulk_out(outcome) for outcome in outcomes]).model_dump(mode="json"))


@api.get("/review/<query_id>", responses={200: ReviewItemOut})
def show_review(path: ReviewPath) -> Response:
    """Show one review item."""
    return _answer(container().review.item(path.query_id))


@api.post("/review/<query_id>", responses={200: ReviewItemOut}, openapi_extensions=_IF_MATCH)
def decide(path: ReviewPath, body: DecisionRequest) -> Response:
    """Decide on an item. The same decision again changes nothing; another one needs `If-Match`."""
    etags = request.if_match
    if etags.star_tag:
        raise RequestInvalid.of("If-Match", "`*` says nothing of what is to be replaced; send the item's ETag")
    decision = Decision(body.action, body.sku)
    expected = frozenset(etags.as_set()) if request.headers.get("If-Match") is not None else None
    return _answer(container().review.decide(principal(), path.query_id, decision, expected))


@api.get(
    "/review/<query_id>/photo",
    responses={200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}}},
)
def show_photo(path: ReviewPath, query: PhotoQuery) -> Response:
    """The shopper's photo, without its metadata; it has no other address than this one."""
    photo = container().review.photo(path.query_id, query.size)
    return Response(photo.data, mimetype="image/webp")


@api.delete("/queries/<query_id>", responses={200: ForgottenOut, 204: None})
def forget_as_admin(path: QueryPath) -> tuple[Response | str, int]:
    """Delete a search of any session, as `DELETE /v1/queries/{query_id}` does, with a line in the audit log."""
    return forgotten(path.query_id)


def _answer(found: ReviewedItem) -> Response:
    response = jsonify(_item_out(found).model_dump(mode="json"))
    response.set_etag(found.etag)
    return response


def _item_out(found: ReviewedItem) -> ReviewItemOut:
    item, query, crowd = found.item, found.query, found.crowd
    decision = None
    if item.decided_at is not None:
        decision = DecisionOut(sku=item.decided_sku, decided_at=item.decided_at, decided_by=item.decided_by)
    candidates = [ModelCandidateOut.model_validate({"votes": {}, **candidate}) for candidate in query.candidates]
    return ReviewItemOut(
        id=item.query_id,
        state=item.state,  # type: ignore[arg-type]  # the table's check
        created_at=item.created_at,
        photo_url=f"/v1/admin/review/{item.query_id}/photo",
        pick=PickOut(outcome=item.outcome, sku=item.sku, label=item.label),  # type: ignore[arg-type]
        model=ModelOpinionOut(
            version=query.model_version,
            verdict=query.verdict,  # type: ignore[arg-type]
            calibrated=query.calibrated,
            candidates=candidates,
        ),
        flags=[FlagOut(code=flag.code, reason=flag.reason) for flag in found.flags],  # type: ignore[arg-type]
        origin=OriginOut(
            installation=item.installation,
            items=crowd.of_installation,
            doubtful_items=crowd.doubtful,
            items_of_label=crowd.of_label_here,
            label_items=crowd.of_label,
            share=crowd.of_label_here / crowd.of_label if crowd.of_label else None,
            installations_at_address=crowd.installations,
        ),
        decision=decision,
        in_training=found.in_training,
        etag=found.etag,
    )


def _bulk_out(outcome: BulkOutcome) -> BulkResultOut:
    problem = None if outcome.error is None else refusal_out(outcome.error)
    return BulkResultOut(id=outcome.query_id, done=outcome.error is None, problem=problem)
