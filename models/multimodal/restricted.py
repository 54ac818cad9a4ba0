"""The restricted class: what the operator marks in the column ``restricted`` (adult products, say), found in others.

A logistic model over a product's name and photos in the shared space. Its threshold is chosen for a recall: of the
products that are restricted, so many are flagged; how many of the flagged are not is what that costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleDamaged
from models.multimodal.shared import SHARED_SIZE
from models.values import Float32

RECALL: Final = 0.95
"""Share of the restricted products that are flagged, unless the operator asks for another."""


RECALLS: Final = (0.8, 0.9, 0.95, 0.98, 0.99)
"""Those that an operator may ask for."""


@dataclass(frozen=True, slots=True, eq=False)
class RestrictedModel:
    """weights: float32 (2 d,), of the name and of the photos; a part that is missing is zeros. bias: added to it.

    thresholds: probability from which a product is flagged, for each recall offered.
    """

    weights: Float32
    bias: float
    thresholds: dict[float, float]

    def probability(self, names: Float32, photos: Float32) -> NDArray[np.float64]:
        """float64 (n,) in 0..1. names, photos: float32 (n, d) of the shared space, zeros where there is none."""
        parts = np.concatenate([names, photos], axis=1).astype(np.float64)
        found: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(parts @ self.weights + self.bias, -700, 700)))
        return found

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "weights": [float(value) for value in self.weights],
            "bias": self.bias,
            "thresholds": [[recall, threshold] for recall, threshold in sorted(self.thresholds.items())],
        }

    @classmethod
    def from_json(cls, told: Any) -> RestrictedModel:
        """What ``to_json`` gave. :raise BundleDamaged: something else."""
        try:
            weights = np.array(told["weights"], dtype=np.float32)
            model = cls(weights, float(told["bias"]), {float(recall): float(at) for recall, at in told["thresholds"]})
        except (KeyError, TypeError, ValueError) as error:
            raise BundleDamaged(f"the restricted class is damaged ({error}); run `text train` again") from error
        numbers = (model.bias, *model.thresholds, *model.thresholds.values())
        if (
            weights.shape != (2 * SHARED_SIZE,)
            or not np.isfinite(weights).all()
            or not all(map(math.isfinite, numbers))
        ):
            raise BundleDamaged("the restricted class has other shapes than its space; run `text train` again")
        return model
