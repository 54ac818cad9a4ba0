"""Fill the bottleneck cache from the catalogue's photos and the k-NN memory from the cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import MediaNotFound
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.neighbours import put_vectors, refresh_looks
from app.store.spaces import ensure_space
from app.store.tables import Image, Product, ReferenceVector
from augment.variants import ORIGINAL, VARIANT_NAMES
from models.backbone.prepare import prepare_backbone
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.store import load_backbone
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import FillReport, fill_cache
from models.training.bottlenecks.keys import BottleneckKey
from models.training.bottlenecks.progress import ProgressCallback

VARIANT_SEED = 0
_ROWS_AT_A_TIME = 2000


@dataclass(frozen=True, slots=True)
class CatalogueImage:
    """A reference photo of the catalogue, and where its bytes are.

    content_hash names the bytes that were imported; ``load`` gives the stored copy, whose pixels are the
    same and whose metadata is gone.
    """

    image_id: int
    product_id: int
    content_hash: str
    label: str
    type: str | None
    media: MediaStore

    def load(self) -> bytes:
        """The stored photo.

        :raise FileNotFoundError: the image store has lost it.
        """
        try:
            return self.media.open(self.content_hash, "original")
        except MediaNotFound as error:
            raise FileNotFoundError(str(error)) from error


@dataclass(frozen=True, slots=True)
class BottleneckReport:
    """What ``fill_bottlenecks`` did; ``vectors`` rows are new in the k-NN memory."""

    space: str
    weights: str
    photos: int
    fill: FillReport
    vectors: int


def catalogue_images(session: Session, media: MediaStore) -> list[CatalogueImage]:
    """Every reference photo, ordered by label, product and position."""
    rows = session.execute(
        select(Image.id, Image.product_id, Image.content_hash, Product.label, Product.type)
        .join(Product, Product.id == Image.product_id)
        .order_by(Product.label, Product.id, Image.position)
    )
    return [CatalogueImage(*row, media) for row in rows]


def ready_backbone(settings: Settings, say: Callable[[str], None]) -> OpenVinoBackbone:
    """The backbone of the settings' weights, prepared first where that has not been done."""
    prepare_backbone(settings.weights, settings.home, say)
    return load_backbone(settings.weights, settings.home, settings.runtime)


def fill_bottlenecks(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    *,
    variants: Sequence[str] = VARIANT_NAMES,
    say: Callable[[str], None] = lambda line: None,
    progress: ProgressCallback | None = None,
    wait: bool = False,
) -> BottleneckReport:
    """Bottlenecks of every original and variant, and a reference vector a photo; only what is missing.

    wait: for the end of another run, see ``fill_cache``.
    :raise BackboneError, TrainingError: see ``prepare_backbone`` and ``fill_cache``.
    """
    backbone = ready_backbone(settings, say)
    with transaction(engine) as session:
        images = catalogue_images(session, media)
    with open_cache(settings.home, backbone.space) as cache:
        fill = fill_cache(cache, images, backbone, variants=variants, seed=VARIANT_SEED, progress=progress, wait=wait)
        with transaction(engine) as session:  # anew: filling may take hours, and an import may have run meanwhile
            current = catalogue_images(session, media)
        vectors = remember(engine, current, backbone, cache)
    return BottleneckReport(backbone.space, backbone.weights, len(images), fill, vectors)


def remember(
    engine: Engine, images: Sequence[CatalogueImage], backbone: OpenVinoBackbone, cache: BottleneckCache
) -> int:
    """Write the vectors that the k-NN memory lacks; returns how many were new."""
    with transaction(engine) as session:
        space_id = ensure_space(session, backbone.space, json.loads(backbone.description.to_json()))
        known = session.execute(
            select(ReferenceVector.image_id, ReferenceVector.label).where(ReferenceVector.space_id == space_id)
        )
        present = {image_id: label for image_id, label in known.all()}  # noqa: C416  rows are no pairs to mypy
    stored = cache.contains([BottleneckKey(image.content_hash, ORIGINAL) for image in images])
    missing = iter(
        [
            image
            for image, there in zip(images, stored, strict=True)
            if there and present.get(image.image_id) != image.label
        ]
    )
    written = 0
    while batch := list(islice(missing, _ROWS_AT_A_TIME)):
        vectors = cache.originals([image.content_hash for image in batch])
        with transaction(engine) as session:
            rows = [
                (image.image_id, image.product_id, image.label, vector)
                for image, vector in zip(batch, vectors, strict=True)
            ]
            put_vectors(session, space_id, rows, backbone.projection.apply)
        written += len(batch)
    with transaction(engine) as session:
        # All of them: a photo that was deleted changes a look without leaving a row to notice it by.
        refresh_looks(session, space_id, list(session.scalars(select(Product.id))))
    return written
