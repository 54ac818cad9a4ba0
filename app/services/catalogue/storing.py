"""Catalogue rows in the database: what is there, what would change, and writing it in few statements.

Everything here works on sets: a look-up or a write is a handful of statements for thousands of products.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Table,
    any_,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from app.services.catalogue.rows import ProductRow
from app.services.catalogue.vocabulary import among, category_key, chunks, ensure_brands, ensure_categories
from app.store.media import StoredImage, new_token
from app.store.outbox import live_spaces, record_photos
from app.store.tables import Brand, Category, Image, Product
from app.store.text import key
from app.store.vectors import refresh_looks, relabel

_PLAIN = [
    "sku",
    "name",
    "description",
    "price",
    "currency",
    "available",
    "gtin",
    "url",
    "source",
    "mall_category",
    "listed_at",
    "catalogue_id",
    "restricted",
    "season",
]
"""Fields that a row and the table share by name."""

_PREDICTED = ("predicted_colour", "predicted_colour_key", "predicted_colour_confidence", "lab")
_COMPARED = (*_PLAIN, "group", "name_key", "type", "type_key", "colour", "colour_key", *_PREDICTED)


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image row as it is."""

    id: int
    content_hash: str
    position: int
    source_name: str


@dataclass(frozen=True, slots=True)
class KnownProduct:
    """A product row as it is; ``values`` by attribute of ``Product``, brand and category by their keys."""

    id: int
    values: Mapping[str, Any]
    images: tuple[KnownImage, ...]


@dataclass(frozen=True, slots=True)
class WantedImage:
    """An image row as it should be. ``stored`` is None where the row exists already."""

    content_hash: str
    position: int
    source_name: str
    stored: StoredImage | None


@dataclass(frozen=True, slots=True)
class WantedProduct:
    """A product as it should be. images: None leaves the photos as they are."""

    row: ProductRow
    values: Mapping[str, Any]
    images: tuple[WantedImage, ...] | None


@dataclass(frozen=True, slots=True)
class ImageChanges:
    """Image rows to add (with their sku), to remove, and to move or rename; ``kept`` counts the others."""

    add: tuple[tuple[str, WantedImage], ...]
    remove: tuple[int, ...]
    move: tuple[tuple[int, WantedImage], ...]
    kept: int


def load_known(session: Session, skus: Sequence[str]) -> dict[str, KnownProduct]:
    """The listed products that exist, with their images in order."""
    known: dict[str, KnownProduct] = {}
    for part in chunks(skus):
        images: dict[int, list[KnownImage]] = {}
        of_products = select(Image).join(Product, Product.id == Image.product_id).where(among(Product.sku, part))
        for image in session.scalars(of_products.order_by(Image.product_id, Image.position, Image.id)):
            images.setdefault(image.product_id, []).append(
                KnownImage(image.id, image.content_hash, image.position, image.source_name)
            )
        rows = session.execute(
            select(Product, Brand.name_key, Category.path_key)
            .outerjoin(Brand, Brand.id == Product.brand_id)
            .outerjoin(Category, Category.id == Product.category_id)
            .where(among(Product.sku, part))
        )
        for product, brand_key, path_key in rows:
            values = {name: getattr(product, name) for name in _COMPARED}
            values |= {"brand": brand_key, "category": path_key}
            known[product.sku] = KnownProduct(product.id, values, tuple(images.get(product.id, ())))
        session.expunge_all()
    return known


def count_absent(session: Session, skus: Sequence[str]) -> int:
    """Products in the database that the catalogue does not list."""
    total = session.scalar(select(func.count()).select_from(Product)) or 0
    listed = sum(
        session.scalar(select(func.count()).select_from(Product).where(among(Product.sku, part))) or 0
        for part in chunks(skus)
    )
    return total - listed


def row_values(row: ProductRow) -> dict[str, Any]:
    """What a row says, as ``Product`` attributes; brand and category by their keys."""

    def key_of(value: str | None) -> str | None:
        return None if value is None else key(value)

    values: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    values |= {"group": row.group, "name_key": key_of(row.name)}
    values |= {"type": row.type, "type_key": key_of(row.type)}
    values |= {"colour": row.colour, "colour_key": key_of(row.colour)}
    values |= {"brand": key_of(row.brand), "category": category_key(row.category)}
    return values


