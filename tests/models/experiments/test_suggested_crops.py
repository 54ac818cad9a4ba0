"""Suggested crops: boxes around what stands out, whatever it is."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import UsageError
from models.training.experiments.suggested_crops import LEAST_SIDE, CropRule, Weight, cell_weights, suggest_crop
from models.values import BOTTLENECK_SIZE, Area, Float32

WEIGHTS: tuple[Weight, ...] = ("energy", "principal", "rim")
EDGE = 1 - 2 * 21.5 / 299
"""Share of the photo that eight cells cover; see ``models.explain.AREA``."""


def scene(rows: slice, columns: slice, seed: int = 0) -> Float32:
    """A map of a calm surround, and another pattern, stronger, in some cells."""
    rng = np.random.default_rng(seed)
    surround, subject = rng.random((2, BOTTLENECK_SIZE))
    found = np.tile(surround, (8, 8, 1))
    found[rows, columns] = 3.0 * subject
    return (found + 0.01 * rng.random(found.shape)).astype(np.float32)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_box_is_where_the_subject_is_with_half_a_cell_around_it(weight: Weight) -> None:
    area = suggest_crop(scene(slice(2, 6), slice(3, 7)), CropRule(weight, 0.9))
    assert area is not None
    cell = EDGE / 8
    start = (1 - EDGE) / 2
    expected = (start + 2.5 * cell, start + 1.5 * cell, 5 * cell, 5 * cell)
    assert (area.x, area.y, area.width, area.height) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_subject_at_the_edge_is_suggested_up_to_the_edge(weight: Weight) -> None:
    area = suggest_crop(scene(slice(4, 8), slice(0, 3)), CropRule(weight, 0.9))
    assert area is not None
    assert area.x == 0.0 and area.y + area.height == pytest.approx(1.0)
    assert area.y > 0.3 and area.width < 0.6


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_least_side_is_kept_and_stays_within_the_photo(weight: Weight) -> None:
    for place in (slice(0, 1), slice(3, 4), slice(7, 8)):
        area = suggest_crop(scene(place, place), CropRule(weight, 0.9))
        assert area is not None
        assert min(area.width, area.height) == pytest.approx(LEAST_SIDE)
        assert area.x >= 0 and area.x + area.width <= 1 + 1e-9
        assert area.y >= 0 and area.y + area.height <= 1 + 1e-9


def test_rows_and_columns_are_not_mixed_up() -> None:
    area = suggest_crop(scene(slice(1, 3), slice(1, 7)), CropRule("energy", 0.9))
    assert area is not None and area.width > 1.5 * area.height and area.y < 0.3


@pytest.mark.parametrize("weight", WEIGHTS)
def test_nothing_is_suggested_where_nothing_stands_out(weight: Weight) -> None:
    even = np.full((8, 8, BOTTLENECK_SIZE), 0.5, np.float32)
    assert suggest_crop(even, CropRule(weight, 0.7)) is None
    assert suggest_crop(np.zeros_like(even), CropRule(weight, 0.7)) is None


def test_nearly_the_whole_photo_is_no_suggestion() -> None:
    assert suggest_crop(scene(slice(0, 8), slice(0, 7)), CropRule("energy", 0.99)) is None


def test_more_held_never_makes_the_box_smaller() -> None:
    rng = np.random.default_rng(5)
    feature_map = rng.random((8, 8, BOTTLENECK_SIZE), np.float32) ** 4
    sizes = [_size(suggest_crop(feature_map, CropRule("energy", held))) for held in (0.2, 0.4, 0.6, 0.8)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def _size(area: Area | None) -> float:
    return 1.0 if area is None else area.width * area.height


def test_weights_are_never_below_zero_and_leave_the_map_untouched() -> None:
    feature_map = scene(slice(2, 5), slice(2, 5))
    before = feature_map.copy()
    for weight in WEIGHTS:
        found = cell_weights(feature_map, weight)
        assert found.shape == (8, 8) and (found >= 0).all()
        assert np.unravel_index(found.argmax(), (8, 8))[0] in (2, 3, 4)
    assert np.array_equal(feature_map, before)


def test_wrong_maps_and_shares_are_refused() -> None:
    rule = CropRule("energy", 0.7)
    for bad in (np.zeros((8, 8), np.float32), np.zeros((0, 8, 4), np.float32), np.full((8, 8, 4), np.nan, np.float32)):
        with pytest.raises(UsageError, match="a map of shape"):
            suggest_crop(bad, rule)
    for held in (0.0, 1.1):
        with pytest.raises(UsageError, match=r"\(0, 1\]"):
            CropRule("energy", held)
