"""What an answer needs of the catalogue: which labels exist, and the products behind them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import ARRAY, Text, exists, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.orm import joinedload

from app.store.review_tables import ReviewedPhoto, ReviewedVector
from app.store.tables import Category, Image, Product, ReferenceVector
from app.store.text import key

MAX_PRODUCTS_A_LABEL = 51
"""Most products loaded of one label: the one shown, and 50 other skus."""


def missing_labels(session: DbSession, labels: Collection[str]) -> frozenset[str]:
    """Those of ``labels`` that no product has any more."""
    if not labels:
        return frozenset()
    wanted = func.unnest(literal(list(labels), ARRAY(Text))).column_valued("wanted")
    return frozenset(session.scalars(select(wanted).where(~exists().where(Product.label == wanted))))


def labels_in_category(session: DbSession, path: str) -> frozenset[str] | None:
    """The labels in a category and below it, or None where there is no such category.

    path: as in the catalogue, e.g. ``Grocery > Dairy``; case and blanks do not matter.
    """
    wanted = key(path)
    wanted = " > ".join(part.strip() for part in wanted.split(">"))
    found = session.scalar(select(Category.id).where(Category.path_key == wanted))
    if found is None:
        return None
    below = Category.path_key.startswith(f"{wanted} > ", autoescape=True)
    return frozenset(
        session.scalars(
            select(Product.label)
            .join(Category, Product.category_id == Category.id)
            .where((Category.path_key == wanted) | below)
            .distinct()
        )
    )


def products_of(session: DbSession, labels: Collection[str]) -> Mapping[str, list[Product]]:
    """The products of each label with brand and category; available ones first, then by sku.

    At most ``MAX_PRODUCTS_A_LABEL`` a label; labels without a product are left out.
    """
    place = (
        func.row_number()
        .over(partition_by=Product.label, order_by=(Product.available.desc(), Product.sku))
        .label("place")
    )
    ranked = select(Product.id, place).where(Product.label.in_(list(labels))).subquery()
    rows = session.scalars(
        select(Product)
        .join(ranked, Product.id == ranked.c.id)
        .where(ranked.c.place <= MAX_PRODUCTS_A_LABEL)
        .order_by(Product.label, ranked.c.place)
        .options(joinedload(Product.brand), joinedload(Product.category))
    )
    found: dict[str, list[Product]] = {}
    for row in rows:
        found.setdefault(row.label, []).append(row)
    return found


def first_tokens(session: DbSession, product_ids: Collection[int]) -> Mapping[int, str]:
    """The token of each product's first photo; products without a photo are left out."""
    rows = session.execute(
        select(Image.product_id, Image.token)
        .ext(distinct_on(Image.product_id))
        .where(Image.product_id.in_(list(product_ids)))
        .order_by(Image.product_id, Image.position, Image.id)
    )
    return {row.product_id: row.token for row in rows}


def first_photo_at(session: DbSession, labels: Collection[str], space_id: int) -> Mapping[str, datetime]:
    """When the first of today's photos of each label came, of those that the space's k-NN memory holds.

    Labels that k-NN cannot name, because it holds none of their photos, are left out.
    """
    wanted = list(labels)
    photos = union_all(
        select(ReferenceVector.label, Image.created_at)
        .join(Image, Image.id == ReferenceVector.image_id)
        .where(ReferenceVector.space_id == space_id, ReferenceVector.label.in_(wanted)),
        select(ReviewedVector.label, ReviewedPhoto.created_at)
        .join(ReviewedPhoto, ReviewedPhoto.id == ReviewedVector.reviewed_id)
        .where(ReviewedVector.space_id == space_id, ReviewedVector.label.in_(wanted)),
    ).subquery()
    rows = session.execute(select(photos.c.label, func.min(photos.c.created_at).label("at")).group_by(photos.c.label))
    return {row.label: row.at for row in rows}
