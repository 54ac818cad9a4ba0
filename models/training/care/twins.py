"""Nearly the same photo under two labels: one of them is wrong, or the two products cannot be told apart by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.values import Float32

TWIN_COSINE: Final = 0.985
"""Cosine of two bottlenecks above which two photos are called near-duplicates."""

_BLOCK: Final = 1024


@dataclass(frozen=True, slots=True)
class Twins:
    """Two photos of different labels that are nearly the same; cosine 1 where it is the very same file."""

    photos: tuple[str, str]
    labels: tuple[str, str]
    cosine: float


def twins_across(
    vectors: Float32, labels: Sequence[str], hashes: Sequence[str], most: int = 50, least_cosine: float = TWIN_COSINE
) -> tuple[int, list[Twins]]:
    """(how many pairs there are, the ``most`` alike of them, the same file first; equal ones by label).

    vectors: float32 (n, 2048), unit length. labels, hashes: n each.
    """
    count = 0
    found: list[Twins] = []
    codes, contents = (np.unique(np.array(names, dtype=np.str_), return_inverse=True)[1] for names in (labels, hashes))
    for start in range(0, len(vectors), _BLOCK):
        cosine = vectors[start : start + _BLOCK] @ vectors[start:].T
        rows, columns = np.nonzero(cosine > least_cosine)
        later = (columns > rows) & (codes[start + rows] != codes[start + columns])
        rows, columns = rows[later], columns[later]
        count += len(rows)
        same = contents[start + rows] == contents[start + columns]
        for i in np.lexsort((-cosine[rows, columns], ~same))[:most]:
            pair = (start + int(rows[i]), start + int(columns[i]))
            found.append(_twins(labels, hashes, pair, float(cosine[rows[i], columns[i]])))
    return count, sorted(found, key=_order)[:most]


def _order(pair: Twins) -> tuple[bool, float, tuple[str, str], tuple[str, str]]:
    """The same file at two labels first, then by likeness, then by label."""
    return pair.photos[0] != pair.photos[1], -pair.cosine, pair.labels, pair.photos


def _twins(labels: Sequence[str], hashes: Sequence[str], pair: tuple[int, int], cosine: float) -> Twins:
    a, b = sorted(pair, key=lambda i: (labels[i], hashes[i]))
    same = hashes[a] == hashes[b]
    return Twins((hashes[a], hashes[b]), (labels[a], labels[b]), 1.0 if same else min(cosine, 1.0))
