"""Wrong types among the rows: found and mended before the network learns from them.

The methods are those for photos (``models.training.care``): confident learning on leave-one-out probabilities, and
refurbishing in the style of SELFIE. Both need fixed vectors of the rows; theirs are random projections of the name's
features beside a projection of the bottleneck, which keep distances (Johnson and Lindenstrauss) and learn nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.training.care.confident import Suspects, find_suspects
from models.training.care.likelihood import leave_one_out
from models.training.care.selfie import SelfieSettings, refurbish
from models.training.care.teaching import LEAST_PHOTOS, Care
from models.training.text.rows import UNKNOWN, Codes, Encoded
from models.values import BOTTLENECK_SIZE, Float32

NAME_SIZE: Final = 768
IMAGE_SIZE: Final = 256
NOISE_WORTH_CARE: Final = 0.05
"""Estimated share of wrong types from which they are mended without being asked: below it, mending also turns rare but
right types into frequent ones."""

_BLOCK: Final = 4096
_SELFIE: Final = SelfieSettings(learning_rate=0.001, epochs=12, warm_up=4, history=4)


@dataclass(frozen=True, slots=True, eq=False)
class CaredTypes:
    """What to learn. codes: intp (n,), each row's type. used: bool (n,), whether it is learned. noise: estimated."""

    codes: Codes
    used: NDArray[np.bool_]
    noise: float


def row_vectors(encoded: Encoded, seed: int = 0) -> Float32:
    """Float32 (n, NAME_SIZE + IMAGE_SIZE): what a row's name and picture say, zero where it has none."""
    random = np.random.default_rng(seed)
    names = encoded.names
    pieces = random.normal(size=(int(names.pieces.max(initial=0)) + 1, NAME_SIZE)).astype(np.float32)
    extras = random.normal(size=(int(names.extras.max(initial=0)) + 1, NAME_SIZE)).astype(np.float32)
    pieces[0], extras[0] = 0.0, 0.0
    projection = random.normal(size=(BOTTLENECK_SIZE, IMAGE_SIZE)).astype(np.float32)
    images = encoded.rows.images
    projected = (images - images.mean(axis=0)) @ projection if len(images) else np.zeros((0, IMAGE_SIZE), np.float32)
    vectors = np.zeros((len(encoded), NAME_SIZE + IMAGE_SIZE), np.float32)
    for start in range(0, len(encoded), _BLOCK):
        part = slice(start, start + _BLOCK)
        vectors[part, :NAME_SIZE] = _summed(pieces, names.pieces[part]) + _summed(extras, names.extras[part])
    shown = encoded.rows.has_image
    vectors[shown, NAME_SIZE:] = projected[encoded.rows.image_rows[shown]]
    for side in (slice(0, NAME_SIZE), slice(NAME_SIZE, None)):
        lengths = np.linalg.norm(vectors[:, side], axis=1, keepdims=True)
        vectors[:, side] /= np.maximum(lengths, 1e-12)
    return vectors


def _summed(table: Float32, rows: NDArray[np.int32]) -> Float32:
    """Sum of the rows' vectors, a column of numbers at a time: (n, NAME_SIZE)."""
    total = np.zeros((len(rows), table.shape[1]), np.float32)
    for column in rows.T:
        if not column.any():
            break
        total += table[column]
    return total


def suspect_types(vectors: Float32, codes: Codes, n_types: int) -> Suspects:
    """Rows whose type is probably wrong, among those that give one; places among all rows."""
    known = np.flatnonzero(codes != UNKNOWN)
    if len(known) < LEAST_PHOTOS or n_types < 2:
        return Suspects(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0), 0.0)
    found = find_suspects(leave_one_out(vectors[known], codes[known], n_types), codes[known])
    return Suspects(known[found.rows], found.suggested, found.margins, found.noise)


def care_for_types(encoded: Encoded, codes: Codes, n_types: int, care: Care | None, seed: int = 0) -> CaredTypes:
    """What to learn instead of the types as given.

    care: None decides by the estimated noise: relabelling from ``NOISE_WORTH_CARE`` on, else nothing.
    """
    everything = np.ones(len(codes), dtype=bool)
    if care is Care.NONE:
        return CaredTypes(codes, everything, 0.0)
    vectors = row_vectors(encoded, seed)
    found = suspect_types(vectors, codes, n_types)
    chosen = care if care is not None else (Care.RELABEL if found.noise >= NOISE_WORTH_CARE else Care.NONE)
    mended, used = codes.copy(), everything
    if chosen is Care.LEAVE_OUT:
        used[found.rows] = False
    elif chosen is Care.RELABEL:
        mended[found.rows] = found.suggested
    elif chosen is Care.SELFIE:
        known = np.flatnonzero(codes != UNKNOWN)
        if len(known) >= LEAST_PHOTOS:
            refurbished = refurbish(vectors[known], codes[known], n_types, found.noise, _SELFIE)
            mended[known], used[known] = refurbished.labels, refurbished.used
    return CaredTypes(mended, used, found.noise)
