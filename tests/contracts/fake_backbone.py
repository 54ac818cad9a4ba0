"""A backbone without a network, for tests that need many vectors quickly; it passes the contract suite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.backbone.preprocessing import normalise, stack_inputs
from models.values import BOTTLENECK_SIZE, INPUT_SIZE, Deadline, Float32, UInt8

_CELLS = 26
_GRID = 8


class FakeBackbone:
    """Averages of 26 x 26 cells as features; counts the images it was given."""

    space = "fake-space"
    weights = "fake"

    def __init__(self) -> None:
        self.images = 0

    def extract(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> Float32:
        """See ``models.values.Backbone.extract``."""
        return self.extract_with_maps(inputs)[0]

    def extract_with_maps(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> tuple[Float32, Float32]:
        """See ``models.values.Backbone.extract_with_maps``; a feature's map is 0 but where its cell lies."""
        pixels = stack_inputs(inputs)
        self.images += len(pixels)
        edges = np.arange(_CELLS) * INPUT_SIZE // _CELLS
        pooled = np.zeros((len(pixels), BOTTLENECK_SIZE))
        for place, picture in enumerate(pixels):
            cells = np.add.reduceat(np.add.reduceat(picture.astype(np.float64), edges, axis=0), edges, axis=1)
            pooled[place, : cells.size] = cells.ravel()
        maps = np.zeros((len(pixels), _GRID * _GRID, BOTTLENECK_SIZE), np.float32)
        places = (np.arange(_CELLS) * _GRID // _CELLS)[:, None] * _GRID + np.arange(_CELLS) * _GRID // _CELLS
        features = np.arange(places.size * 3)
        maps[:, np.repeat(places.ravel(), 3), features] = _GRID * _GRID * pooled[:, : features.size]
        return normalise(pooled), maps.reshape(-1, _GRID, _GRID, BOTTLENECK_SIZE)
