"""Fill the bottleneck cache from the photos of the catalogue, and the k-NN memory from the cache.

Photos of shoppers that were accepted in review are photos of their label like any other, but for two things: their
vectors lie in a table of their own (``app.store.review_tables``), and nobody is shown them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

from PIL import Image as Picture
from PIL import ImageDraw
from sqlalchemy import BigInteger, Engine, Select, cast, null, select, union_all
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import MediaNotFound
from app.services.spaces import filling_locks
from app.services.words import FOLDER as SHARED_FOLDER
from app.services.words import SharedInService, refresh_all_places
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.neighbours import put_reviewed_vectors, put_vectors, refresh_looks
from app.store.outbox import keep_complete
from app.store.review_tables import ReviewedPhoto, ReviewedVector
from app.store.spaces import ensure_space
from app.store.tables import Image, Product, ReferenceVector
from app.store.vectors import Project, VectorRow
from augment.variants import ORIGINAL, VARIANT_NAMES
from models.backbone.locking import exclusive
from models.backbone.prepare import prepare_backbone
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.store import load_backbone
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import FillReport, fill_cache
from models.training.bottlenecks.keys import BottleneckKey
from models.training.bottlenecks.progress import ProgressCallback

VARIANT_SEED = 0
_NO_ID = cast(null(), BigInteger).label("reviewed_id")
_UNSHOWN_EDGE = 320
_ROWS_AT_A_TIME = 2000


@dataclass(frozen=True, slots=True)
class CatalogueImage:
    """A reference photo of the catalogue or a reviewed photo, and where its bytes are.

    image_id: of a reference photo; None for a reviewed one, which has ``reviewed_id`` instead.
    content_hash names the bytes that came; ``load`` gives the stored copy, whose pixels are the
    same and whose metadata is gone.
    """

    image_id: int | None
    product_id: int
    content_hash: str
    label: str
    type: str | None
    media: MediaStore
    reviewed_id: int | None = None

    def load(self) -> bytes:
        """The stored photo.

        :raise FileNotFoundError: the image store has lost it.
        """
        try:
            return self.media.open(self.content_hash, "original")
        except MediaNotFound as error:
            raise FileNotFoundError(str(error)) from error

    def picture(self) -> bytes:
        """What reports show of it: the photo, and of a shopper's photo a grey picture in its place.

        A bundle's report cannot be changed any more, and a shopper may want the photo back.

        :raise FileNotFoundError: the image store has lost it.
        """
        return _unshown() if self.reviewed_id is not None else self.load()


@dataclass(frozen=True, slots=True)
class BottleneckReport:
    """What ``fill_bottlenecks`` did; ``vectors`` rows are new in the k-NN memory."""

    space: str
    weights: str
    photos: int
    fill: FillReport
    vectors: int


def catalogue_images(session: Session, media: MediaStore) -> list[CatalogueImage]:
    """Every reference photo and every reviewed photo, ordered by label and product.

    A product's own photos come first, by position, then its reviewed ones in the order they were accepted.
    """
    own = select(
        Image.id.label("image_id"), Image.product_id, Image.content_hash, Image.position.label("place"), _NO_ID
    )
    reviewed = select(null(), ReviewedPhoto.product_id, ReviewedPhoto.content_hash, ReviewedPhoto.id, ReviewedPhoto.id)
    photos = union_all(own, reviewed).subquery()
    rows = session.execute(
        select(
            photos.c.image_id,
            photos.c.product_id,
            photos.c.content_hash,
            Product.label,
            Product.type,
            photos.c.reviewed_id,
        )
        .join(Product, Product.id == photos.c.product_id)
        .order_by(Product.label, Product.id, photos.c.reviewed_id.is_not(None), photos.c.place, photos.c.image_id)
    )
    return [
        CatalogueImage(row.image_id, row.product_id, row.content_hash, row.label, row.type, media, row.reviewed_id)
        for row in rows
    ]


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

    From its beginning the space is kept complete (``app.store.outbox``), so that it can take over from another.
    wait: for the end of another run, see ``fill_cache``.
    :raise BackboneError, TrainingError: see ``prepare_backbone`` and ``fill_cache``.
    """
    backbone = ready_backbone(settings, say)
    with _filling(settings, backbone.space):
        with transaction(engine) as session:
            space_id = ensure_space(session, backbone.space, json.loads(backbone.description.to_json()))
        keep_complete(engine, space_id)  # from now on: what comes while this runs is noted
        with transaction(engine) as session:
            images = catalogue_images(session, media)
        with open_cache(settings.home, backbone.space) as cache:
            fill = fill_cache(
                cache, images, backbone, variants=variants, seed=VARIANT_SEED, progress=progress, wait=wait
            )
            with transaction(engine) as session:  # anew: filling may take hours, and an import may have run meanwhile
                current = catalogue_images(session, media)
            vectors = remember(engine, current, backbone, cache)
    # What an import changed lies elsewhere in the shared space of words and photos, where one is in service.
    refresh_all_places(engine, SharedInService(engine, settings.home / SHARED_FOLDER).now())
    return BottleneckReport(backbone.space, backbone.weights, len(images), fill, vectors)


