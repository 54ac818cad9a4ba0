"""What the text model proposes for products whose rows lack a type, category, colour or season.

Nothing is written to a product before an administrator accepts it. What was accepted goes in again where a later import
brings the same row without it: the catalogue's own word, once it says one, stands above any proposal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from sqlalchemy import Engine, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.services.catalogue.vocabulary import category_key, chunks, ensure_categories
from app.store.database import transaction
from app.store.proposal_table import Proposal
from app.store.tables import Product, ReferenceVector, Space
from app.store.text import key
from app.store.text_models import TextModelStore
from models.errors import UsageError
from models.multimodal.bundle import TextBundle
from models.multimodal.classifier import CategoryAnswer, Listing
from models.values import BOTTLENECK_SIZE, Float32

Field = Literal["type", "category", "colour", "season"]
State = Literal["undecided", "accepted", "rejected"]

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Proposed:
    """What ``propose`` did. products: looked at; proposals: written; reapplied: accepted earlier, and lacking again."""

    products: int
    proposals: int
    reapplied: int


@dataclass(frozen=True, slots=True)
class ListedProposal:
    """One proposal as an administrator sees it."""

    id: int
    sku: str
    name: str | None
    field: str
    value: str
    confidence: float
    state: str
    model_version: str


class ProposalService:
    """Proposes, lists and decides. Any thread may call."""

    def __init__(self, engine: Engine, texts: TextModelStore) -> None:
        self._engine = engine
        self._texts = texts

    def propose(self) -> Proposed | None:
        """Ask the text model about every product that lacks something; None where no model has been trained.

        Undecided proposals are replaced; decided ones stay. What the model finds hard to tell is not proposed as type
        or category. :raise BundleDamaged, BundleMismatch: the model cannot be used.
        """
        if self._texts.current() is None:
            return None
        bundle = self._texts.load()
        looked = written = 0
        with transaction(self._engine) as session:
            reapplied = _reapply(session)
            lacking = session.scalars(select(Product.id).where(_lacks()).order_by(Product.id)).all()
            for part in (lacking[start : start + _BATCH] for start in range(0, len(lacking), _BATCH)):
                products = session.scalars(select(Product).where(Product.id.in_(part)).order_by(Product.id)).all()
                answers = bundle.classifier.classify(_listing(session, products, bundle.space))
                rows = [row for pair in zip(products, answers, strict=True) for row in _rows(*pair, bundle)]
                looked, written = looked + len(products), written + _write(session, rows)
        return Proposed(looked, written, reapplied)

    def listed(self, state: State = "undecided", limit: int = 100) -> list[ListedProposal]:
        """The surest first. limit: 1..1000."""
        if not 1 <= limit <= 1000:
            raise UsageError(f"limit is {limit}; expected 1 to 1000")
        query = (
            select(Proposal, Product.sku, Product.name)
            .join(Product, Product.id == Proposal.product_id)
            .where(Proposal.state == state)
            .order_by(Proposal.confidence.desc(), Proposal.id)
            .limit(limit)
        )
        with transaction(self._engine) as session:
            return [
                ListedProposal(p.id, sku, name, p.field, p.value, p.confidence, p.state, p.model_version)
                for p, sku, name in session.execute(query)
            ]

    def decide(self, ids: Sequence[int], *, accept: bool) -> int:
        """Accept or reject undecided proposals; returns how many there were. An accepted one goes into its product
        where that still lacks it, in the same transaction.
        """
        state = "accepted" if accept else "rejected"
        with transaction(self._engine) as session:
            decided = session.scalars(
                update(Proposal)
                .where(Proposal.id.in_(ids), Proposal.state == "undecided")
                .values(state=state, decided_at=func.now())
                .returning(Proposal.id)
            ).all()
            if accept:
                _reapply(session, decided)
        return len(decided)


def _lacks() -> Any:
    return or_(
        Product.type_key.is_(None),
        Product.category_id.is_(None),
        Product.colour_key.is_(None),
        Product.listed_at.is_(None),
    )


def _listing(session: Session, products: Sequence[Product], space: str) -> Listing:
    """The products with the mean of their photos' vectors in the k-NN memory, as training saw them."""
    found: dict[int, list[Float32]] = {}
    vectors = (
        select(ReferenceVector.product_id, ReferenceVector.raw)
        .join(Space, Space.id == ReferenceVector.space_id)
        .where(Space.identifier == space, ReferenceVector.product_id.in_([product.id for product in products]))
    )
    for product_id, raw in session.execute(vectors):
        found.setdefault(product_id, []).append(np.asarray(raw.to_numpy(), np.float32))
    images = np.zeros((len(products), BOTTLENECK_SIZE), np.float32)
    for row, product in enumerate(products):
        if product.id in found:
            mean = np.mean(found[product.id], axis=0)
            images[row] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return Listing(
        tuple(product.name or "" for product in products),
        images,
        np.array([product.id in found for product in products], dtype=bool),
        tuple(product.source for product in products),
        tuple(product.mall_category for product in products),
    )


def _rows(product: Product, answer: CategoryAnswer, bundle: TextBundle) -> Iterable[dict[str, Any]]:
    """What is proposed for one product, as rows of the table."""
    wanted: list[tuple[str, str | None, float]] = []
    if answer.answered and answer.ranked:
        best = answer.ranked[0]
        if product.type_key is None:
            wanted.append(("type", best.label, best.score))
        if product.category_id is None:
            wanted.append(("category", answer.category, best.score))
    for field, lacking in (("colour", product.colour_key is None), ("season", product.listed_at is None)):
        if lacking and field in answer.further:
            wanted.append((field, answer.further[field].label, answer.further[field].score))
    for field, value, confidence in wanted:
        if value is not None:
            yield {
                "product_id": product.id,
                "field": field,
                "value": value,
                "confidence": confidence,
                "model_version": bundle.version,
            }


def _write(session: Session, rows: Sequence[dict[str, Any]]) -> int:
    """Insert proposals, and replace undecided ones; returns how many."""
    written = 0
    for part in chunks(rows):
        statement = insert(Proposal).values(list(part))
        changed = {name: statement.excluded[name] for name in ("value", "confidence", "model_version")}
        statement = statement.on_conflict_do_update(
            index_elements=[Proposal.product_id, Proposal.field], set_=changed, where=Proposal.state == "undecided"
        )
        written += len(session.scalars(statement.returning(Proposal.id)).all())
    return written


def _reapply(session: Session, ids: Sequence[int] | None = None) -> int:
    """Write accepted values into products that lack them; returns how many. ids: of proposals; all by default."""
    accepted = select(Proposal).where(Proposal.state == "accepted", Proposal.field != "season")
    if ids is not None:
        accepted = accepted.where(Proposal.id.in_(ids))
    proposals = session.scalars(accepted).all()
    paths = ensure_categories(session, [p.value for p in proposals if p.field == "category"])
    written = 0
    for proposal in proposals:
        product = session.get_one(Product, proposal.product_id)
        if proposal.field == "type" and product.type_key is None:
            product.type, product.type_key = proposal.value, key(proposal.value)
        elif proposal.field == "colour" and product.colour_key is None:
            product.colour, product.colour_key = proposal.value, key(proposal.value)
        elif proposal.field == "category" and product.category_id is None:
            product.category_id = paths[category_key(proposal.value) or ""]
        else:
            continue
        written += 1
    session.flush()
    return written
