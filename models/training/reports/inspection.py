"""The files of a bundle that people look into, see ``models.inspection``: made once, when the bundle is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from augment.variants import ORIGINAL, make_variant, variant_amount
from models.errors import PhotoError
from models.inspection import JUDGED_FILE, MAP_FILE, VARIANTS_FILE, VARIANTS_PICTURE, ProductMap, VariantSheet
from models.photo import read_photo
from models.training.care.teaching import coded
from models.training.data import TrainingPhotos
from models.training.reports.pictures import PhotoLoader
from models.training.reports.plots import embedded
from models.training.train import Trained
from models.values import Float32, UInt8

MAP_LABELS: Final = 2000
"""Labels on the map of products: more take minutes, and people look at parts of it anyway."""

LEAST_MAP_LABELS: Final = 8
"""Fewer labels have no neighbourhoods to be shown."""

SHEET_PHOTOS: Final = 4
SHEET_EDGE: Final = 160
"""Edge of a picture on the sheet of variants, pixels: a sheet of four photos is about 150 kB."""

_TRIES: Final = 20
"""Photos that are tried for the sheet: one may be lost, or not be shown."""


def write_inspection(
    folder: Path,
    trained: Trained,
    shown: Sequence[tuple[str, str]],
    variants: Sequence[str],
    seed: int,
    load: PhotoLoader,
) -> None:
    """Write into a bundle's folder what there is to look into.

    shown: (label, content hash) of the photos that the sheet of variants may show. variants, seed: as they were made
    for the training. load: content hash -> the photo's bytes.
    """
    if trained.judged is not None:
        trained.judged.save(folder / JUDGED_FILE)
    found = product_map(trained.photos) if trained.photos is not None else None
    if found is not None:
        found.save(folder / MAP_FILE)
    sheet = variant_sheet(shown, variants, seed, load)
    if sheet is not None:
        about, pixels = sheet
        about.save(folder / VARIANTS_FILE)
        Image.fromarray(pixels).save(folder / VARIANTS_PICTURE, "WEBP", quality=85)


def product_map(photos: TrainingPhotos, seed: int = 0) -> ProductMap | None:
    """t-SNE of the labels' mean bottlenecks; None for fewer than 8 labels.

    Of more than 2,000 labels a sample by ``seed``. Distances between far groups mean nothing (van der Maaten and
    Hinton, JMLR 2008).
    """
    names, codes = coded(photos)
    if len(names) < LEAST_MAP_LABELS:
        return None
    chosen = np.sort(np.random.default_rng(seed).permutation(len(names))[:MAP_LABELS])
    counts = np.bincount(codes, minlength=len(names))
    means = np.zeros((len(names), photos.originals.shape[1]), np.float64)
    np.add.at(means, codes, photos.originals)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    places = _within_unit(embedded(means[chosen].astype(np.float32), seed))
    return ProductMap(tuple(names[i] for i in chosen), places, counts[chosen].astype(np.int32), len(names))


def _within_unit(places: Float32) -> Float32:
    """Moved and scaled into the unit square, the longer side filling it, the other in its middle."""
    low, high = places.min(axis=0), places.max(axis=0)
    span = max(float((high - low).max()), 1e-9)
    return np.clip(0.5 + (places - (low + high) / 2) / span, 0.0, 1.0).astype(np.float32)


def variant_sheet(
    shown: Sequence[tuple[str, str]], variants: Sequence[str], seed: int, load: PhotoLoader
) -> tuple[VariantSheet, UInt8] | None:
    """Four photos of different labels with the variants that training made of them, and the picture of it all.

    The picture is uint8 (photos * 160, (1 + variants) * 160, 3), RGB. None where there are no variants, or no photo
    can be read.
    """
    if not variants:
        return None
    names = (ORIGINAL, *variants)
    labels: list[str] = []
    amounts: list[tuple[float, ...]] = []
    rows: list[UInt8] = []
    for label, content_hash in _drawn(shown, seed):
        try:
            pixels = read_photo(load(content_hash), with_advice=False).pixels
        except (OSError, PhotoError):
            continue
        labels.append(label)
        amounts.append(tuple(1.0 if name == ORIGINAL else variant_amount(pixels, name, seed) for name in names))
        rows.append(np.concatenate([_small(make_variant(pixels, name, seed)) for name in names], axis=1))
        if len(rows) == SHEET_PHOTOS:
            break
    if not rows:
        return None
    return VariantSheet(SHEET_EDGE, names, tuple(labels), tuple(amounts)), np.concatenate(rows)


def _drawn(shown: Sequence[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    """Photos to try, each of another label, in an order drawn by ``seed``."""
    first: dict[str, tuple[str, str]] = {}
    for i in np.random.default_rng(seed).permutation(len(shown)):
        first.setdefault(shown[i][0], shown[i])
    return list(first.values())[:_TRIES]


def _small(pixels: UInt8) -> UInt8:
    return np.asarray(Image.fromarray(pixels).resize((SHEET_EDGE, SHEET_EDGE), Image.Resampling.LANCZOS))
