"""Measure weight sources on listed photos: bottlenecks from the cache, then the yardstick. No database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from app.config import Settings
from models.backbone.prepare import prepare_backbone
from models.backbone.store import find_backbone, load_backbone
from models.backbone.weights import file_digest
from models.errors import NotEnoughData, UsageError
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import fill_cache
from models.training.bottlenecks.progress import ProgressCallback
from models.training.data import TrainingPhotos
from models.training.evaluate import PhotoCase
from models.training.projection_loss import projection_loss
from models.training.scenes import cluster_scenes
from models.training.train import BLAS_THREADS
from models.training.yardstick import YardstickPhotos, measure, scene_folds
from models.values import BOTTLENECK_SIZE


@dataclass(frozen=True, slots=True)
class FilePhoto:
    """A photo in a file. content_hash: SHA-256 of its bytes."""

    path: Path
    content_hash: str
    label: str

    def load(self) -> bytes:
        """The file's bytes. :raise OSError: it cannot be read."""
        return self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class ListedPhotos:
    """train, test: what to measure on, each content once a label. foreign_photos: test photos of no product, which
    the yardstick leaves out."""

    train: tuple[FilePhoto, ...]
    test: tuple[FilePhoto, ...]
    foreign_photos: int


def list_photos(train: Sequence[PhotoCase], test: Sequence[PhotoCase]) -> ListedPhotos:
    """The photos of two listings.

    :raise UsageError: a training photo of no product. :raise NotEnoughData: no photo to train on, or none to test.
    """
    strangers = [case.path for case in train if case.label is None]
    if strangers:
        raise UsageError(
            f"{len(strangers)} training photos have an empty sku, first {strangers[0]}: only test photos may be foreign"
        )
    found = ListedPhotos(_distinct(train), _distinct(test), sum(case.label is None for case in test))
    if not found.train or not found.test:
        raise NotEnoughData(
            f"{len(found.train)} training photos and {len(found.test)} test photos of products; both are needed"
        )
    return found


def _distinct(cases: Sequence[PhotoCase]) -> tuple[FilePhoto, ...]:
    photos = [FilePhoto(case.path, file_digest(case.path), case.label) for case in cases if case.label is not None]
    return tuple({(photo.label, photo.content_hash): photo for photo in photos}.values())


def measure_source(
    listed: ListedPhotos,
    source: str,
    settings: Settings,
    say: Callable[[str], None] = lambda line: None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Prepare ``source``, extract what the cache lacks, and measure.

    source: see ``models.backbone.weights.resolve_weights``.
    Returns the figures of ``models.training.yardstick.measure`` and of ``projection_loss`` with the facts of the
    photos: ``unknown_label_photos`` are test photos of labels without a training photo, left out; ``leaked_photos``
    are test photos that are training photos too, and stay in.
    :raise BackboneError: the weights cannot be used. :raise TrainingError: too few photos, or the cache is in use.
    """
    prepare_backbone(source, settings.home, say)
    backbone = load_backbone(source, settings.home, settings.runtime)
    seen = find_backbone(source, settings.home).seen_hashes()
    with open_cache(settings.home, backbone.space) as cache:
        filled = fill_cache(cache, [*listed.train, *listed.test], backbone, variants=(), progress=progress)
        failed = {photo.content_hash: photo.message for photo in filled.failed}
        train = [photo for photo in listed.train if photo.content_hash not in failed]
        known = {photo.label for photo in train}
        readable = [photo for photo in listed.test if photo.content_hash not in failed]
        test = [photo for photo in readable if photo.label in known]
        training, testing = (_photos(part, cache) for part in (train, test))
        scenes = cluster_scenes(cache.scenes(training.hashes), training.labels, training.hashes)
    with threadpool_limits(BLAS_THREADS, user_api="blas"):
        figures = measure(YardstickPhotos(training, testing, scene_folds(training.labels, scenes), seen), say)
        projection = projection_loss(training, testing, backbone.projection.apply)
    every = {photo.content_hash: photo for photo in (*listed.train, *listed.test)}
    return {
        "source": source,
        "weights": backbone.weights,
        "space": backbone.space,
        "train": {"photos": len(training), "labels": len(known), "scenes": len(set(scenes.tolist()))},
        "test": {
            "photos": len(testing),
            "labels": len(set(testing.labels)),
            "foreign_photos": listed.foreign_photos,
            "unknown_label_photos": len(readable) - len(test),
            "leaked_photos": len(set(testing.hashes) & set(training.hashes)),
        },
        "unreadable": [{"path": str(every[h].path), "reason": reason} for h, reason in sorted(failed.items())],
        **figures,
        "projection": projection,
    }


def _photos(photos: Sequence[FilePhoto], cache: BottleneckCache) -> TrainingPhotos:
    hashes = tuple(photo.content_hash for photo in photos)
    none = np.empty((len(photos), 0, BOTTLENECK_SIZE), np.float32)
    return TrainingPhotos(hashes, tuple(photo.label for photo in photos), cache.originals(hashes), none)
