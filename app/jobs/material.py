"""What a training works on: the catalogue's photos with their stored bottlenecks, and their split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from app.config import Settings
from app.jobs.bottlenecks import VARIANT_SEED, CatalogueImage, catalogue_images, ready_backbone
from app.jobs.drift import query_drift
from app.jobs.splits import extend_split
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.spaces import find_space
from augment.variants import ORIGINAL
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.store import find_backbone
from models.errors import BackboneNotReady, NotEnoughData
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.keys import BottleneckKey, variant_key
from models.training.data import TrainingPhotos
from models.training.splits import Split
from models.values import BOTTLENECK_SIZE, Float32


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Photos with bottlenecks, and what is known of them.

    home: the state folder. listed: every photo of the catalogue. images, photos, descriptors: those whose bottlenecks
    are all stored, one for content that a label repeats; descriptors: float32 (n, 864). seen: content hashes the
    backbone was trained on.
    drift: of the last month's searches (``app.jobs.drift.query_drift``), for the report.
    """

    home: Path
    backbone: OpenVinoBackbone
    space_id: int
    listed: Sequence[CatalogueImage]
    images: Sequence[CatalogueImage]
    photos: TrainingPhotos
    descriptors: Float32
    split: Split
    seen: frozenset[str]
    drift: dict[str, Any]


def gather(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    variants: Sequence[str],
    folds: int,
    say: Callable[[str], None],
) -> Material:
    """Read what the cache has of the catalogue, and extend the split file by it; the caller holds ``training.lock``.

    :raise NotEnoughData: no photo has all these bottlenecks. :raise BackboneError: the backbone is not usable.
    :raise SplitError: the split file is damaged.
    """
    backbone = ready_backbone(settings, say)
    with transaction(engine) as session:
        space_id = find_space(session, backbone.space)
        listed = catalogue_images(session, media)
    if space_id is None:
        raise BackboneNotReady(
            f"space {backbone.space} holds no bottlenecks; run `make train-bottlenecks` (`python -m app bottlenecks`)"
        )
    with open_cache(settings.home, backbone.space) as cache:
        images = with_bottlenecks(listed, cache, variants)
        _say_left_out(listed, images, say)
        photos = training_photos(images, cache, variants)
        say("scenes and split")
        descriptors = cache.scenes(photos.hashes)
        split = extend_split(settings.home, photos.hashes, photos.labels, descriptors, folds)
    seen = find_backbone(settings.weights, settings.home).seen_hashes()
    drift = query_drift(engine)
    return Material(settings.home, backbone, space_id, listed, images, photos, descriptors, split, seen, drift)


def originals_in(home: Path, space: str, images: Sequence[CatalogueImage]) -> TrainingPhotos:
    """The photos whose originals a space's cache holds, without variants; a space without a cache holds none."""
    if not (home / "bottlenecks" / space).is_dir():
        return TrainingPhotos(
            (), (), np.empty((0, BOTTLENECK_SIZE), np.float32), np.empty((0, 0, BOTTLENECK_SIZE), np.float32)
        )
    with open_cache(home, space) as cache:
        return training_photos(with_bottlenecks(images, cache, ()), cache, ())


def with_bottlenecks(
    images: Sequence[CatalogueImage], cache: BottleneckCache, variants: Sequence[str]
) -> list[CatalogueImage]:
    """Photos whose original and variants are all stored; one row for content that a label repeats."""
    distinct = list({(image.label, image.content_hash): image for image in images}.values())
    names = (ORIGINAL, *variants)
    keys = [BottleneckKey(image.content_hash, variant_key(name, VARIANT_SEED)) for image in distinct for name in names]
    stored = np.array(cache.contains(keys), dtype=bool).reshape(len(distinct), len(names))
    return [image for image, there in zip(distinct, stored, strict=True) if there.all()]


def training_photos(
    images: Sequence[CatalogueImage], cache: BottleneckCache, variants: Sequence[str]
) -> TrainingPhotos:
    """Their bottlenecks, all of which are stored."""
    hashes = tuple(image.content_hash for image in images)
    originals = cache.originals(hashes)
    keys = [BottleneckKey(h, variant_key(name, VARIANT_SEED)) for h in hashes for name in variants]
    shape = (len(images), len(variants), originals.shape[1])
    return TrainingPhotos(hashes, tuple(image.label for image in images), originals, cache.get(keys).reshape(shape))


def _say_left_out(
    listed: Sequence[CatalogueImage], images: Sequence[CatalogueImage], say: Callable[[str], None]
) -> None:
    """:raise NotEnoughData: no photo has all its bottlenecks."""
    left_out = len({image.content_hash for image in listed} - {image.content_hash for image in images})
    if not images:
        raise NotEnoughData(
            f"none of the catalogue's {left_out} photos has the bottlenecks asked for; run `make train-bottlenecks` "
            "(`python -m app bottlenecks`), or train with --without-variants"
        )
    if left_out:
        say(f"{left_out} photos lack bottlenecks and are left out; `make train-bottlenecks` computes them")
