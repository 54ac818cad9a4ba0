"""Proposals as rows: a page of them, one with its product, writing what a text model says, what was accepted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ARRAY, BigInteger, Text, any_, cast, delete, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import REAL, insert
from sqlalchemy.orm import Session

from app.store.proposal_table import Proposal
from app.store.tables import Product

Field = Literal["type", "category", "colour", "season"]
State = Literal["undecided", "accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class ProposalFilters:
    """Which proposals; None for any."""

    state: State | None = "undecided"
    field: Field | None = None


@dataclass(frozen=True, slots=True)
class ProposalPosition:
    """Where a page ended."""

    confidence: float
    id: int


@dataclass(frozen=True, slots=True, eq=False)
class ListedProposal:
    """A proposal with the product that it is about."""

    proposal: Proposal
    product: Product


def list_proposals(
    session: Session, filters: ProposalFilters, limit: int, after: ProposalPosition | None = None
) -> tuple[list[ListedProposal], ProposalPosition | None]:
    """A page, the surest first, and where the next begins (None: there is no more)."""
    wanted = select(Proposal, Product).join(Product, Product.id == Proposal.product_id)
    if filters.state is not None:
        wanted = wanted.where(Proposal.state == filters.state)
    if filters.field is not None:
        wanted = wanted.where(Proposal.field == filters.field)
    if after is not None:
        # Compared as the column is stored: the same number in double precision lies beside it.
        place = tuple_(cast(after.confidence, REAL), literal(after.id, BigInteger))
        wanted = wanted.where(tuple_(Proposal.confidence, Proposal.id) < place)
    wanted = wanted.order_by(Proposal.confidence.desc(), Proposal.id.desc()).limit(limit + 1)
    rows = [ListedProposal(proposal, product) for proposal, product in session.execute(wanted)]
    last = rows[limit - 1].proposal if len(rows) > limit else None
    return rows[:limit], None if last is None else ProposalPosition(last.confidence, last.id)


def count_undecided(session: Session) -> int:
    """How many proposals wait."""
    return session.scalar(select(func.count()).select_from(Proposal).where(Proposal.state == "undecided")) or 0


def find_proposal(session: Session, proposal_id: int, *, lock: bool = False) -> ListedProposal | None:
    """One proposal, or None. lock: be the only one to decide on it until the transaction ends."""
    wanted = (
        select(Proposal, Product)
        .join(Product, Product.id == Proposal.product_id)
        .where(Proposal.id == proposal_id)
        .execution_options(populate_existing=True)
    )
    row = session.execute(wanted.with_for_update(of=Proposal) if lock else wanted).one_or_none()
    return None if row is None else ListedProposal(*row)


def write_proposals(session: Session, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert proposals, and replace undecided ones; returns the ids of those written. Decided ones stay."""
    if not rows:
        return []
    statement = insert(Proposal).values([dict(row) for row in rows])
    changed = {name: statement.excluded[name] for name in ("value", "confidence", "model_version")}
    statement = statement.on_conflict_do_update(
        index_elements=[Proposal.product_id, Proposal.field], set_=changed, where=Proposal.state == "undecided"
    )
    return list(session.scalars(statement.returning(Proposal.id)))


def remove_undecided(session: Session, product_ids: Collection[int], but: Collection[int]) -> int:
    """Remove what is undecided of these products, but for the proposals of these ids; returns how many went."""
    gone = delete(Proposal).where(
        Proposal.state == "undecided",
        Proposal.product_id == any_(literal(list(product_ids), ARRAY(BigInteger))),
        ~(Proposal.id == any_(literal(list(but), ARRAY(BigInteger)))),
    )
    return len(session.scalars(gone.returning(Proposal.id)).all())


def products_with_undecided(session: Session) -> list[int]:
    """Ids of products of which something is undecided, ascending."""
    wanted = select(Proposal.product_id).where(Proposal.state == "undecided").distinct().order_by(Proposal.product_id)
    return list(session.scalars(wanted))


def accepted_values(session: Session, skus: Sequence[str]) -> dict[str, dict[str, str]]:
    """sku -> field -> value, of what was accepted for these products."""
    wanted = (
        select(Product.sku, Proposal.field, Proposal.value)
        .join(Product, Product.id == Proposal.product_id)
        .where(Proposal.state == "accepted", Product.sku == any_(literal(list(skus), ARRAY(Text))))
    )
    found: dict[str, dict[str, str]] = {}
    for sku, name, value in session.execute(wanted):
        found.setdefault(sku, {})[name] = value
    return found
