"""The experiments on this installation: its stored bottlenecks, its split file, or products drawn for the purpose."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from sqlalchemy import Engine, select

import augment.render
from app.config import Settings
from app.jobs.bottlenecks import catalogue_images, ready_backbone
from app.jobs.material import training_photos, with_bottlenecks
from app.jobs.training import plain_metrics
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.tables import Category, Product
from augment.render import VIEW_COUNT, RenderedProduct, make_catalogue, render_phone_photo, render_view
from models.backbone.store import find_backbone
from models.errors import NotEnoughData, SplitError
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import fill_cache
from models.training.bottlenecks.progress import ProgressCallback
from models.training.data import TrainingPhotos
from models.training.experiments.labels import RenderedPhotos
from models.training.splits import Split
from models.values import BOTTLENECK_SIZE

FAMILY = "training"
"""Brands, letterings, cameras and places of the rendered products; no shipped weights are made with them."""

_SEED = 41
_PHONE_SEED = 30_000
_JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueData:
    """What the experiments work on.

    paths: label -> category path, of the labels that have one. seen: content hashes that the weights were trained on.
    """

    photos: TrainingPhotos
    split: Split
    paths: dict[str, str]
    seen: frozenset[str]
    weights: str
    space: str

    def facts(self) -> dict[str, Any]:
        """For the result: which weights, how many photos, labels and variants, and photos the weights have seen."""
        return {
            "weights": self.weights,
            "space": self.space,
            "catalogue": {
                "photos": len(self.photos),
                "labels": len(set(self.photos.labels)),
                "variants": int(self.photos.variants.shape[1]),
                "seen_by_backbone": len(self.seen & set(self.photos.hashes)),
            },
        }


def catalogue_data(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    variants: Sequence[str],
    say: Callable[[str], None] = lambda line: None,
) -> CatalogueData:
    """The catalogue's stored bottlenecks with the split that training made; reads only.

    Photos without all their bottlenecks, or newer than the split, are left out and told.
    :raise BackboneNotReady: the backbone of the settings' weights has not been prepared.
    :raise SplitError: there is no split file. :raise NotEnoughData: no photo is left.
    """
    prepared = find_backbone(settings.weights, settings.home)
    path = settings.home / "splits" / "split.json"
    if not path.exists():
        raise SplitError(f"{path} is not there: run `make train` first, which makes it")
    split = Split.load(path)
    with transaction(engine) as session:
        listed = catalogue_images(session, media)
        rows = session.execute(
            select(Product.label, Category.path).join(Category, Category.id == Product.category_id)
        ).all()
    with open_cache(settings.home, prepared.space.identifier) as cache:
        stored = with_bottlenecks(listed, cache, variants)
        images = [image for image in stored if image.content_hash in split.places]
        if not images:
            raise NotEnoughData(
                f"none of the catalogue's {len(listed)} photos has both bottlenecks of these weights and a place in "
                "the split: run `make train-bottlenecks`, then `make train`"
            )
        left_out = len({i.content_hash for i in listed} - {i.content_hash for i in images})
        if left_out:
            say(f"{left_out} photos lack bottlenecks or a place in the split and are left out")
        photos = training_photos(images, cache, variants)
    counts: dict[str, Counter[str]] = {}
    for label, category in rows:
        counts.setdefault(label, Counter())[category] += 1
    # A group's products may be listed in several categories: the one that most are in, the first by name of equals.
    paths = {label: min(own, key=lambda name: (-own[name], name)) for label, own in counts.items()}
    space = prepared.space
    return CatalogueData(photos, split, paths, prepared.seen_hashes(), space.weights, space.identifier)


@dataclass(frozen=True, slots=True)
class RenderedPhoto:
    """A photo that is drawn when it is needed. phone: a phone photo of that number, else the studio view.

    content_hash: names the recipe and the renderer's own source code, so that nothing is drawn only to see that
    its bottleneck is stored, and a changed renderer never meets bottlenecks of the former one.
    """

    product: RenderedProduct
    number: int
    phone: bool

    @property
    def content_hash(self) -> str:
        """64 hex digits."""
        recipe = f"{renderer_digest()}|{self.product}|{self.number}|{self.phone}|{_JPEG_QUALITY}"
        return hashlib.sha256(recipe.encode()).hexdigest()

    def load(self) -> bytes:
        """The photo as a JPEG."""
        if self.phone:
            pixels = render_phone_photo(self.product, _PHONE_SEED + self.number, camera=FAMILY, backgrounds=FAMILY)
        else:
            pixels = render_view(self.product, self.number)
        out = BytesIO()
        Picture.fromarray(pixels).save(out, "JPEG", quality=_JPEG_QUALITY)
        return out.getvalue()


@cache
def renderer_digest() -> str:
    """SHA-256 over the renderer's modules."""
    digest = hashlib.sha256()
    for path in sorted(Path(augment.render.__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def rendered_photos(
    settings: Settings,
    products: int,
    phones: int,
    say: Callable[[str], None] = lambda line: None,
    progress: ProgressCallback | None = None,
) -> tuple[RenderedPhotos, dict[str, Any]]:
    """Bottlenecks of every studio view and of ``phones`` phone photos of that many rendered products, with facts for
    the result. Needs no catalogue; what the cache holds is not drawn again.

    :raise BackboneError, TrainingError: see ``prepare_backbone`` and ``fill_cache``.
    """
    backbone = ready_backbone(settings, say)
    catalogue = make_catalogue(products, _SEED, FAMILY)
    views = [RenderedPhoto(product, view, phone=False) for product in catalogue for view in range(VIEW_COUNT)]
    shots = [RenderedPhoto(product, number, phone=True) for product in catalogue for number in range(phones)]
    with open_cache(settings.home, backbone.space) as store:
        fill_cache(store, [*views, *shots], backbone, variants=(), progress=progress)
        taught, asked = _bottlenecks(views, store), _bottlenecks(shots, store)
    facts = {
        "weights": backbone.weights,
        "space": backbone.space,
        "rendered": {"products": products, "views": VIEW_COUNT, "phone_photos": phones, "family": FAMILY},
    }
    return RenderedPhotos(taught, np.array([photo.number for photo in views], dtype=np.intp), asked), facts


def _bottlenecks(photos: Sequence[RenderedPhoto], store: BottleneckCache) -> TrainingPhotos:
    hashes = tuple(photo.content_hash for photo in photos)
    none = np.empty((len(photos), 0, BOTTLENECK_SIZE), np.float32)
    return TrainingPhotos(hashes, tuple(photo.product.sku for photo in photos), store.originals(hashes), none)


def write_result(home: Path, name: str, result: dict[str, Any]) -> Path:
    """``HOME/experiments/<name>.json``, replaced in one rename; NaN becomes null. Returns the path."""
    path = home / "experiments" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(plain_metrics(result), indent=1, ensure_ascii=False) + "\n", "utf-8")
    temporary.replace(path)
    return path