@contextmanager
def _filling(settings: Settings, space: str) -> Iterator[None]:
    """Tell workers that the space is being filled; whether two may do so at once is for ``fill_cache`` to judge."""
    path = filling_locks(settings.home, space)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with suppress(BlockingIOError):
            stack.enter_context(exclusive(path, wait=False))
        yield


def remember(
    engine: Engine, images: Sequence[CatalogueImage], backbone: OpenVinoBackbone, cache: BottleneckCache
) -> int:
    """Write the vectors that the k-NN memory lacks; returns how many were new."""
    with transaction(engine) as session:
        space_id = ensure_space(session, backbone.space, json.loads(backbone.description.to_json()))
    stored = cache.contains([BottleneckKey(image.content_hash, ORIGINAL) for image in images])
    there = [image for image, is_stored in zip(images, stored, strict=True) if is_stored]
    own = [(image.image_id, image) for image in there if image.image_id is not None]
    reviewed = [(image.reviewed_id, image) for image in there if image.reviewed_id is not None]
    memory = _Memory(engine, space_id, backbone, cache)
    known = select(ReferenceVector.image_id, ReferenceVector.label).where(ReferenceVector.space_id == space_id)
    written = memory.write(own, known, put_vectors)
    known = select(ReviewedVector.reviewed_id, ReviewedVector.label).where(ReviewedVector.space_id == space_id)
    written += memory.write(reviewed, known, put_reviewed_vectors)
    with transaction(engine) as session:
        # All of them: a photo that was deleted changes a look without leaving a row to notice it by.
        refresh_looks(session, space_id, list(session.scalars(select(Product.id))))
    return written


@dataclass(frozen=True, slots=True, eq=False)
class _Memory:
    """Writes one space of the k-NN memory from the cache."""

    engine: Engine
    space_id: int
    backbone: OpenVinoBackbone
    cache: BottleneckCache

    def write(
        self,
        photos: Sequence[tuple[int, CatalogueImage]],
        known: Select[int, str],
        put: Callable[[Session, int, Iterable[VectorRow], Project], int],
    ) -> int:
        """Write what a part of the memory lacks.

        photos: with the ids that the part knows them by. known: id and label of what it holds.
        """
        with transaction(self.engine) as session:
            labels = {number: label for number, label in session.execute(known).all()}  # noqa: C416  no pairs to mypy
        missing = iter([(number, image) for number, image in photos if labels.get(number) != image.label])
        written = 0
        while batch := list(islice(missing, _ROWS_AT_A_TIME)):
            vectors = self.cache.originals([image.content_hash for _, image in batch])
            with transaction(self.engine) as session:
                rows = [
                    (number, image.product_id, image.label, vector)
                    for (number, image), vector in zip(batch, vectors, strict=True)
                ]
                put(session, self.space_id, rows, self.backbone.projection.apply)
            written += len(batch)
        return written


def _unshown() -> bytes:
    """A grey picture that says what it stands for, PNG."""
    picture = Picture.new("RGB", (_UNSHOWN_EDGE, _UNSHOWN_EDGE), (200, 200, 200))
    middle = (_UNSHOWN_EDGE / 2, _UNSHOWN_EDGE / 2)
    ImageDraw.Draw(picture).text(middle, "a shopper's photo", (60, 60, 60), anchor="mm")
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
