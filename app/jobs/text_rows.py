"""The rows that text training and its measures work on: of the imported catalogue, or of a catalogue folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, joinedload

from app.config import Settings
from app.services.catalogue.photos import find_photos, hash_photos
from app.services.catalogue.reading import read_table
from app.services.catalogue.rows import ProductRow, check_rows
from app.store.database import transaction
from app.store.tables import Image, Product
from augment.variants import ORIGINAL
from models.backbone.store import find_backbone, load_space
from models.errors import NotEnoughData
from models.photo import PhotoLimits
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import fill_cache
from models.training.bottlenecks.keys import BottleneckKey
from models.training.bottlenecks.progress import ProgressCallback
from models.training.text.rows import UNKNOWN, TextRows
from models.values import BOTTLENECK_SIZE, Float32

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Described:
    """A product as text training sees it. photos: content hashes, in order."""

    sku: str
    label: str
    name: str
    brand: str | None
    type: str | None
    category: str | None
    colour: str | None
    source: str | None
    mall_category: str | None
    month: str | None
    season: str | None
    photos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _PhotoInFolder:
    """A photo of a catalogue folder, as the cache fills from."""

    content_hash: str
    path: Path

    def load(self) -> bytes:
        return self.path.read_bytes()


def catalogue_text_rows(settings: Settings, engine: Engine, say: Say = lambda line: None) -> tuple[TextRows, str]:
    """(the catalogue's rows with what the bottleneck cache has of their photos, the space of the bottlenecks).

    A product of several photos is shown by their mean, scaled to unit length.
    :raise NotEnoughData: the catalogue is empty. :raise BackboneError: the backbone of the settings is not prepared.
    """
    space = find_backbone(settings.weights, settings.home).space.identifier
    with transaction(engine) as session:
        products = _described(session)
    if not products:
        raise NotEnoughData("the catalogue is empty; run `python -m app catalog import DIR` first")
    with open_cache(settings.home, space) as cache:
        rows = _rows(products, cache)
    with_photo = sum(bool(product.photos) for product in products)
    lacking = with_photo - int(rows.has_image.sum())
    if lacking:
        say(f"{lacking:,} products have photos without bottlenecks; `make train-bottlenecks` computes them")
    return rows, space


def folder_text_rows(
    settings: Settings,
    directory: Path,
    space: str,
    say: Say = lambda line: None,
    progress: ProgressCallback | None = None,
) -> TextRows:
    """The rows of a catalogue folder whose rows give their type, with the bottlenecks of their photos in ``space``,
    which are stored, so that asking again costs seconds.

    :raise CatalogueError: no usable table. :raise NotEnoughData: no row gives a type. :raise BackboneNotReady: the
        network of the space is not here.
    """
    checked = check_rows(read_table(directory).records, settings.currency)
    if not any(row.type for row in checked.rows):
        raise NotEnoughData(f"no row of {directory} gives a type to compare with")
    if checked.problems:
        say(f"{len(checked.problems)} rows are left out; first: {checked.problems[0]}")
    limits = PhotoLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_photo_pixels)
    folders = find_photos(directory, checked.rows, frozenset())
    files = hash_photos([file for inside in folders.files.values() for file in inside], limits, False)
    readable = [_PhotoInFolder(file.content_hash, file.path) for file in files if file.content_hash is not None]
    photos: dict[str, list[str]] = {}
    for file in files:
        if file.content_hash is not None:
            photos.setdefault(file.sku, []).append(file.content_hash)
    products = [_of_row(row, tuple(photos.get(row.sku, ()))) for row in checked.rows]
    if not readable:
        return _rows(products, None)
    backbone = load_space(space, settings.home, settings.runtime)
    with open_cache(settings.home, space) as cache:
        report = fill_cache(cache, readable, backbone, variants=(), progress=progress, wait=True)
        if report.failed:
            say(f"{len(report.failed)} photos cannot be read; first: {report.failed[0].message}")
        return _rows(products, cache)


def _described(session: Session) -> list[_Described]:
    photos: dict[int, list[str]] = {}
    ordered = select(Image.product_id, Image.content_hash).order_by(Image.product_id, Image.position, Image.id)
    for product_id, content_hash in session.execute(ordered):
        photos.setdefault(product_id, []).append(content_hash)
    products = session.scalars(
        select(Product).options(joinedload(Product.brand), joinedload(Product.category)).order_by(Product.sku)
    )
    return [
        _Described(
            product.sku,
            product.label,
            product.name or "",
            None if product.brand is None else product.brand.name,
            product.type,
            None if product.category is None else product.category.path,
            product.colour,
            product.source,
            product.mall_category,
            _month(product.listed_at),
            product.season,
            tuple(photos.get(product.id, ())),
        )
        for product in products
    ]


def _of_row(row: ProductRow, photos: tuple[str, ...]) -> _Described:
    return _Described(
        row.sku,
        row.group or row.sku,
        row.name or "",
        row.brand,
        row.type,
        row.category,
        row.colour,
        row.source,
        row.mall_category,
        _month(row.listed_at),
        row.season,
        photos,
    )


def _month(listed_at: datetime | None) -> str | None:
    return None if listed_at is None else listed_at.astimezone(UTC).strftime("%Y-%m")


def _rows(products: Sequence[_Described], cache: BottleneckCache | None) -> TextRows:
    """cache: None where no photo is looked at."""
    distinct = sorted({photo for product in products for photo in product.photos})
    stored = [] if cache is None else cache.contains([BottleneckKey(photo, ORIGINAL) for photo in distinct])
    there = {photo for photo, is_stored in zip(distinct, stored, strict=cache is not None) if is_stored}
    vectors: list[Float32] = []
    image_rows = np.full(len(products), UNKNOWN, np.intp)
    known = sorted(there)
    found = cache.originals(known) if cache is not None and known else np.zeros((0, BOTTLENECK_SIZE), np.float32)
    place = {photo: row for row, photo in enumerate(known)}
    for number, product in enumerate(products):
        rows = [place[photo] for photo in product.photos if photo in place]
        if rows:
            mean = found[rows].mean(axis=0)
            image_rows[number] = len(vectors)
            vectors.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
    return TextRows(
        skus=tuple(product.sku for product in products),
        labels=tuple(product.label for product in products),
        names=tuple(product.name for product in products),
        brands=tuple(product.brand for product in products),
        types=tuple(product.type for product in products),
        categories=tuple(product.category for product in products),
        colours=tuple(product.colour for product in products),
        sources=tuple(product.source for product in products),
        mall_categories=tuple(product.mall_category for product in products),
        months=tuple(product.month for product in products),
        given_seasons=tuple(product.season for product in products),
        image_rows=image_rows,
        images=np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, BOTTLENECK_SIZE), np.float32),
    )
