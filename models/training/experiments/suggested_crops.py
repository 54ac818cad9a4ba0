"""Which part of a photo is worth a second look: a box around what the network responds to, whatever it is.

Class-agnostic on purpose: a box around what speaks for the first candidate makes a wrong one look better. From the last
feature map (8 x 8 cells) a weight a cell is taken; of all boxes of whole cells that hold so much of the weight, the
smallest is suggested, with half a cell around it. Three weights:

- *energy*: how strongly the network responds, |a| of the cell's 2,048 values (as in SCDA: Wei, Luo, Wu, Zhou,
  "Selective convolutional descriptor aggregation", IEEE TIP 2017).
- *principal*: the cell along the first principal component of this photo's cells, turned so that most of the rim lies
  below 0 (as in DDT: Wei, Zhang, Li, Xie, Wu, Shen, Zhou, Pattern Recognition 2019, for a single photo).
- *rim*: how unlike the mean of the 28 rim cells the cell is, 1 - cosine: a photo's rim is mostly background (Wei, Wen,
  Zhu, Sun, ECCV 2012).

``docs/decisions/0030-crop-suggestions.md`` has what they gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError
from models.explain.heat import AREA
from models.values import Area, Float32

Weight = Literal["energy", "principal", "rim"]

_PADDING: Final = 0.5
"""Cells around the box: a cell's neighbours see into it."""

LEAST_SIDE: Final = 0.3
"""Share of the photo's width and of its height that a suggestion has at least: less is fewer than 100 of the network's
299 pixels, enlarged."""

_MOST_AREA: Final = 0.85
"""Above it the photo is the suggestion."""

_TINY: Final = 1e-12


@dataclass(frozen=True, slots=True)
class CropRule:
    """How a part is found. weight: see the module. held: share of the weight that the box holds, in (0, 1].

    :raise UsageError: ``held`` outside of its range.
    """

    weight: Weight
    held: float

    def __post_init__(self) -> None:
        if not 0.0 < self.held <= 1.0:
            raise UsageError(f"held={self.held}; expected a share of the weight in (0, 1]")


def suggest_crop(feature_map: Float32, rule: CropRule) -> Area | None:
    """The part of the photo that ``rule`` finds; None where that is nearly all of it, or nothing stands out.

    feature_map: float32 (rows, columns, n), >= 0, finite; of the whole photo. Of equally small boxes the one that holds
    most is taken, then the topmost, then the leftmost. At least ``LEAST_SIDE`` wide and high; a box that
    reaches the outer cells reaches the photo's edge.
    :raise UsageError: another shape, NaN or infinity.
    """
    if feature_map.ndim != 3 or not feature_map.size or not np.isfinite(feature_map).all():
        raise UsageError(f"a map of shape {feature_map.shape} came; expected finite values (rows, columns, n)")
    weights = cell_weights(feature_map, rule.weight)
    if float(weights.max()) <= _TINY:
        return None
    top, left, bottom, right = _smallest_box(weights, rule.held)
    y, height = _extent(top, bottom, weights.shape[0], AREA.y, AREA.height)
    x, width = _extent(left, right, weights.shape[1], AREA.x, AREA.width)
    return None if width * height > _MOST_AREA else Area(x, y, width, height)


def cell_weights(feature_map: Float32, weight: Weight) -> NDArray[np.float64]:
    """How much each cell counts, float64 (rows, columns), >= 0; see the module. feature_map: as in ``suggest_crop``."""
    cells = feature_map.astype(np.float64)
    if weight == "energy":
        # Less the least: every cell responds to something.
        strength = np.linalg.norm(cells, axis=2)
        return np.asarray(strength - strength.min())
    rim = _rim(cells.shape[0], cells.shape[1])
    if weight == "rim":
        mean = cells[rim].mean(axis=0)
        length = np.linalg.norm(cells, axis=2) * np.linalg.norm(mean)
        unlike = 1.0 - (cells @ mean) / np.maximum(length, _TINY)
        unlike[length <= _TINY] = 0.0
        return np.maximum(unlike - np.median(unlike[rim]), 0.0)
    flat = cells.reshape(-1, cells.shape[2])
    left, strength, _ = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    along = (left[:, 0] * strength[0]).reshape(rim.shape)
    return np.maximum(-along if np.median(along[rim]) > 0.0 else along, 0.0)


def _rim(rows: int, columns: int) -> NDArray[np.bool_]:
    rim = np.ones((rows, columns), dtype=bool)
    rim[1:-1, 1:-1] = False
    return rim


def _smallest_box(weights: NDArray[np.float64], held: float) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) in cells, the last two exclusive."""
    rows, columns = weights.shape
    sums = np.zeros((rows + 1, columns + 1))
    sums[1:, 1:] = weights.cumsum(axis=0).cumsum(axis=1)
    least = held * sums[-1, -1] - _TINY
    best: tuple[int, float, int, int, int, int] | None = None
    for top in range(rows):
        for bottom in range(top + 1, rows + 1):
            for left in range(columns):
                for right in range(left + 1, columns + 1):
                    holds = float(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left])
                    if holds < least:
                        continue
                    found = ((bottom - top) * (right - left), -holds, top, left, bottom, right)
                    if best is None or found < best:
                        best = found
                    break  # a wider one is larger
    assert best is not None, "the whole map holds all of it"
    return best[2:]


def _extent(first: int, last: int, cells: int, start: float, length: float) -> tuple[float, float]:
    """Beginning and length, as shares of the photo's edge."""
    low = 0.0 if first == 0 else start + length * (first - _PADDING) / cells
    high = 1.0 if last == cells else start + length * (last + _PADDING) / cells
    if high - low < LEAST_SIDE:
        middle = min(max((low + high) / 2, LEAST_SIDE / 2), 1.0 - LEAST_SIDE / 2)
        low, high = middle - LEAST_SIDE / 2, middle + LEAST_SIDE / 2
    low, high = max(0.0, low), min(1.0, high)
    return low, high - low
