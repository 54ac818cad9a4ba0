"""What the stored bottlenecks tell of the catalogue's photos, for ``catalog lint``."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Engine

from app.config import Settings
from app.jobs.bottlenecks import catalogue_images
from app.jobs.material import training_photos, with_bottlenecks
from app.services.catalogue.checks import SHOWN, Finding
from app.store.database import transaction
from app.store.media import MediaStore
from models.backbone.store import find_backbone
from models.errors import BackboneNotReady
from models.training.bottlenecks.cache import open_cache
from models.training.care.findings import ADVICE
from models.training.care.twins import twins_across
from models.training.data import TrainingPhotos
from models.training.reports.review import review_photos
from models.training.scenes import cluster_scenes
from models.training.splits import PhotoPlace, Split
from models.values import Float32

_HASH: Final = 12


def photo_findings(settings: Settings, engine: Engine, media: MediaStore) -> tuple[int, tuple[Finding, ...]]:
    """(photos with a stored bottleneck, what their bottlenecks tell); no network is run and nothing is written.

    (0, ()) where the settings' weights have not been prepared here, or their cache holds none of the photos.
    """
    try:
        space = find_backbone(settings.weights, settings.home).space.identifier
    except BackboneNotReady:
        return 0, ()
    if not (settings.home / "bottlenecks" / space).is_dir():
        return 0, ()
    with transaction(engine) as session:
        listed = catalogue_images(session, media)
    with open_cache(settings.home, space) as cache:
        images = with_bottlenecks(listed, cache, ())
        if not images:
            return 0, ()
        photos, descriptors = training_photos(images, cache, ()), cache.scenes([i.content_hash for i in images])
    return len(photos), _findings(photos, descriptors)


def _findings(photos: TrainingPhotos, descriptors: Float32) -> tuple[Finding, ...]:
    scenes = cluster_scenes(descriptors, photos.labels, photos.hashes)
    places = {h: PhotoPlace("train", 0, int(s)) for h, s in zip(photos.hashes, scenes, strict=True)}
    review = review_photos(photos, descriptors, Split(places, 2))
    count, twins = twins_across(photos.originals, photos.labels, photos.hashes, SHOWN)
    alike = review["near_duplicates"]
    found = (
        _listed("one_scene", review["one_scene"], "labels whose photos all show one scene"),
        _listed("studio_only", review["studio_only"], "labels with uniform or studio photos only"),
        Finding(
            "near_duplicates",
            alike["count"],
            "pairs of nearly the same photo within a label",
            alike["advice"],
            tuple(f"{p['label']}: {p['photos'][0][:_HASH]}, {p['photos'][1][:_HASH]}" for p in alike["pairs"][:SHOWN]),
        ),
        Finding(
            "twins",
            count,
            "pairs of nearly the same photo at two labels",
            ADVICE["twins"],
            tuple(
                f"{pair.labels[0]} ({pair.photos[0][:_HASH]}) and {pair.labels[1]} ({pair.photos[1][:_HASH]})"
                for pair in twins
            ),
        ),
    )
    return tuple(finding for finding in found if finding.count)


def _listed(code: str, part: dict[str, Any], message: str) -> Finding:
    return Finding(code, part["count"], message, part["advice"], tuple(part["labels"][:SHOWN]))
