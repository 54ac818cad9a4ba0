"""A part of the map of products as a grid of cells, each with the labels that lie in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.services.album import AlbumLabel
from models.inspection import ProductMap

CELLS: Final = 10
"""Cells along each side of a view: a cell is a picture that a thumb can touch, also on a phone."""

VIEWS: Final = (1, 2, 4, 8, 16)
"""How many times larger than the whole map a view may be."""

COLOURS: Final = 7
"""Categories that have a colour of their own; the others share one."""


@dataclass(frozen=True, slots=True)
class Cell:
    """column, row: from 1. labels: that lie in it, the one nearest to its middle first. x, y: its middle, in 0..1."""

    column: int
    row: int
    labels: tuple[str, ...]
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class View:
    """A square part of the map. x, y: its middle. closer, farther: the next zooms, where there are any."""

    x: float
    y: float
    zoom: int
    cells: tuple[Cell, ...]

    @property
    def closer(self) -> int | None:
        """The next larger view."""
        return next((zoom for zoom in VIEWS if zoom > self.zoom), None)

    @property
    def farther(self) -> int | None:
        """The next smaller view."""
        return next((zoom for zoom in reversed(VIEWS) if zoom < self.zoom), None)

    @property
    def labels(self) -> list[str]:
        """Every label in it, from above to below."""
        return [label for cell in self.cells for label in cell.labels]

    def beside(self, right: int, down: int) -> tuple[float, float] | None:
        """The middle of the view half a view farther in a direction; None where the map ends."""
        half = 0.5 / self.zoom
        x, y = _within(self.x + right * half, half), _within(self.y + down * half, half)
        return None if (x, y) == (self.x, self.y) else (x, y)


def laid_out(world: ProductMap, x: float, y: float, zoom: int) -> View:
    """The view about (x, y), moved so that it lies within the map, at the largest of ``VIEWS`` up to ``zoom``."""
    zoom = max(known for known in VIEWS if known <= max(1, zoom))
    side = 1.0 / zoom
    x, y = _within(x, side / 2), _within(y, side / 2)
    corner = np.array([x - side / 2, y - side / 2])
    at = (world.places - corner) / (side / CELLS)
    inside = np.flatnonzero(((at >= 0) & (at <= CELLS)).all(axis=1))
    members: dict[tuple[int, int], list[tuple[float, str]]] = defaultdict(list)
    for i in inside:
        column, row = (min(int(value), CELLS - 1) for value in at[i])
        gap = float(np.hypot(at[i][0] - column - 0.5, at[i][1] - row - 0.5))
        members[row, column].append((gap, world.labels[i]))
    cells = []
    for (row, column), found in sorted(members.items()):
        middle = corner + (np.array([column, row]) + 0.5) * side / CELLS
        labels = tuple(label for _, label in sorted(found))
        cells.append(Cell(column + 1, row + 1, labels, round(float(middle[0]), 4), round(float(middle[1]), 4)))
    return View(x, y, zoom, tuple(cells))


def coloured(shown: Mapping[str, AlbumLabel]) -> Mapping[str, int]:
    """A colour's number for each category, the largest first: 1 .. ``COLOURS``; others have none of their own."""
    counts = Counter(label.category for label in shown.values() if label.category is not None)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    return {name: number for number, name in enumerate(ranked[:COLOURS], start=1)}


def _within(middle: float, half: float) -> float:
    return round(min(max(middle, half), 1.0 - half), 4)
