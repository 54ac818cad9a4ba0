"""The drawn data of seed 003's experiment: classes that are known by how their numbers are distributed.

Each class has a distribution a modality, uniform or normal, with parameters drawn at random; an item's values in a
modality (6, 9 and 4 of them) are drawn from it independently of each other. So a modality tells a class by place and
spread of a handful of numbers, never exactly, and three tell more than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.values import Float32

CLASSES: Final = 100
LENGTHS: Final[Mapping[str, int]] = MappingProxyType({"0": 6, "1": 9, "2": 4})
"""Values an item has in each modality."""

SPREADS: Final[Mapping[str, float]] = MappingProxyType({"0": 0.12, "1": 0.25, "2": 0.42})
"""The largest standard deviation that a class may have in each modality; places lie in 0..1."""

_HALF_WIDTH: Final = float(np.sqrt(3.0))
"""A uniform distribution reaches this many standard deviations to either side."""


@dataclass(frozen=True, slots=True, eq=False)
class Distributions:
    """One modality's distributions, a row a class. normal: bool, else uniform. places, spreads: mean and standard
    deviation, float64."""

    normal: NDArray[np.bool_]
    places: NDArray[np.float64]
    spreads: NDArray[np.float64]

    def sample(self, classes: NDArray[np.intp], length: int, rng: np.random.Generator) -> Float32:
        """Items of the given classes (n,): float32 (n, length)."""
        shape = (len(classes), length)
        noise = np.where(
            self.normal[classes][:, None], rng.standard_normal(shape), rng.uniform(-_HALF_WIDTH, _HALF_WIDTH, shape)
        )
        return (self.places[classes][:, None] + self.spreads[classes][:, None] * noise).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Items. inputs: float32 (n, length) a modality. labels: intp (n,), the class of each, ascending."""

    inputs: Mapping[str, Float32]
    labels: NDArray[np.intp]


class World:
    """All classes of one seed."""

    def __init__(self, seed: int, spreads: Mapping[str, float] = SPREADS) -> None:
        self._rng = np.random.default_rng(seed)
        self.modalities = {name: _distributions(self._rng, spreads[name]) for name in LENGTHS}

    def draw(self, items_a_class: int) -> Drawn:
        """New items of every class; each call gives others."""
        labels = np.repeat(np.arange(CLASSES), items_a_class)
        return Drawn(
            {name: own.sample(labels, LENGTHS[name], self._rng) for name, own in self.modalities.items()}, labels
        )


def _distributions(rng: np.random.Generator, spread: float) -> Distributions:
    return Distributions(
        rng.integers(0, 2, CLASSES).astype(bool), rng.uniform(0.0, 1.0, CLASSES), rng.uniform(0.0, spread, CLASSES)
    )
