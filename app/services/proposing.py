"""Asking the text model about every product that lacks something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Engine, or_, select
from sqlalchemy.orm import Session

from app.store.database import transaction
from app.store.proposals import products_with_undecided, remove_undecided, write_proposals
from app.store.tables import Product, ReferenceVector, Space
from models.multimodal.bundle import TextBundle
from models.multimodal.classifier import CategoryAnswer, Listing
from models.multimodal.seasons import SEASONS
from models.values import BOTTLENECK_SIZE, Float32

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Proposed:
    """What ``propose`` did. products: looked at; proposals: written; withdrawn: undecided ones that no longer hold."""

    products: int
    proposals: int
    withdrawn: int


def propose(engine: Engine, bundle: TextBundle) -> Proposed:
    """Ask about each product that lacks something, a thousand at a time and each thousand in a transaction.

    Undecided proposals are replaced, or withdrawn where the product has come to say so itself or the model to find it
    hard to tell; decided ones stay. What is hard to tell is not proposed as type or category.
    """
    by_month = set(bundle.classifier.answers.get("season", ())) <= set(SEASONS)
    with transaction(engine) as session:
        lacking = set(session.scalars(select(Product.id).where(_lacks(by_month))))
        asked = sorted(lacking | set(products_with_undecided(session)))
    looked = written = withdrawn = 0
    for part in (asked[start : start + _BATCH] for start in range(0, len(asked), _BATCH)):
        with transaction(engine) as session:
            # Kept from being deleted before their proposals are touched: else this and a deletion wait for each other.
            wanted = select(Product).where(Product.id.in_(part)).order_by(Product.id)
            products = session.scalars(wanted.with_for_update(read=True, key_share=True)).all()
            answers = bundle.classifier.classify(_listing(session, products, bundle.space))
            rows = [
                row
                for product, answer in zip(products, answers, strict=True)
                for row in _rows(product, answer, bundle.version, by_month)
            ]
            ids = write_proposals(session, rows)
            withdrawn += remove_undecided(session, part, ids)
        looked, written = looked + len(products), written + len(ids)
    return Proposed(looked, written, withdrawn)


def _lacks(by_month: bool) -> ColumnElement[bool]:
    """by_month: whether the model's seasons are those of months, which the date of a listing tells as well."""
    no_season = Product.season.is_(None)
    return or_(
        Product.type_key.is_(None),
        Product.category_id.is_(None),
        Product.colour_key.is_(None),
        no_season & Product.listed_at.is_(None) if by_month else no_season,
    )


def _listing(session: Session, products: Sequence[Product], space: str) -> Listing:
    """The products with the mean of their photos' vectors in the k-NN memory, as training saw them."""
    found: dict[int, list[Float32]] = {}
    vectors = (
        select(ReferenceVector.product_id, ReferenceVector.raw)
        .join(Space, Space.id == ReferenceVector.space_id)
        .where(Space.identifier == space, ReferenceVector.product_id.in_([product.id for product in products]))
        .order_by(ReferenceVector.image_id)
    )
    for product_id, raw in session.execute(vectors):
        found.setdefault(product_id, []).append(np.asarray(raw, np.float32))
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


def _rows(product: Product, answer: CategoryAnswer, version: str, by_month: bool) -> Iterator[dict[str, Any]]:
    """What is proposed for one product, as rows of the table."""
    wanted: list[tuple[str, str | None, float]] = []
    if answer.answered and answer.ranked:
        best = answer.ranked[0]
        if product.type_key is None:
            wanted.append(("type", best.label, best.score))
        if product.category_id is None:
            wanted.append(("category", answer.category, best.score))
    has_season = product.season is not None or (by_month and product.listed_at is not None)
    for field, is_there in (("colour", product.colour_key is not None), ("season", has_season)):
        if not is_there and field in answer.further:
            wanted.append((field, answer.further[field].label, answer.further[field].score))
    for field, value, confidence in wanted:
        if value is not None:
            yield {
                "product_id": product.id,
                "field": field,
                "value": value,
                "confidence": confidence,
                "model_version": version,
            }
