"""Train on the cached bottlenecks and publish the bundle."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import SpaceIncomplete
from app.jobs.bottlenecks import VARIANT_SEED, CatalogueImage
from app.jobs.far_foreign import far_foreign_vectors
from app.jobs.material import Material, gather
from app.jobs.outbox import fill_space, published_when_complete
from app.store import jobs
from app.store.bundles import BundleStore, Gate, NewBundle, new_version
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.tables import Product, Space
from app.store.text import key
from augment.variants import VARIANT_NAMES
from models.attributes.types import TypeModel
from models.backbone.locking import exclusive
from models.bundle import SPLIT_FILE, Bundle, write_bundle
from models.errors import BundleError
from models.training.crossfit import CrossFitSettings
from models.training.data import TrainingPhotos
from models.training.reports.html import write_report
from models.training.reports.inspection import write_inspection
from models.training.reports.review import review_photos
from models.training.splits import FOLDS
from models.training.train import Trained, TrainingData, train

FAR_FOREIGN_PHOTOS = 100
"""Rendered photos of no product at all (landscapes, text, faces ...), by which the verdict learns the far world."""

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
    job_id: UUID | None = None,
) -> TrainReport:
    """Train on what ``fill_bottlenecks`` stored, write the bundle, make it the champion.

    Where another space is served, this one is first given the photos that came meanwhile.
    job_id: the job that this is done for. One job makes one version, however often it is begun.
    :raise NotEnoughData: no photo has bottlenecks. :raise BackboneError: the backbone is not usable.
    :raise SpaceIncomplete: another space is served, and this one lacks photos that cannot be read. The bundle is
        recorded and can be promoted when that is mended.
    """
    options = options or TrainOptions()
    bundles = BundleStore(settings.home)
    with exclusive(settings.home / "training.lock"):
        if job_id is not None and (done := recorded(engine, bundles, job_id)) is not None:
            return done[0]
        material = gather(settings, engine, media, options.variants, options.folds, say)
        bundle = made_bundle(engine, bundles, material, options, say, job_id)
        new = NewBundle(bundle.version, material.space_id, bundle.manifest_sha256, bundle.metrics, job_id)

        def publish(session: Session) -> None:
            bundles.publish(session, new.version, new.space_id, new.manifest_sha256, new.metrics, new.job_id)
            predict_types(session, bundle.types, material.photos, material.listed)

        try:
            published_when_complete(
                engine, new.space_id, publish, partial(fill_space, settings, engine, media, material.backbone, say), say
            )
        except SpaceIncomplete as error:
            keep_unpublished(engine, bundles, new, error)
            raise
    return TrainReport(bundle.version, bundle.space, bundles.path_for(bundle.version), bundle.metrics)


def keep_unpublished(engine: Engine, bundles: BundleStore, new: NewBundle, why: SpaceIncomplete) -> None:
    """Record a bundle that could not take over, for a person to promote."""
    while True:
        with transaction(engine) as session:
            champion = bundles.champion(session)
            served = None if champion is None else champion.version
            if bundles.settle(session, new, Gate("kept", str(why), served)) is not None:
                return


def recorded(engine: Engine, bundles: BundleStore, job_id: UUID) -> tuple[TrainReport, dict[str, Any] | None] | None:
    """What a job made and recorded when it was begun before, with what its gate said; None where it did not."""
    with transaction(engine) as session:
        row = bundles.of_job(session, job_id)
        if row is None:
            return None
        space = session.get_one(Space, row.space_id).identifier
    return TrainReport(row.version, space, bundles.path_for(row.version), row.metrics), row.gate


def made_bundle(
    engine: Engine,
    bundles: BundleStore,
    material: Material,
    options: TrainOptions,
    say: Callable[[str], None],
    job_id: UUID | None = None,
) -> Bundle:
    """Train and write a bundle, not yet recorded; or the one that an earlier attempt at the job wrote.

    The caller holds ``training.lock``.
    """
    bundles.remove_leftovers()
    _remove_orphans(engine, bundles, say)
    for folder in bundles.folders_of_job(job_id) if job_id is not None else ():
        with suppress(BundleError):  # one of other weights, or damaged since, is made again under another name
            bundle = Bundle.load(folder)
            if bundle.space == material.backbone.space:
                say(f"an earlier attempt has made {bundle.version}: going on with it")
                return bundle
    trained = _trained(material, options, say)
    say("writing the bundle and its report")
    return Bundle.load(_write(bundles, material, trained, options.variants, job_id))


def _remove_orphans(engine: Engine, bundles: BundleStore, say: Callable[[str], None]) -> None:
    with transaction(engine) as session:
        gone = bundles.remove_orphans(session, jobs.active_ids(session))
    if gone:
        say(f"removed bundles that were written and never recorded: {', '.join(gone)}")


def _trained(material: Material, options: TrainOptions, say: Callable[[str], None]) -> Trained:
    photos, backbone = material.photos, material.backbone
    _say_seen(len(material.seen & set(photos.hashes)), len(photos), say)
    say("far-foreign photos")
    far = far_foreign_vectors(material.home, backbone, FAR_FOREIGN_PHOTOS)
    data = TrainingData(photos, [image.type for image in material.images], material.split, far, material.seen)
    trained = train(data, options.fit, say)
    trained.metrics["review"] = review_photos(photos, material.descriptors, material.split)
    trained.metrics["data_care"]["drift"] = material.drift
    trained.metrics["weights"] = backbone.weights
    return trained


def _say_seen(seen: int, photos: int, say: Callable[[str], None]) -> None:
    if seen:
        say(
            f"the backbone has seen {seen} of {photos} photos in its own training: they teach the classifiers, but "
            "vote and verdict are fitted and measured on the others"
        )


def _write(
    bundles: BundleStore, material: Material, trained: Trained, variants: Sequence[str], job_id: UUID | None
) -> Path:
    """Write the bundle; returns its folder. variants: that it was trained with."""
    created = datetime.now(UTC)
    version = new_version(created, job_id)
    manifest = {
        "version": version,
        "space": material.backbone.space,
        "weights": material.backbone.weights,
        "created_at": created.isoformat(timespec="seconds"),
        "labels": len({image.label for image in material.images}),
        "libraries": {
            "python": platform.python_version(),
            **{name: library_version(name) for name in _LIBRARIES},
        },
    }
    pictures = {image.content_hash: image for image in material.images}

    def write(folder: Path) -> None:
        if trained.fcn is not None and trained.svm is not None:
            trained.fcn.save(folder / "fcn.npz")
            trained.svm.save(folder / "svm.npz")
        if trained.types is not None:
            trained.types.save(folder / "types.npz")
        material.split.save(folder / SPLIT_FILE)
        settings = {"vote": trained.vote.to_json(), "verdict": trained.verdict.to_json()}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "metrics.json").write_text(json.dumps(plain_metrics(trained.metrics)))
        write_report(folder / "report.html", manifest, trained, lambda h: pictures[h].picture(), material.backbone)
        shown = own_photos(material.images)
        write_inspection(folder, trained, shown, variants, VARIANT_SEED, lambda h: pictures[h].load())

    write_bundle(bundles.path_for(version), manifest, write)
    return bundles.path_for(version)


def own_photos(images: Sequence[CatalogueImage]) -> list[tuple[str, str]]:
    """(label, content hash) of the photos that a bundle's pictures may show.

    A bundle cannot be changed any more, and a shopper may want a photo back.
    """
    return [(image.label, image.content_hash) for image in images if image.reviewed_id is None]


def plain_metrics(metrics: Any) -> Any:
    """Metrics as JSON allows them: NaN and infinity become null, numpy numbers plain ones."""
    if isinstance(metrics, dict):
        return {str(name): plain_metrics(value) for name, value in metrics.items()}
    if isinstance(metrics, list | tuple):
        return [plain_metrics(value) for value in metrics]
    if isinstance(metrics, bool | np.bool_):
        return bool(metrics)
    if isinstance(metrics, np.integer):
        return int(metrics)
    if isinstance(metrics, float | np.floating):
        return float(metrics) if np.isfinite(metrics) else None
    return metrics


def predict_types(
    session: Session, types: TypeModel | None, photos: TrainingPhotos, images: Sequence[CatalogueImage]
) -> int:
    """Store a predicted type, with its confidence, for each product whose row gives none; returns how many.

    types: the model that guesses; None guesses nothing. images: all of the catalogue; those without a bottleneck in
    ``photos`` say nothing of their product.
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
        guess = types.predict_product(photos.originals[members]) if types is not None else None
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
