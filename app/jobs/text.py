"""Train the text model on the imported catalogue, and measure it on a catalogue folder."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, joinedload

from app.config import Settings
from app.services.catalogue.photos import find_photos, hash_photos
from app.services.catalogue.reading import read_table
from app.services.catalogue.rows import ProductRow, check_rows
from app.store.bundles import new_version
from app.store.database import transaction
from app.store.tables import Image, Product
from app.store.text_models import TextModelStore
from augment.variants import ORIGINAL
from models.backbone.locking import exclusive
from models.backbone.store import find_backbone, load_space
from models.errors import NotEnoughData
from models.multimodal.bundle import TextBundle, save_text_bundle
from models.multimodal.stop_words import from_lists
from models.photo import PhotoLimits
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import fill_cache
from models.training.bottlenecks.keys import BottleneckKey
from models.training.bottlenecks.progress import ProgressCallback
from models.training.text.compare import COMPARISONS, SEEDS, compare, odd_and_even_years
from models.training.text.evaluate import evaluate_text
from models.training.text.noise import measure_noise
from models.training.text.rows import UNKNOWN, TextRows
from models.training.text.settings import TextSettings
from models.training.text.train import MEMBERS, split_rows, train_text
from models.values import BOTTLENECK_SIZE, Float32

LOCK_FILE: Final = "training.lock"
LEAST_NAMED: Final = 1000
"""Products with name and type from which a retraining trains the text model as well: a tenth of fewer cannot be
calibrated on."""

NOISE: Final = "noise"
"""What is compared with wrong types injected."""

_LIBRARIES: Final = ("keras", "numpy", "scikit-learn", "scipy", "sentencepiece", "tensorflow")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class TextTraining:
    """What ``train_text_model`` made."""

    version: str
    space: str
    folder: Path
    metrics: dict[str, Any]


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
    photos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _PhotoInFolder:
    """A photo of a catalogue folder, as the cache fills from."""

    content_hash: str
    path: Path

    def load(self) -> bytes:
        return self.path.read_bytes()


def train_text_model(
    settings: Settings,
    engine: Engine,
    text_settings: TextSettings | None = None,
    members: int = MEMBERS,
    say: Say = lambda line: None,
) -> TextTraining:
    """Train on the catalogue's names and the stored bottlenecks of its photos, and use the model from now on.

    :raise NotEnoughData: too few names or types. :raise BackboneError: see ``catalogue_text_rows``.
    """
    store = TextModelStore(settings.home)
    store.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(store.folder / LOCK_FILE):
        store.remove_leftovers()
        rows, space = catalogue_text_rows(settings, engine, say)
        trained = train_text(rows, text_settings, members, say, from_lists(store.stop_words()))
        created = datetime.now(UTC)
        bundle = TextBundle(
            new_version(created),
            space,
            created.isoformat(timespec="seconds"),
            trained.classifier,
            trained.words,
            trained.counts,
            trained.metrics,
        )
        manifest = {
            "version": bundle.version,
            "space": space,
            "created_at": bundle.created_at,
            "libraries": {"python": platform.python_version(), **{name: library_version(name) for name in _LIBRARIES}},
        }
        save_text_bundle(store.path_for(bundle.version), manifest, bundle)
        store.use(bundle.version)
    return TextTraining(bundle.version, space, store.path_for(bundle.version), trained.metrics)


def text_as_well(settings: Settings, engine: Engine, say: Say = lambda line: None) -> str | None:
    """Train the text model after another training; its version, or None where fewer than ``LEAST_NAMED`` products have
    a name and a type, or they teach nothing.
    """
    with transaction(engine) as session:
        named = session.scalar(select(func.count()).where(Product.name.is_not(None), Product.type.is_not(None)))
    if (named or 0) < LEAST_NAMED:
        return None
    say("names and pictures together")
    try:
        return train_text_model(settings, engine, say=say).version
    except NotEnoughData as error:
        say(f"no text model: {error}")
        return None


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


def evaluate_text_model(
    settings: Settings, directory: Path, say: Say = lambda line: None, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Measure the text model in use on a catalogue folder whose rows give their type; see ``evaluate_text``.

    Bottlenecks of the folder's photos are stored, so that measuring again costs seconds.
    :raise BundleNotFound: no text model. :raise CatalogueError: no usable table. :raise NotEnoughData: no row gives a
        type. :raise BackboneNotReady: the backbone that the model was trained with is not here.
    """
    bundle = TextModelStore(settings.home).load()
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
        return evaluate_text(bundle.classifier, bundle.words, bundle.counts, _rows(products, None))
    backbone = load_space(bundle.space, settings.home, settings.runtime)
    with open_cache(settings.home, bundle.space) as cache:
        report = fill_cache(cache, readable, backbone, variants=(), progress=progress, wait=True)
        if report.failed:
            say(f"{len(report.failed)} photos cannot be read; first: {report.failed[0].message}")
        rows = _rows(products, cache)
    return evaluate_text(bundle.classifier, bundle.words, bundle.counts, rows)


def compare_text(
    settings: Settings,
    engine: Engine,
    what: str,
    years: bool = False,
    seeds: int = SEEDS,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Measure ways to teach, or care for wrong types (``what`` = ``noise``), on the catalogue.

    years: teach on odd years and ask about even ones, instead of a random split.
    :raise NotEnoughData, BackboneError: see ``catalogue_text_rows``.
    """
    rows, space = catalogue_text_rows(settings, engine, say)
    parts = odd_and_even_years(rows) if years else split_rows(rows)
    facts = {
        "what": what,
        "split": "odd and even years" if years else "random",
        "space": space,
        "rows": {part: len(getattr(parts, part)) for part in ("training", "validation", "test")},
        "with_image": int(rows.has_image.sum()),
    }
    if what == NOISE:
        return {**facts, "table": measure_noise(rows, parts, TextSettings(), seeds=seeds, say=say)}
    return {**facts, "table": compare(rows, parts, COMPARISONS[what], TextSettings(), seeds, say)}


def photo_vector(settings: Settings, space: str, data: bytes) -> Float32:
    """The bottleneck of one photo in a space, float32 (1, 2048). :raise PhotoError: it cannot be used."""
    from models.backbone.preprocessing import fit_input
    from models.photo import read_photo

    backbone = load_space(space, settings.home, settings.runtime)
    limits = PhotoLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_photo_pixels)
    return backbone.extract([fit_input(read_photo(data, limits, with_advice=False).pixels)])


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
        image_rows=image_rows,
        images=np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, BOTTLENECK_SIZE), np.float32),
    )
