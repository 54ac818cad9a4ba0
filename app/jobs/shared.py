"""Train the shared space of words and photos on the catalogue, place every product in it, and put it into service."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, joinedload

from app.config import Settings
from app.jobs.bottlenecks import VARIANT_SEED, CatalogueImage, catalogue_images
from app.jobs.training import _plain
from app.services.words import FOLDER, ServedWords, refresh_all_places, refresh_places
from app.store import shared_vectors
from app.store.bundles import new_version
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.spaces import find_space
from app.store.tables import Product
from augment.variants import ORIGINAL, VARIANT_NAMES
from models.backbone.locking import exclusive
from models.backbone.store import PreparedBackbone, find_backbone, load_backbone
from models.errors import BackboneNotReady, NotEnoughData
from models.multimodal.shared_bundle import SharedBundle, SharedParts, write_shared
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import fill_cache
from models.training.bottlenecks.keys import BottleneckKey, variant_key
from models.training.shared.data import Listing, SharedData, shared_data
from models.training.shared.run import Planted, SharedOptions, train_shared

LOCK_FILE: Final = "training.lock"
PLANTED: Final = 800
"""Products of which another photo variant is computed, so that duplicates can be planted; less than a minute."""

_LIBRARIES: Final = ("keras", "numpy", "scikit-learn", "scipy", "sentencepiece", "tensorflow")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SharedTraining:
    """What ``train_shared_space`` made. placed: products that lie in it."""

    version: str
    space: str
    folder: Path
    placed: int
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class SharedMaterial:
    """What the catalogue and the bottleneck cache hold."""

    backbone: PreparedBackbone
    space_id: int
    data: SharedData
    planted: Planted


def train_shared_space(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    options: SharedOptions | None = None,
    say: Say = lambda line: None,
) -> SharedTraining:
    """Train on names and stored bottlenecks, write the version, place the products, serve it.

    :raise NotEnoughData: too few products have a photo with a bottleneck and a name.
    :raise BackboneError: the backbone of the settings is not prepared, or damaged.
    """
    folder = settings.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / LOCK_FILE):
        _remove_leftovers(folder, engine)
        material = shared_material(settings, engine, media, say)
        parts = train_shared(material.data, material.planted, options, say)
        bundle = _written(folder, material.backbone, parts)
        say("shared space: placing the products")
        placed = publish_shared(engine, folder, bundle, material.space_id)
    return SharedTraining(bundle.version, bundle.space, folder / bundle.version, placed, bundle.metrics)


def shared_material(
    settings: Settings, engine: Engine, media: MediaStore, say: Say, planted: int = PLANTED
) -> SharedMaterial:
    """Read the catalogue's words and stored bottlenecks; computes a few photo variants where they are missing.

    planted: products of which another variant is wanted.
    :raise NotEnoughData: the catalogue is empty. :raise BackboneError: see ``find_backbone``.
    """
    prepared = find_backbone(settings.weights, settings.home)
    space = prepared.space.identifier
    with transaction(engine) as session:
        space_id = find_space(session, space)
        numbers, listings = _listings(session)
        images = [image for image in catalogue_images(session, media) if image.image_id is not None]
    if space_id is None:
        raise BackboneNotReady(f"space {space} holds no bottlenecks; run `make train-bottlenecks` first")
    if not listings:
        raise NotEnoughData("the catalogue is empty; run `python -m app catalog import DIR` first")
    row_of = {number: row for row, number in enumerate(numbers)}
    with open_cache(settings.home, space) as cache:
        stored = cache.contains([BottleneckKey(image.content_hash, ORIGINAL) for image in images])
        there = [image for image, is_stored in zip(images, stored, strict=True) if is_stored]
        if len(there) < len(images):
            say(f"{len(images) - len(there):,} photos lack bottlenecks; `make train-bottlenecks` computes them")
        rows = [row_of[image.product_id] for image in there]
        hashes = [image.content_hash for image in there]
        data = shared_data(listings, rows, cache.originals(hashes), hashes)
        others = _planted(settings, cache, there, rows, planted, say)
    return SharedMaterial(prepared, space_id, data, others)


def publish_shared(engine: Engine, folder: Path, bundle: SharedBundle, space_id: int) -> int:
    """Record a version, place the products beside the version in service, then swap; returns how many lie in it.

    Products that change while this runs are placed once more in the transaction that swaps: nothing is computed for
    the others, whose digests still hold.
    """
    with transaction(engine) as session:
        shared_id = shared_vectors.new_shared(session, bundle.version, space_id, bundle.manifest_sha256, bundle.metrics)
    served = ServedWords(shared_id, space_id, bundle)
    refresh_all_places(engine, served)
    with transaction(engine) as session:
        refresh_places(session, served, session.scalars(select(Product.id)).all())
        gone = shared_vectors.make_live(session, shared_id)
        placed = shared_vectors.count_places(session, shared_id)
    for version in gone:
        shutil.rmtree(folder / version, ignore_errors=True)
    return placed


def _listings(session: Session) -> tuple[list[int], list[Listing]]:
    products = session.scalars(
        select(Product).options(joinedload(Product.brand), joinedload(Product.category)).order_by(Product.id)
    ).all()
    found = [
        Listing(
            sku=product.sku,
            name=product.name,
            category=None if product.category is None else product.category.path,
            type=product.type,
            colour=product.colour,
            brand=None if product.brand is None else product.brand.name,
            month=None if product.listed_at is None else product.listed_at.astimezone(UTC).month,
            group=product.group,
            gtin=product.gtin,
            restricted=product.restricted,
        )
        for product in products
    ]
    return [product.id for product in products], found


def _planted(
    settings: Settings,
    cache: BottleneckCache,
    images: Sequence[CatalogueImage],
    rows: Sequence[int],
    count: int,
    say: Say,
) -> Planted:
    """Another variant of ``count`` products' first photos, the eight variants in turn; stored like any other."""
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    places = np.array(sorted(first.values()), dtype=np.int64)
    chosen = np.random.default_rng(0).permutation(places)[:count]
    wanted = [(images[place], VARIANT_NAMES[i % len(VARIANT_NAMES)]) for i, place in enumerate(chosen)]
    keys = [BottleneckKey(image.content_hash, variant_key(name, VARIANT_SEED)) for image, name in wanted]
    lacking = [item for item, there in zip(wanted, cache.contains(keys), strict=True) if not there]
    if lacking:
        say(f"shared space: {len(lacking)} photo variants, to plant duplicates with")
        backbone = load_backbone(settings.weights, settings.home, settings.runtime)
        for name in VARIANT_NAMES:
            photos = [image for image, variant in lacking if variant == name]
            fill_cache(cache, photos, backbone, variants=(name,), seed=VARIANT_SEED, wait=True)
    kept = np.flatnonzero(cache.contains(keys))
    if not len(kept):
        return Planted.none()
    return Planted(np.array([rows[chosen[i]] for i in kept]), cache.get([keys[i] for i in kept]))


def _written(folder: Path, backbone: PreparedBackbone, parts: SharedParts) -> SharedBundle:
    created = datetime.now(UTC)
    version = new_version(created)
    manifest = {
        "version": version,
        "space": backbone.space.identifier,
        "weights": backbone.space.weights,
        "created_at": created.isoformat(timespec="seconds"),
        "libraries": {"python": platform.python_version(), **{name: library_version(name) for name in _LIBRARIES}},
    }
    plain = SharedParts(parts.shared, parts.match, parts.restricted, _plain(parts.metrics))
    write_shared(folder / version, plain, manifest)
    return SharedBundle.load(folder / version)


def _remove_leftovers(folder: Path, engine: Engine) -> None:
    """What a training that was cut off left: versions that never went live. The caller holds the lock."""
    with transaction(engine) as session:
        kept = shared_vectors.remove_unfinished(session)
    for path in folder.iterdir():
        if path.is_dir() and path.name not in kept:
            with suppress(OSError):
                shutil.rmtree(path)
