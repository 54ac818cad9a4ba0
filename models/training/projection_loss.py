"""What the projection to 256 values costs the k-NN, measured against the raw 2,048."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.classifiers.exact import ExactNeighbours
from models.errors import NotEnoughData
from models.training.data import TrainingPhotos
from models.training.measures import top_k
from models.values import TOP_K, Float32

CANDIDATES: Final = 200
"""Photos found by the projection and ranked again by their full vectors, as the service does."""

_BLOCK: Final = 256


def projection_loss(
    memory: TrainingPhotos, queries: TrainingPhotos, project: Callable[[Float32], Float32]
) -> dict[str, Any]:
    """Top-1, Top-5 and label recall of searching by projection.

    memory, queries: photos of one space; project: (n, 2048) -> (n, d), d <= 2048, distances in the same unit.
    ``exact``: all raw vectors compared. ``reranked``: the nearest ``CANDIDATES`` by projection, ranked by their raw
    vectors. ``alone``: the projection only. ``label_recall5``: of the five labels that exact search names, the share
    that the other one names among its five. Vectors are float32; the service stores the raw ones as halves.
    :raise NotEnoughData: no photo in memory, or none to ask.
    """
    if not len(memory) or not len(queries):
        raise NotEnoughData(f"{len(memory)} photos in memory, {len(queries)} to ask; both must be there")
    truth = list(queries.labels)
    exact = _labels(ExactNeighbours(*memory.plain()).nearest(queries.originals))
    near, asked = project(memory.originals), project(queries.originals)
    size = memory.originals.shape[1]
    alone = _labels(ExactNeighbours(_padded(near, size), memory.labels).nearest(_padded(asked, size)))
    reranked = _reranked(memory, queries.originals, near, asked)
    return {
        "candidates": CANDIDATES,
        "photos": len(queries),
        **{
            name: {"top1": top_k(named, truth, 1), "top5": top_k(named, truth, TOP_K)}
            for name, named in (("exact", exact), ("reranked", reranked), ("alone", alone))
        },
        "label_recall5": {"reranked": _recall(exact, reranked), "alone": _recall(exact, alone)},
    }


def _labels(found: Sequence[Sequence[tuple[str, float]]]) -> list[list[str]]:
    return [[label for label, _ in row] for row in found]


def _padded(vectors: Float32, size: int) -> Float32:
    """Zeros appended: distances stay what they are."""
    return np.pad(vectors, ((0, 0), (0, size - vectors.shape[1])))


def _reranked(memory: TrainingPhotos, queries: Float32, near: Float32, asked: Float32) -> list[list[str]]:
    kept = min(CANDIDATES, len(memory))
    named: list[list[str]] = []
    for start in range(0, len(queries), _BLOCK):
        block = _squared(asked[start : start + _BLOCK], near)
        found = np.argpartition(block, kept - 1, axis=1)[:, :kept]
        for query, rows in zip(queries[start : start + _BLOCK], found, strict=True):
            distances = _squared(query[None], memory.originals[rows])[0]
            best: dict[str, float] = {}
            for row, distance in zip(rows, distances, strict=True):
                label = memory.labels[row]
                best[label] = min(best.get(label, np.inf), float(distance))
            named.append(sorted(best, key=lambda label, best=best: (best[label], label))[:TOP_K])  # type: ignore[misc]
    return named


def _squared(queries: Float32, vectors: Float32) -> NDArray[np.floating]:
    cross = queries @ vectors.T
    return (queries**2).sum(axis=1, keepdims=True) + (vectors**2).sum(axis=1)[None, :] - 2.0 * cross


def _recall(exact: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(exact, other, strict=True)]))
