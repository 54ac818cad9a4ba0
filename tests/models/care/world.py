"""Photos whose wrong labels are known: clusters of bottlenecks with some labels flipped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.training.care.teaching import coded
from models.training.data import TrainingPhotos
from models.training.experiments.mislabels import choose, flip_labels
from tests.models.synthetic import make_photos


@dataclass(frozen=True, eq=False)
class Flipped:
    """photos: as labelled, some wrongly. truth: the true labels. wrong: bool (n,)."""

    photos: TrainingPhotos
    truth: tuple[str, ...]
    wrong: NDArray[np.bool_]

    @property
    def codes(self) -> NDArray[np.intp]:
        """Given labels as numbers."""
        return coded(self.photos)[1]


def flipped(share: float = 0.2, seed: int = 3, labels: int = 10, variants: int = 0) -> Flipped:
    """Ten labels of six scenes of three photos each."""
    photos, _ = make_photos({f"label {i}": [3] * 6 for i in range(labels)}, spread=0.6, variants=variants)
    wrong = choose(np.arange(len(photos)), share, seed)
    return Flipped(replace(photos, labels=flip_labels(photos.labels, wrong, seed)), photos.labels, wrong)
