"""A small shop whose right recommendations are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pytest
from sqlalchemy import Engine, delete

from app.services.cursors import Cursors
from app.services.recommend import RecommendFilters, RecommendService
from app.store.database import transaction
from app.store.spaces import drop_space, ensure_space, find_space
from app.store.tables import Brand, Category, Product, ProductLook
from app.store.text import key
from models.values import PROJECTED_SIZE

SPACE = "feedfacefeedface"


def look(angle: float) -> list[float]:
    """A unit vector at ``angle`` degrees from the look of angle 0."""
    vector = np.zeros(PROJECTED_SIZE)
    vector[0], vector[1] = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return vector.tolist()


@dataclass
class Shop:
    """Adds products; ``service`` recommends from them."""

    engine: Engine
    service: RecommendService
    space_id: int
    ids: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        sku: str,
        *,
        brand: str | None = "Acme",
        price: str | None = "10",
        angle: float | None = 0,
        **more,
    ) -> None:
        """A red shirt like all others, but for what is given; ``category`` is a path."""
        values = {
            "type": "Shirt",
            "colour": "Red",
            "lab": [45.0, 60.0, 40.0],
            "category": "Wear > Tops > Shirts",
        } | more
        path = values.pop("category")
        for name in ("type", "colour", "predicted_type", "predicted_colour"):
            if values.get(name) is not None:
                values[f"{name}_key"] = key(values[name])
        with transaction(self.engine) as session:
            product = Product(sku=sku, name=sku, name_key=key(sku), **values)
            product.price = None if price is None else Decimal(price)
            product.currency = None if price is None else "EUR"
            if brand is not None:
                known = session.query(Brand).filter_by(name_key=key(brand)).one_or_none()
                product.brand = known or Brand(name=brand, name_key=key(brand))
            if path is not None:
                product.category_id = self._category(session, path)
            session.add(product)
            session.flush()
            self.ids[sku] = product.id
            if angle is not None:
                session.add(ProductLook(space_id=self.space_id, product_id=product.id, look=look(angle)))

    def _category(self, session, path: str) -> int:
        parts = path.split(" > ")
        parent_id = None
        for depth in range(len(parts)):
            above = " > ".join(parts[: depth + 1])
            known = session.query(Category).filter_by(path_key=key(above)).one_or_none()
            if known is None:
                known = Category(parent_id=parent_id, name=parts[depth], path=above, path_key=key(above), depth=depth)
                session.add(known)
                session.flush()
            parent_id = known.id
        assert parent_id is not None
        return parent_id

    def skus(self, sku: str = "pick", limit: int = 100, **filters) -> list[str]:
        """The recommended skus, in order."""
        page = self.service.recommend(sku, RecommendFilters(**filters), limit)
        return [item.product.product.sku for item in page.items]


@pytest.fixture
def shop(engine: Engine) -> Iterator[Shop]:
    """An empty shop with one space; emptied again afterwards."""
    _empty(engine)
    with transaction(engine) as session:
        space_id = ensure_space(session, SPACE, {})
    yield Shop(engine, RecommendService(engine, Cursors(engine)), space_id)
    _empty(engine)


def _empty(engine: Engine) -> None:
    with transaction(engine) as session:
        known = find_space(session, SPACE)
        session.execute(delete(Product))
        session.execute(delete(Brand))
        for depth in range(10, -1, -1):
            session.execute(delete(Category).where(Category.depth == depth))
        if known is not None:
            drop_space(session, known)
