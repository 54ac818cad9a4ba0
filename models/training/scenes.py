"""Which photos show the same scene: near-duplicates and bursts, which no split may tear apart.

Photos of one label are joined when their scene descriptors are more alike than almost any two photos
of *different* labels: the threshold is a percentile of each photo's best likeness to another label, so
it adapts to the catalogue. On phone photos of groceries this makes the k-NN's cross-validated Top-1
come within five points of the photos taken in other shops; a random split flatters it by 36
(docs/decisions/0004-scenes.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from models.values import Float32

CROSS_LABEL_PERCENTILE = 90.0
"""Of the likeness to the most alike photo of another label; above it two photos of one label are joined."""

DEFAULT_LIKENESS = 0.93
"""Threshold where there is only one label to compare with."""

_SAMPLE = 4000


def cluster_scenes(descriptors: Float32, labels: Sequence[str], hashes: Sequence[str]) -> NDArray[np.intp]:
    """Scene number of each photo.

    descriptors: float32 (n, d), unit length (``bottlenecks.descriptor.scene_descriptor``). labels: n.
    hashes: n content hashes; equal content is one scene whatever its label.
    Returns intp (n,), 0-based, dense.
    """
    n = len(labels)
    names = np.array(labels, dtype=np.str_)
    _, same = np.unique(np.array(hashes, dtype=np.str_), return_inverse=True)
    single = _listed_once(same, names)
    threshold = likeness_threshold(descriptors[single], names[single])
    pairs: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        first, second = np.nonzero(np.triu(descriptors[members] @ descriptors[members].T > threshold, 1))
        pairs.append((members[first], members[second]))
    leader = np.full(same.max() + 1 if n else 0, -1)
    for i, group in enumerate(same):
        if leader[group] < 0:
            leader[group] = i
    pairs.append((np.arange(n), leader[same] if n else np.zeros(0, dtype=np.intp)))
    rows, columns = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _listed_once(contents: NDArray[np.intp], labels: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Whether each photo's content (a number) comes under one label only.

    The others say nothing of how alike photos of different products are, and a tenth of them would be enough
    to lift the threshold to 1 and tear all scenes apart.
    """
    listings = np.unique(np.stack([contents.astype(np.str_), labels]), axis=1)
    numbers, counts = np.unique(listings[0].astype(np.intp), return_counts=True)
    return np.asarray(~np.isin(contents, numbers[counts > 1]))


def likeness_threshold(descriptors: Float32, labels: NDArray[np.str_], seed: int = 0) -> float:
    """Cosine above which two photos of one label count as one scene (at most 4,000 photos are compared)."""
    n = len(labels)
    if len(np.unique(labels)) < 2:
        return DEFAULT_LIKENESS
    chosen = np.random.default_rng(seed).permutation(n)[:_SAMPLE]
    likeness = descriptors[chosen] @ descriptors.T
    likeness[labels[chosen][:, None] == labels[None, :]] = -1.0
    return float(np.percentile(likeness.max(axis=1), CROSS_LABEL_PERCENTILE))
