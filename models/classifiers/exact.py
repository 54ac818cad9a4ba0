"""The exact k-NN memory in arrays: for evaluation, folds and parity with the database."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.classifiers.base import check_vectors
from models.errors import UsageError
from models.values import TOP_K, Float32

_BLOCK = 512


class ExactNeighbours:
    """Brute force over all reference photos (``models.values.Neighbours``).

    vectors: float32 (n, 2048), unit length. labels: n, one a photo.
    """

    def __init__(self, vectors: Float32, labels: Sequence[str]) -> None:
        if len(vectors) != len(labels):
            raise UsageError(f"{len(vectors)} vectors but {len(labels)} labels")
        order = np.argsort(np.array(labels, dtype=np.str_), kind="stable")
        self._vectors = np.ascontiguousarray(vectors[order], dtype=np.float32)
        names = np.array(labels, dtype=np.str_)[order]
        self._labels, self._starts = np.unique(names, return_index=True)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that have a photo, sorted."""
        return tuple(str(label) for label in self._labels)

    def nearest(
        self, vectors: Float32, k: int = TOP_K, within: frozenset[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """See ``models.values.Neighbours.nearest``.

        :raise UsageError: not (n, 2048), NaN, or ``k`` below 1.
        """
        check_vectors(vectors, k)
        competing = np.array([within is None or str(label) in within for label in self._labels], dtype=bool)
        if not competing.any():
            return [[] for _ in vectors]
        names = self._labels[competing]
        found: list[list[tuple[str, float]]] = []
        for start in range(0, len(vectors), _BLOCK):
            squared = self._squared_distances(vectors[start : start + _BLOCK])[:, competing]
            order = np.argsort(squared, axis=1, kind="stable")[:, :k]
            found += [
                [(str(names[i]), float(np.sqrt(row[i]))) for i in places]
                for row, places in zip(squared, order, strict=True)
            ]
        return found

    def nearest_photo(self, vector: Float32, label: str) -> Float32 | None:
        """See ``models.values.Neighbours.nearest_photo``.

        :raise UsageError: not (2048,), or NaN.
        """
        check_vectors(vector[None, :], 1)
        place = int(np.searchsorted(self._labels, label))
        if place == len(self._labels) or self._labels[place] != label:
            return None
        ends = np.append(self._starts, len(self._vectors))
        own = self._vectors[ends[place] : ends[place + 1]]
        return np.array(own[((own - vector) ** 2).sum(axis=1).argmin()])

    def _squared_distances(self, queries: Float32) -> Float32:
        """(n, labels): squared distance to the nearest photo of each label; |a-b|^2 = |a|^2 + |b|^2 - 2ab."""
        cross = queries @ self._vectors.T
        squared = (queries**2).sum(axis=1, keepdims=True) + (self._vectors**2).sum(axis=1)[None, :] - 2.0 * cross
        return np.minimum.reduceat(np.maximum(squared, 0.0), self._starts, axis=1)
