"""What the shared space learns from: the catalogue's words and stored bottlenecks, and photos of planted duplicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final

import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, joinedload

from app.config import Settings
from app.jobs.bottlenecks import VARIANT_SEED, CatalogueImage, catalogue_images
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.spaces import find_space
from app.store.tables import Product
from augment.variants import ORIGINAL, VARIANT_NAMES
from models.backbone.store import PreparedBackbone, find_backbone, load_backbone
from models.errors import BackboneNotReady, NotEnoughData
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import fill_cache
from models.training.bottlenecks.keys import BottleneckKey, variant_key
from models.training.shared.data import Listing, SharedData, shared_data
from models.training.shared.run import Planted

PLANTED: Final = 800
"""Products of which another photo variant is computed, so that duplicates can be planted; less than a minute."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class SharedMaterial:
    """What the catalogue and the bottleneck cache hold."""

    backbone: PreparedBackbone
    space_id: int
    data: SharedData
    planted: Planted


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
            season=product.season,
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
