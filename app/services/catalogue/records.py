"""One product as an administrator sees it: its columns, its photos, its ETag, and what the served model knows of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from app.services.search import known_since
from app.services.serving import Served
from app.store.answers import first_photo_at
from app.store.tables import Image, Product, ReferenceVector
from models.values import ClassifierName

_TEXTS = ("sku", "name", "type", "colour", "season", "description", "source", "group", "gtin", "url")
_FURTHER = ("mall_category", "catalogue_id", "restricted", "available", "currency")
_ETAG_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class CataloguePhoto:
    """A reference photo. recognisable: whether the served model's k-NN memory holds it."""

    content_hash: str
    token: str
    source_name: str
    format: str
    width: int
    height: int
    size_bytes: int
    created_at: datetime
    recognisable: bool


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueRecord:
    """One product.

    columns: the catalogue's columns as JSON values, as an import or PUT takes them.
    model_version: the served model, None where none is; known_since: since when each classifier can name the label.
    """

    product: Product
    columns: Mapping[str, Any]
    photos: tuple[CataloguePhoto, ...]
    etag: str
    model_version: str | None
    known_since: Mapping[ClassifierName, datetime | None]


def find_record(session: Session, sku: str, served: Served | None) -> CatalogueRecord | None:
    """The product ``sku``, or None. served: the model to ask what it knows."""
    product = session.scalar(
        select(Product)
        .where(Product.sku == sku)
        .options(joinedload(Product.brand), joinedload(Product.category))
        .execution_options(populate_existing=True)
    )
    if product is None:
        return None
    images = session.scalars(
        select(Image).where(Image.product_id == product.id).order_by(Image.position, Image.id)
    ).all()
    columns = columns_of(product)
    remembered = frozenset[int]() if served is None else _remembered(session, product.id, served.memory.space_id)
    return CatalogueRecord(
        product=product,
        columns=columns,
        photos=tuple(_photo(image, image.id in remembered) for image in images),
        etag=etag_of(columns, [image.content_hash for image in images]),
        model_version=None if served is None else served.recognizer.version,
        known_since=_known_since(session, product.label, served),
    )


def columns_of(product: Product) -> dict[str, Any]:
    """The catalogue's columns of a product loaded with brand and category; None where it says nothing."""
    columns: dict[str, Any] = {name: getattr(product, name) for name in (*_TEXTS, *_FURTHER)}
    columns["brand"] = None if product.brand is None else product.brand.name
    columns["category"] = None if product.category is None else product.category.path
    columns["price"] = None if product.price is None else f"{product.price:.2f}"
    listed = product.listed_at
    columns["listed_at"] = None if listed is None else listed.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return columns


def etag_of(columns: Mapping[str, Any], content_hashes: Sequence[str]) -> str:
    """Changes with any column and any photo, and with nothing else: a model's opinion is no part of the product."""
    essence = json.dumps([sorted(columns.items()), list(content_hashes)], ensure_ascii=False)
    return hashlib.sha256(essence.encode()).hexdigest()[:_ETAG_CHARACTERS]


def _remembered(session: Session, product_id: int, space_id: int) -> frozenset[int]:
    found = select(ReferenceVector.image_id).where(
        ReferenceVector.space_id == space_id, ReferenceVector.product_id == product_id
    )
    return frozenset(session.scalars(found))


def _photo(image: Image, recognisable: bool) -> CataloguePhoto:
    return CataloguePhoto(
        content_hash=image.content_hash,
        token=image.token,
        source_name=image.source_name,
        format=image.format,
        width=image.width,
        height=image.height,
        size_bytes=image.size_bytes,
        created_at=image.created_at,
        recognisable=recognisable,
    )


def _known_since(session: Session, label: str, served: Served | None) -> Mapping[ClassifierName, datetime | None]:
    if served is None:
        return {"fcn": None, "knn": None, "svm": None}
    first = first_photo_at(session, [label], served.memory.space_id).get(label)
    return known_since(served.recognizer, label, first)
