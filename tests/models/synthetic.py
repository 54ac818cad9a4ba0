"""A small world of bottlenecks with known answers: labels, scenes within them, photos within those."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.training.crossfit import Judged
from models.training.data import TrainingPhotos
from models.values import BOTTLENECK_SIZE, ClassifierName, Float32, Prediction, Scored, UInt8
from tests.contracts.neighbours import SPECTRUM, unit


def digest(name: str) -> str:
    """A content hash for a photo that has no content."""
    return hashlib.sha256(name.encode()).hexdigest()


def make_photos(
    shots: Mapping[str, Sequence[int]], *, variants: int = 0, spread: float = 0.9, seed: int = 5
) -> tuple[TrainingPhotos, NDArray[np.intp]]:
    """Photos and the scene of each.

    shots: label -> photos in each of its scenes. spread: how far a label's scenes lie apart, in units of the
    distance between labels. Photos of one scene are nearly the same; each variant is a small step away.
    """
    rng = np.random.default_rng(seed)
    basis = SPECTRUM[:, None] * rng.normal(size=(len(SPECTRUM), BOTTLENECK_SIZE))
    hashes, labels, scenes, inner = [], [], [], []
    for label, sizes in shots.items():
        centre = rng.normal(size=len(SPECTRUM))
        for size in sizes:
            scene = centre + spread * rng.normal(size=len(SPECTRUM))
            number = scenes[-1] + 1 if scenes else 0
            for _ in range(size):
                inner.append(scene + 0.02 * rng.normal(size=len(SPECTRUM)))
                hashes.append(digest(f"{label}/{len(hashes)}"))
                labels.append(label)
                scenes.append(number)
    points = np.array(inner)
    moved = points[:, None, :] + 0.1 * rng.normal(size=(len(points), variants, len(SPECTRUM)))
    originals = unit(np.maximum(points @ basis, 0.0))
    others = unit(np.maximum(moved.reshape(-1, len(SPECTRUM)) @ basis, 0.0)) if variants else np.empty((0, 1))
    shape = (len(points), variants, BOTTLENECK_SIZE)
    photos = TrainingPhotos(tuple(hashes), tuple(labels), originals, others.reshape(shape).astype(np.float32))
    return photos, np.array(scenes, dtype=np.intp)


def strangers(count: int, seed: int = 99) -> Float32:
    """Bottlenecks (count, 2048) of another world: other directions altogether."""
    return unit(np.random.default_rng(seed).gamma(0.3, size=(count, BOTTLENECK_SIZE)))


def says(name: ClassifierName, ranked: Mapping[str, float], known: str | None = None) -> Prediction:
    """A prediction from label -> score, best first; known: one character a label, None for every label."""
    return Prediction(
        name,
        tuple(Scored(label, score) for label, score in ranked.items()),
        None if known is None else frozenset(known),
    )


def judged(truth: str | None, fold: int, *predictions: Prediction, name: str = "") -> Judged:
    """A judged photo."""
    return Judged(digest(f"{truth}{fold}{name}"), truth, fold, predictions)


def draw(place: int, seed: int = 0) -> UInt8:
    """A product in its own corner of a table, uint8 (320, 320, 3), with some noise; each seed has its own table."""
    rng = np.random.default_rng(100 * place + seed)
    pixels = np.full((320, 320, 3), np.random.default_rng(seed).integers(0, 60, 3), np.uint8)
    row, column = divmod(place, 3)
    top, left = np.array([100 * row, 100 * column]) + rng.integers(0, 35, 2)
    pixels[top : top + 90, left : left + 90] = 80 + 20 * place
    return (pixels + rng.integers(0, 75, (16, 16, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)).astype(np.uint8)


def encoded(pixels: UInt8, kind: str = "JPEG") -> bytes:
    """The photo as a file."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()
