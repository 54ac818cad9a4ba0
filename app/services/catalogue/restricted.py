"""Products that look like those the operator has marked as restricted, and are not marked; reads only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.words import ServedWords, photos_of, words_of
from app.store.shared_vectors import words_of as rows_of
from app.store.tables import Product
from models.multimodal.shared import SHARED_SIZE

_AT_A_TIME: Final = 1000
_NOT_TRAINED: Final = "not run: no shared space of words and photos; `python -m app text train` makes one"
_NOT_FITTED: Final = (
    "not run: when `python -m app text train` last ran, too few products had the column `restricted` true, or false"
)


@dataclass(frozen=True, slots=True)
class Flagged:
    """A product to look at. probability: that it is restricted."""

    sku: str
    name: str | None
    probability: float


@dataclass(frozen=True, slots=True)
class RestrictedReport:
    """state: ``run``, or why it was not. recall: asked for. unmarked: products that are not marked as restricted.
    flagged: those of them that look like restricted ones, most probable first."""

    state: str
    recall: float
    unmarked: int = 0
    flagged: tuple[Flagged, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def find_restricted(session: Session, served: ServedWords | None, recall: float) -> RestrictedReport:
    """Look at every product that is not marked. recall: one of ``models.multimodal.restricted.RECALLS``."""
    if served is None:
        return RestrictedReport(_NOT_TRAINED, recall)
    model = served.bundle.restricted
    if model is None:
        return RestrictedReport(_NOT_FITTED, recall)
    unmarked = Product.restricted.is_(None) | Product.restricted.is_(False)
    told = session.execute(select(Product.id, Product.sku).where(unmarked).order_by(Product.id)).all()
    sku_of = {row.id: row.sku for row in told}
    found: list[Flagged] = []
    for start in range(0, len(told), _AT_A_TIME):
        rows = rows_of(session, served.space_id, [row.id for row in told[start : start + _AT_A_TIME]])
        photos = photos_of(session, served.space_id, rows)
        looks = np.zeros((len(rows), SHARED_SIZE), np.float32)
        for place, row in enumerate(rows):
            if row.product_id in photos:
                looks[place] = served.bundle.shared.look(photos[row.product_id])
        names = served.bundle.shared.text.encode([words_of(row).text() for row in rows])
        for row, p in zip(rows, model.probability(names, looks).tolist(), strict=True):
            if p >= model.thresholds[recall]:
                found.append(Flagged(sku_of[row.product_id], row.name, p))
    return RestrictedReport(
        "run", recall, len(told), tuple(sorted(found, key=lambda item: (-item.probability, item.sku)))
    )
