"""Photos and products by what models call them: content hashes and labels, for people who look into a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import aliased

from app.store.answers import first_tokens
from app.store.database import transaction
from app.store.review_tables import ReviewedPhoto
from app.store.tables import Category, Image, Product


@dataclass(frozen=True, slots=True)
class AlbumPhoto:
    """Where a photo is today.

    token: of its public address; None for a shopper's photo, which has none, and is shown by its review item
    ``query_id`` instead. sku: of the product that it is of.
    """

    sku: str
    token: str | None
    query_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AlbumLabel:
    """What the catalogue has of a label today. sku, name: of its first product. token: of that one's first photo.

    category: the name of the largest one it is in.
    """

    label: str
    sku: str
    name: str | None
    token: str | None
    category: str | None
    products: int


class Album:
    """Looks photos and labels up. Any thread may call. What the catalogue has no more is left out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def photos(self, hashes: Collection[str]) -> Mapping[str, AlbumPhoto]:
        """Photos by content hash; of a photo that several products have, the first by sku."""
        wanted = list(set(hashes))
        if not wanted:
            return {}
        with transaction(self._engine) as session:
            own = session.execute(
                select(Image.content_hash, Product.sku, Image.token)
                .join(Product, Product.id == Image.product_id)
                .where(Image.content_hash.in_(wanted))
                .order_by(Product.sku.desc())
            ).all()
            sent = session.execute(
                select(ReviewedPhoto.content_hash, Product.sku, ReviewedPhoto.query_id)
                .join(Product, Product.id == ReviewedPhoto.product_id)
                .where(ReviewedPhoto.content_hash.in_(wanted))
                .order_by(Product.sku.desc())
            ).all()
        found = {row.content_hash: AlbumPhoto(row.sku, None, row.query_id) for row in sent}
        return {**found, **{row.content_hash: AlbumPhoto(row.sku, row.token) for row in own}}

    def labels(self, labels: Collection[str]) -> Mapping[str, AlbumLabel]:
        """Labels that have a product."""
        wanted = list(set(labels))
        if not wanted:
            return {}
        largest = aliased(Category)
        # The first part of a category's path is the key of the largest one it is in.
        root = func.split_part(Category.path_key, " > ", 1)
        place = func.row_number().over(partition_by=Product.label, order_by=Product.sku).label("place")
        count = func.count().over(partition_by=Product.label).label("products")
        ranked = (
            select(Product.id, Product.label, Product.sku, Product.name, Product.category_id, place, count)
            .where(Product.label.in_(wanted))
            .subquery()
        )
        with transaction(self._engine) as session:
            rows = session.execute(
                select(ranked, largest.name.label("category"))
                .where(ranked.c.place == 1)
                .outerjoin(Category, Category.id == ranked.c.category_id)
                .outerjoin(largest, largest.path_key == root)
            ).all()
            tokens = first_tokens(session, [row.id for row in rows])
        return {
            row.label: AlbumLabel(row.label, row.sku, row.name, tokens.get(row.id), row.category, row.products)
            for row in rows
        }
