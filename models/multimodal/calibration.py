"""From logits to probabilities that mean what they say, and when to say "hard to tell" instead.

Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017), with a temperature for each
thing that may be at hand: a picture alone makes another network over-confident than a name does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from models.errors import BundleDamaged

AtHand = Literal["name", "image", "both"]
AT_HAND: Final[tuple[AtHand, ...]] = ("name", "image", "both")

ONLY_BOTH: Final[Mapping[AtHand, float]] = MappingProxyType({"name": 0.0, "image": 0.0, "both": 1.0})
"""Views of which only the one of both sides counts."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted on rows that the network was not taught with.

    temperatures: > 0, logits are divided by it. threshold: 0..1, below it the first answer is "hard to tell".
    calibrated: False where there were too few rows to fit anything: temperature 1, threshold 0.5.
    views: where name and picture are at hand, how much what is said of the name alone, the picture alone, and both
    counts; >= 0, together 1. A network that has seen few pictures trusts them too much. untold: the same for names
    without any category word, of which the name alone says less; their own temperature is in these weights.
    """

    temperatures: Mapping[AtHand, float]
    threshold: float
    calibrated: bool
    views: Mapping[AtHand, float] = field(default_factory=lambda: ONLY_BOTH)
    untold: Mapping[AtHand, float] = field(default_factory=lambda: ONLY_BOTH)

    @classmethod
    def prior(cls) -> Calibration:
        """Where nothing could be fitted."""
        return cls(dict.fromkeys(AT_HAND, 1.0), 0.5, False)

    def probabilities(self, logits: Float64, has_name: NDArray[np.bool_], has_image: NDArray[np.bool_]) -> Float64:
        """Float64 (n, answers), rows sum to 1. logits: (n, answers); has_name, has_image: bool (n,)."""
        divisors = np.where(
            has_name & has_image,
            self.temperatures["both"],
            np.where(has_image, self.temperatures["image"], self.temperatures["name"]),
        )
        return np.asarray(softmax(logits.astype(np.float64) / divisors[:, None], axis=1))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "temperatures": dict(self.temperatures),
            "threshold": self.threshold,
            "calibrated": self.calibrated,
            "views": dict(self.views),
            "untold": dict(self.untold),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Read what ``to_json`` wrote. :raise BundleDamaged: something is missing or out of range."""
        try:
            temperatures: dict[AtHand, float] = {name: float(data["temperatures"][name]) for name in AT_HAND}
            views: dict[AtHand, float] = {name: float(data["views"][name]) for name in AT_HAND}
            untold: dict[AtHand, float] = {name: float(data["untold"][name]) for name in AT_HAND}
            threshold, calibrated = float(data["threshold"]), bool(data["calibrated"])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleDamaged(f"the text model's calibration is damaged ({error}); train again") from error
        if not all(math.isfinite(value) and value > 0 for value in temperatures.values()) or not 0 <= threshold <= 1:
            raise BundleDamaged("the text model's calibration is out of range; train again")
        weights = [*views.values(), *untold.values()]
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
            raise BundleDamaged("the text model's views are out of range; train again")
        return cls(temperatures, threshold, calibrated, views, untold)
