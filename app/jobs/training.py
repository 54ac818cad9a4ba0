"""Train on the cached bottlenecks and publish the bundle."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from app.config import Settings
from app.jobs.bottlenecks import VARIANT_SEED, CatalogueImage, catalogue_images, ready_backbone
from app.jobs.splits import extend_split
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.spaces import find_space
from app.store.tables import Product
from app.store.text import key
from augment.render import render_foreign
from augment.variants import ORIGINAL, VARIANT_NAMES
from models.backbone.locking import exclusive
from models.backbone.preprocessing import fit_input
from models.backbone.store import find_backbone
from models.bundle import write_bundle
from models.errors import BackboneNotReady, NotEnoughData
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.keys import BottleneckKey, variant_key
from models.training.crossfit import CrossFitSettings
from models.training.data import TrainingPhotos
from models.training.reports.html import write_report
from models.training.reports.review import review_photos
from models.training.splits import FOLDS, Split
from models.training.train import Trained, TrainingData, train
from models.values import Backbone, Float32

FAR_FOREIGN_PHOTOS = 100
"""Rendered photos of no product at all (landscapes, text, faces ...), by which the verdict learns the far world."""

_FAR_SEED = 10_000
_LIBRARIES = ("keras", "numpy", "openvino", "scikit-learn", "scipy", "tensorflow")


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """folds: of the cross-validation. variants: which augmentations to use. fit: how to fit."""

    folds: int = FOLDS
    variants: Sequence[str] = VARIANT_NAMES
    fit: CrossFitSettings = field(default_factory=CrossFitSettings)


@dataclass(frozen=True, slots=True, eq=False)
class TrainReport:
    """What was trained and published."""

    version: str
    space: str
    folder: Path
    metrics: dict[str, Any]


def train_and_publish(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    options: TrainOptions | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> TrainReport:
    """Train on what ``fill_bottlenecks`` stored, write the bundle, make it the champion.

    :raise NotEnoughData: no photo has bottlenecks. :raise BackboneError: the backbone is not usable.
    """
    with exclusive(settings.home / "training.lock"):
        return _train_and_publish(settings, engine, media, options or TrainOptions(), say)


def _train_and_publish(
    settings: Settings, engine: Engine, media: MediaStore, options: TrainOptions, say: Callable[[str], None]
) -> TrainReport:
    backbone = ready_backbone(settings, say)
    with transaction(engine) as session:
        space_id = find_space(session, backbone.space)
        listed = catalogue_images(session, media)
    if space_id is None:
        raise BackboneNotReady(
            f"space {backbone.space} holds no bottlenecks; run `make train-bottlenecks` (`python -m app bottlenecks`)"
        )
    with open_cache(settings.home, backbone.space) as cache:
        images = _with_bottlenecks(listed, cache, options.variants)
        _say_left_out(listed, images, say)
        photos = _photos(images, cache, options.variants)
        say("scenes and split")
        descriptors = cache.scenes(photos.hashes)
        split = extend_split(settings.home, photos.hashes, photos.labels, descriptors, options.folds)
    say("far-foreign photos")
    seen = find_backbone(settings.weights, settings.home).seen_hashes()
    _say_seen(len(seen & set(photos.hashes)), len(photos), say)
    data = TrainingData(
        photos, [image.type for image in images], split, far_foreign_vectors(backbone, FAR_FOREIGN_PHOTOS), seen
    )
    trained = train(data, options.fit, say)
    trained.metrics["review"] = review_photos(photos, descriptors, split)
    trained.metrics["weights"] = backbone.weights
    metrics = _plain(trained.metrics)
    bundles = BundleStore(settings.home)
    say("writing the bundle and its report")
    version, digest = _write(bundles, backbone, trained, split, images)
    with transaction(engine) as session:
        bundles.publish(session, version, space_id, digest, metrics)
        predict_types(session, trained, photos, listed)
    return TrainReport(version, backbone.space, bundles.path_for(version), metrics)


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


def _say_seen(seen: int, photos: int, say: Callable[[str], None]) -> None:
    if seen:
        say(
            f"the backbone has seen {seen} of {photos} photos in its own training: they teach the classifiers, but "
            "vote and verdict are fitted and measured on the others"
        )


def far_foreign_vectors(backbone: Backbone, count: int) -> Float32:
    """Bottlenecks (count, 2048) of rendered photos that show no product."""
    inputs = [fit_input(render_foreign(_FAR_SEED + i)) for i in range(count)]
    return backbone.extract(inputs)


def _with_bottlenecks(
    images: Sequence[CatalogueImage], cache: BottleneckCache, variants: Sequence[str]
) -> list[CatalogueImage]:
    """Photos whose original and variants are all stored; one row for content that a label repeats."""
    distinct = list({(image.label, image.content_hash): image for image in images}.values())
    names = (ORIGINAL, *variants)
    keys = [BottleneckKey(image.content_hash, variant_key(name, VARIANT_SEED)) for image in distinct for name in names]
    stored = np.array(cache.contains(keys), dtype=bool).reshape(len(distinct), len(names))
    return [image for image, there in zip(distinct, stored, strict=True) if there.all()]


def _photos(images: Sequence[CatalogueImage], cache: BottleneckCache, variants: Sequence[str]) -> TrainingPhotos:
    hashes = tuple(image.content_hash for image in images)
    originals = cache.originals(hashes)
    keys = [BottleneckKey(h, variant_key(name, VARIANT_SEED)) for h in hashes for name in variants]
    shape = (len(images), len(variants), originals.shape[1])
    return TrainingPhotos(hashes, tuple(image.label for image in images), originals, cache.get(keys).reshape(shape))


def _write(
    bundles: BundleStore,
    backbone: Backbone,
    trained: Trained,
    split: Split,
    images: Sequence[CatalogueImage],
) -> tuple[str, str]:
    created = datetime.now(UTC)
    version = created.strftime("%Y%m%dT%H%M%S%fZ")[:18] + "Z"
    manifest = {
        "version": version,
        "space": backbone.space,
        "weights": backbone.weights,
        "created_at": created.isoformat(timespec="seconds"),
        "labels": len({image.label for image in images}),
        "libraries": {
            "python": platform.python_version(),
            **{name: library_version(name) for name in _LIBRARIES},
        },
    }
    pictures = {image.content_hash: image for image in images}

    def write(folder: Path) -> None:
        if trained.fcn is not None and trained.svm is not None:
            trained.fcn.save(folder / "fcn.npz")
            trained.svm.save(folder / "svm.npz")
        if trained.types is not None:
            trained.types.save(folder / "types.npz")
        split.save(folder / "split.json")
        settings = {"vote": trained.vote.to_json(), "verdict": trained.verdict.to_json()}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "metrics.json").write_text(json.dumps(_plain(trained.metrics)))
        write_report(folder / "report.html", manifest, trained, lambda h: pictures[h].load())

    return version, write_bundle(bundles.path_for(version), manifest, write)


def _plain(metrics: Any) -> Any:
    """Metrics as JSON allows them: NaN and infinity become null, numpy numbers plain ones."""
    if isinstance(metrics, dict):
        return {str(name): _plain(value) for name, value in metrics.items()}
    if isinstance(metrics, list | tuple):
        return [_plain(value) for value in metrics]
    if isinstance(metrics, bool | np.bool_):
        return bool(metrics)
    if isinstance(metrics, np.integer):
        return int(metrics)
    if isinstance(metrics, float | np.floating):
        return float(metrics) if np.isfinite(metrics) else None
    return metrics


def predict_types(session: Session, trained: Trained, photos: TrainingPhotos, images: Sequence[CatalogueImage]) -> int:
    """Store a predicted type, with its confidence, for each product whose row gives none; returns how many.

    images: all of the catalogue; those without a bottleneck in ``photos`` say nothing of their product.
    """
    lacking = set(session.scalars(select(Product.id).where(Product.type.is_(None))))
    # Products of one label may share photos, of which ``photos`` has each once: rows are found by content.
    row_of = {content_hash: row for row, content_hash in enumerate(photos.hashes)}
    rows: dict[int, list[int]] = {}
    for image in images:
        if image.product_id in lacking and image.content_hash in row_of:
            rows.setdefault(image.product_id, []).append(row_of[image.content_hash])
    # A guess of an earlier model goes where the new one has none.
    session.execute(
        update(Product)
        .where(Product.predicted_type.is_not(None))
        .values(predicted_type=None, predicted_type_key=None, predicted_type_confidence=None)
    )
    guessed = 0
    for product_id, members in rows.items():
        guess = trained.types.predict_product(photos.originals[members]) if trained.types is not None else None
        if guess is not None:
            guessed += 1
            session.execute(
                update(Product)
                .where(Product.id == product_id)
                .values(
                    predicted_type=guess.type,
                    predicted_type_key=key(guess.type),
                    predicted_type_confidence=guess.confidence,
                )
            )
    return guessed
