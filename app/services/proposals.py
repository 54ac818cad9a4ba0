"""What the text model proposes for products whose rows lack a type, category, colour or season.

Nothing is written to a product before an administrator accepts it. What was accepted counts as said by the row where a
later import brings the same row without it (``app.services.catalogue.accepted``): the catalogue's own word, once it
says one, stands above any proposal. A proposal is decided once; whoever thinks better of it changes the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Engine, func
from sqlalchemy.orm import Session

from app.errors import CursorInvalid, ProposalDecided, ProposalNotFound, ProposalOutdated
from app.services.catalogue.locking import own_product
from app.services.catalogue.planning import colour_prediction
from app.services.catalogue.vocabulary import category_key, ensure_categories
from app.services.cursors import Cursors
from app.services.proposing import Proposed, propose
from app.services.words import ServedWords, SharedInService, refresh_places
from app.store import proposals
from app.store.answers import first_tokens
from app.store.database import transaction
from app.store.proposal_table import Proposal
from app.store.proposals import ProposalFilters, ProposalPosition
from app.store.tables import Product
from app.store.text import key
from app.store.text_models import TextModelStore
from models.errors import PicktureError

ProposalAction = Literal["accept", "reject"]

_LISTING = "proposals"
_STATES = {"accept": "accepted", "reject": "rejected"}


@dataclass(frozen=True, slots=True, eq=False)
class ShownProposal:
    """A proposal as an administrator sees it. image_token: of the product's first photo."""

    proposal: Proposal
    product: Product
    image_token: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ProposalPage:
    """A page, the surest first. undecided: how many wait in all."""

    items: tuple[ShownProposal, ...]
    next_cursor: str | None
    undecided: int


@dataclass(frozen=True, slots=True)
class ProposalOutcome:
    """What became of one proposal of many. error: why nothing was done."""

    id: int
    error: PicktureError | None


class ProposalService:
    """Proposes, lists and decides. Any thread may call.

    words: the shared space, in which a product changes its place with its row; None for none.
    """

    def __init__(
        self, engine: Engine, texts: TextModelStore, cursors: Cursors, words: SharedInService | None = None
    ) -> None:
        self._engine = engine
        self._texts = texts
        self._cursors = cursors
        self._words = words

    def propose(self) -> Proposed | None:
        """Ask the text model about every product that lacks something; None where no model has been trained.

        :raise BundleDamaged, BundleMismatch: the model cannot be used.
        """
        return None if self._texts.current() is None else propose(self._engine, self._texts.load())

    def page(self, filters: ProposalFilters, limit: int, cursor: str | None = None) -> ProposalPage:
        """One page, the surest first. :raise CursorInvalid: not of this listing."""
        request = {"state": filters.state, "field": filters.field}
        after = None if cursor is None else _position(self._cursors.read(_LISTING, request, cursor))
        with transaction(self._engine) as session:
            found, position = proposals.list_proposals(session, filters, limit, after)
            tokens = first_tokens(session, {listed.product.id for listed in found})
            undecided = proposals.count_undecided(session)
        following = None
        if position is not None:
            following = self._cursors.write(_LISTING, request, [position.confidence, position.id])
        items = tuple(ShownProposal(item.proposal, item.product, tokens.get(item.product.id)) for item in found)
        return ProposalPage(items, following, undecided)

    def item(self, proposal_id: int) -> ShownProposal:
        """One proposal. :raise ProposalNotFound: none has this id."""
        with transaction(self._engine) as session:
            return _shown(session, proposal_id)

    def decide(self, proposal_id: int, action: ProposalAction) -> ShownProposal:
        """Accept or reject a proposal; the same decision again changes nothing. An accepted value is in its product,
        and in the product's place among words, when the transaction ends.

        :raise ProposalNotFound: none has this id, or it was withdrawn since. :raise ProposalDecided: the other thing
        was decided before. :raise ProposalOutdated: to be accepted, and the product says something itself by now.
        """
        words = None if self._words is None else self._words.now()
        with transaction(self._engine) as session:
            _decide(session, proposal_id, action, words)
            return _shown(session, proposal_id)

    def decide_many(self, ids: Sequence[int], action: ProposalAction) -> tuple[ProposalOutcome, ...]:
        """Decide on many proposals alike, each in a transaction of its own.

        :raise DatabaseError: the database does not answer; what was decided until then stays.
        """
        return tuple(self._one_of_many(proposal_id, action) for proposal_id in dict.fromkeys(ids))

    def _one_of_many(self, proposal_id: int, action: ProposalAction) -> ProposalOutcome:
        try:
            self.decide(proposal_id, action)
        except (ProposalNotFound, ProposalDecided, ProposalOutdated) as error:
            return ProposalOutcome(proposal_id, error)
        return ProposalOutcome(proposal_id, None)


def _decide(session: Session, proposal_id: int, action: ProposalAction, words: ServedWords | None) -> None:
    found = proposals.find_proposal(session, proposal_id)
    if found is None:
        raise _not_found(proposal_id)
    # The product first, as whoever deletes one has it: its proposals go with it.
    own_product(session, found.product.sku)
    found = proposals.find_proposal(session, proposal_id, lock=True)
    if found is None:
        raise _not_found(proposal_id)
    proposal, state = found.proposal, _STATES[action]
    if proposal.state == state:
        return
    if proposal.state != "undecided":
        raise ProposalDecided(
            f"proposal {proposal_id} was {proposal.state} before; change the product itself "
            f"(PUT /v1/admin/products/{found.product.sku})"
        )
    if action == "accept":
        _write(session, found.product, proposal)
        refresh_places(session, words, [found.product.id])
    proposal.state, proposal.decided_at = state, func.now()
    session.flush()


def _write(session: Session, product: Product, proposal: Proposal) -> None:
    """Give the product the value, as an import of a row with it would. :raise ProposalOutdated: it says one itself."""
    value, field = proposal.value, proposal.field
    if getattr(product, "category_id" if field == "category" else field) is not None:
        raise ProposalOutdated(
            f"product {product.sku!r} says its {field} itself by now; reject proposal {proposal.id}, or leave it: the "
            "next import withdraws it"
        )
    if field == "category":
        product.category_id = ensure_categories(session, [value])[category_key(value) or ""]
    else:
        setattr(product, field, value)
    if field in ("type", "colour"):
        setattr(product, f"{field}_key", key(value))
    if field == "colour":
        for name, nothing in colour_prediction(None, None).items():
            setattr(product, name, nothing)
    session.flush()


def _shown(session: Session, proposal_id: int) -> ShownProposal:
    found = proposals.find_proposal(session, proposal_id)
    if found is None:
        raise _not_found(proposal_id)
    token = first_tokens(session, [found.product.id]).get(found.product.id)
    return ShownProposal(found.proposal, found.product, token)


def _position(values: list[object]) -> ProposalPosition:
    match values:
        case [float() | int() as confidence, int(number)]:
            return ProposalPosition(float(confidence), number)
    raise CursorInvalid("the cursor is of an older version; start at the first page")


def _not_found(proposal_id: int) -> ProposalNotFound:
    return ProposalNotFound(f"there is no proposal {proposal_id}; GET /v1/admin/proposals lists those there are")
