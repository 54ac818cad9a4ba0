"""/v1/admin/proposals: what the text model would fill in, for an administrator to accept or not."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field

from app.api import limits
from app.api.context import container
from app.api.fields import PAGE_LIMIT, Cursor
from app.api.refusals import RefusalOut, refusal_out
from app.api.resource import resource
from app.services.proposals import ProposalOutcome, ShownProposal
from app.store.media import public_path
from app.store.proposals import ProposalFilters

api = resource("proposals", "/v1/admin/proposals", secured=True, admin=True)

_LONGEST_BATCH = 100
_MAX_ID = 2**63 - 1

FieldName = Literal["type", "category", "colour", "season"]
StateName = Literal["undecided", "accepted", "rejected"]
Action = Literal["accept", "reject"]


class ProposalOut(BaseModel):
    """A value that a product lacks, as the text model sees it."""

    id: int
    sku: str
    name: str | None
    image_url: str | None = Field(description="Path on this host of a WebP of at most 200 pixels an edge.")
    field: FieldName
    value: str
    confidence: float = Field(description="Estimated probability in [0, 1] that it is right.")
    state: StateName
    model_version: str = Field(description="Of the text model.")
    created_at: datetime
    decided_at: datetime | None


class ProposalPageOut(BaseModel):
    """A page of proposals, the surest first."""

    items: list[ProposalOut]
    next_cursor: str | None
    undecided: int = Field(description="How many proposals wait in all.")


class ProposalQuery(BaseModel):
    """Which proposals."""

    model_config = ConfigDict(extra="forbid")

    state: StateName = "undecided"
    field: FieldName | None = None
    limit: int = Field(20, ge=1, le=PAGE_LIMIT)
    cursor: Cursor | None = Field(None, description="next_cursor of the page before, with the same filters.")


class ProposalPath(BaseModel):
    """Which proposal."""

    proposal_id: int = Field(ge=1, le=_MAX_ID)


class ProposalDecisionRequest(BaseModel):
    """What to do with a proposal."""

    model_config = ConfigDict(extra="forbid")

    action: Action


class ManyProposalsRequest(BaseModel):
    """What to do with many proposals."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    ids: list[Annotated[int, Field(ge=1, le=_MAX_ID)]] = Field(min_length=1, max_length=_LONGEST_BATCH)


class ProposalResultOut(BaseModel):
    """What became of one proposal."""

    id: int
    done: bool
    problem: RefusalOut | None


class ManyProposalsOut(BaseModel):
    """What became of each proposal, in the order they came; an id that came twice is there once."""

    results: list[ProposalResultOut]


@api.get("", responses={200: ProposalPageOut})
def list_proposals(query: ProposalQuery) -> Response:
    """List proposals, the surest first, a page at a time."""
    page = container().proposals.page(ProposalFilters(query.state, query.field), query.limit, query.cursor)
    items = [_proposal_out(found) for found in page.items]
    out = ProposalPageOut(items=items, next_cursor=page.next_cursor, undecided=page.undecided)
    return jsonify(out.model_dump(mode="json"))


@api.post("", responses={200: ManyProposalsOut})
def decide_proposals(body: ManyProposalsRequest) -> Response:
    """Accept or reject many proposals, each by itself: what cannot be done to one keeps no other back."""
    limits.spend(len(body.ids) - 1)
    outcomes = container().proposals.decide_many(body.ids, body.action)
    out = ManyProposalsOut(results=[_result_out(outcome) for outcome in outcomes])
    return jsonify(out.model_dump(mode="json"))


@api.get("/<int:proposal_id>", responses={200: ProposalOut})
def show_proposal(path: ProposalPath) -> Response:
    """Show one proposal."""
    return _answer(container().proposals.item(path.proposal_id))


@api.post("/<int:proposal_id>", responses={200: ProposalOut})
def decide_proposal(path: ProposalPath, body: ProposalDecisionRequest) -> Response:
    """Accept a proposal, which writes its value into the product, or reject it, so that it is never made again.

    The same decision again changes nothing; the other one is refused.
    """
    return _answer(container().proposals.decide(path.proposal_id, body.action))


def _answer(found: ShownProposal) -> Response:
    return jsonify(_proposal_out(found).model_dump(mode="json"))


def _proposal_out(found: ShownProposal) -> ProposalOut:
    proposal = found.proposal
    return ProposalOut(
        id=proposal.id,
        sku=found.product.sku,
        name=found.product.name,
        image_url=None if found.image_token is None else public_path(found.image_token, "200"),
        field=proposal.field,  # type: ignore[arg-type]  # the table's check
        value=proposal.value,
        confidence=proposal.confidence,
        state=proposal.state,  # type: ignore[arg-type]  # the table's check
        model_version=proposal.model_version,
        created_at=proposal.created_at,
        decided_at=proposal.decided_at,
    )


def _result_out(outcome: ProposalOutcome) -> ProposalResultOut:
    problem = None if outcome.error is None else refusal_out(outcome.error)
    return ProposalResultOut(id=outcome.id, done=outcome.error is None, problem=problem)