def differs(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether any wanted value is not the known one; floats are compared as the REAL they are stored as."""
    return any(_comparable(known[name]) != _comparable(value) for name, value in wanted.items())


def _comparable(value: Any) -> Any:
    if isinstance(value, float):
        return float(np.float32(value))
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in value]
    return Decimal(value) if isinstance(value, Decimal) else value


def image_changes(known: Mapping[str, KnownProduct], wanted: Iterable[WantedProduct]) -> ImageChanges:
    """What brings the image rows to what is wanted."""
    add: list[tuple[str, WantedImage]] = []
    remove: list[int] = []
    move: list[tuple[int, WantedImage]] = []
    kept = 0
    for product in wanted:
        if product.images is None:
            continue
        sku = product.row.sku
        have = {image.content_hash: image for image in known[sku].images} if sku in known else {}
        for image in product.images:
            old = have.pop(image.content_hash, None)
            if old is None:
                add.append((sku, image))
                continue
            kept += 1
            if (old.position, old.source_name) != (image.position, image.source_name):
                move.append((old.id, image))
        remove += [image.id for image in have.values()]
    return ImageChanges(tuple(add), tuple(remove), tuple(move), kept)


def write_products(session: Session, products: Sequence[WantedProduct]) -> dict[str, int]:
    """Insert or update products by sku. Returns sku -> id of those written."""
    brands = ensure_brands(session, (product.row.brand for product in products))
    categories = ensure_categories(session, (product.row.category for product in products))
    rows = []
    for product in products:
        values = dict(product.values)
        brand, category = values.pop("brand"), values.pop("category")
        values["group_name"] = values.pop("group")
        values["brand_id"] = None if brand is None else brands[brand]
        values["category_id"] = None if category is None else categories[category]
        rows.append(values)
    ids: dict[str, int] = {}
    # Rows that leave the measured colour alone have fewer columns; each shape is a statement of its own.
    for shape in {frozenset(row) for row in rows}:
        upsert = _upsert(shape)
        for part in chunks([row for row in rows if row.keys() == shape]):
            for sku, number in session.execute(upsert, list(part)):
                ids[sku] = number
    return ids


def _upsert(columns: Collection[str]) -> ReturningInsert[str, int]:
    table = cast(Table, Product.__table__)
    statement = insert(table)
    changes: dict[str, Any] = {name: statement.excluded[name] for name in sorted(columns) if name != "sku"}
    changes["updated_at"] = func.now()
    return statement.on_conflict_do_update(index_elements=[table.c.sku], set_=changes).returning(
        table.c.sku, table.c.id
    )


def write_images(session: Session, changes: ImageChanges, ids: Mapping[str, int]) -> None:
    """Apply ``changes``.

    Vectors of removed images go with them (foreign key), and every live space's looks of their products follow; what
    the live spaces lack of the added ones is noted.
    """
    lost: set[int] = set()
    for part in chunks(changes.remove):
        gone = delete(Image).where(Image.id == any_(literal(list(part), ARRAY(BigInteger))))
        lost.update(session.scalars(gone.returning(Image.product_id)))
    for part in chunks(changes.add):
        session.execute(insert(Image), [_image_row(ids[sku], image) for sku, image in part])
    for part in chunks(sorted({ids[sku] for sku, _ in changes.add})):
        record_photos(session, part)
    for space_id in sorted(live_spaces(session)) if lost else ():
        for part in chunks(sorted(lost)):
            refresh_looks(session, space_id, part)
    if changes.move:
        moved = [
            {"id": number, "position": image.position, "source_name": image.source_name}
            for number, image in changes.move
        ]
        session.execute(update(Image), moved)


def _image_row(product_id: int, image: WantedImage) -> dict[str, Any]:
    stored = image.stored
    if stored is None:
        raise AssertionError(f"{image.source_name}: a new image without its stored facts")
    return {
        "product_id": product_id,
        "content_hash": image.content_hash,
        "token": new_token(),
        "position": image.position,
        "source_name": image.source_name,
        "format": stored.format,
        "width": stored.width,
        "height": stored.height,
        "size_bytes": stored.size_bytes,
    }


def refresh_vector_labels(session: Session, product_ids: Iterable[int]) -> None:
    """The k-NN memory repeats each product's label: bring it up to date where a group changed."""
    for part in chunks(sorted(product_ids)):
        relabel(session, part)
