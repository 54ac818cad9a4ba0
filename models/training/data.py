"""What training works on: catalogue photos as bottlenecks, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError
from models.values import Float32


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPhotos:
    """Original photos with their bottlenecks.

    hashes: n content hashes. labels: n. originals: float32 (n, 2048).
    variants: float32 (n, v, 2048), the augmentations of each original; v may be 0.
    """

    hashes: tuple[str, ...]
    labels: tuple[str, ...]
    originals: Float32
    variants: Float32

    def __post_init__(self) -> None:
        n = len(self.labels)
        if not (len(self.hashes) == n == len(self.originals) == len(self.variants)):
            raise UsageError(
                f"training photos disagree: {len(self.hashes)} hashes, {n} labels, "
                f"{len(self.originals)} originals, {len(self.variants)} rows of variants"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, chosen: NDArray[np.intp]) -> TrainingPhotos:
        """The chosen photos, in that order."""
        return TrainingPhotos(
            tuple(self.hashes[i] for i in chosen),
            tuple(self.labels[i] for i in chosen),
            self.originals[chosen],
            self.variants[chosen],
        )

    def augmented(self) -> tuple[Float32, list[str]]:
        """Originals followed by all variants: (n * (1 + v), 2048) and as many labels."""
        n, v = self.variants.shape[:2]
        vectors = np.concatenate([self.originals, self.variants.reshape(n * v, self.originals.shape[1])])
        return vectors, list(self.labels) + [label for label in self.labels for _ in range(v)]

    def plain(self) -> tuple[Float32, list[str]]:
        """The originals alone and their labels."""
        return self.originals, list(self.labels)


def trainable_labels(labels: Sequence[str], least_photos: int) -> frozenset[str]:
    """Labels with at least ``least_photos`` originals; FCN and SVM abstain on the others."""
    names, counts = np.unique(np.array(labels, dtype=np.str_), return_counts=True)
    return frozenset(str(name) for name, count in zip(names, counts, strict=True) if count >= least_photos)
