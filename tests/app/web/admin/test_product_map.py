"""A part of the map of products as a grid."""

from __future__ import annotations

import numpy as np
import pytest

from app.services.album import AlbumLabel
from app.web.admin.product_map import CELLS, COLOURS, VIEWS, coloured, laid_out
from models.inspection import ProductMap


def world(*places: tuple[float, float]) -> ProductMap:
    """Labels a, b, c ... at these places."""
    labels = tuple("abcdefghijklmnop"[: len(places)])
    return ProductMap(labels, np.array(places, np.float32), np.ones(len(places), np.int32), len(places))


def test_each_label_lies_in_its_cell_the_nearest_to_the_middle_first() -> None:
    view = laid_out(world((0.05, 0.05), (0.01, 0.09), (1.0, 1.0), (0.0, 1.0)), 0.5, 0.5, 1)
    assert [(c.column, c.row, c.labels) for c in view.cells] == [
        (1, 1, ("a", "b")),
        (1, CELLS, ("d",)),
        (CELLS, CELLS, ("c",)),
    ]
    assert (view.cells[0].x, view.cells[0].y) == (0.05, 0.05)
    assert view.labels == ["a", "b", "d", "c"]


def test_a_closer_view_shows_its_part_and_stays_within_the_map() -> None:
    view = laid_out(world((0.05, 0.05), (0.4, 0.4), (0.9, 0.9)), 0.0, 0.0, 2)
    assert (view.x, view.y, view.labels) == (0.25, 0.25, ["a", "b"])
    assert [(c.column, c.row) for c in view.cells] == [(2, 2), (9, 9)]
    assert laid_out(world((0.9, 0.9)), 1.0, 1.0, 16).x == pytest.approx(1 - 1 / 32, abs=1e-4)
    assert laid_out(world((0.9, 0.9)), 0.5, 0.5, 3).zoom == 2


def test_the_ways_out_of_a_view() -> None:
    whole = laid_out(world((0.5, 0.5)), 0.5, 0.5, 1)
    assert (whole.closer, whole.farther, whole.beside(1, 0)) == (2, None, None)
    closest = laid_out(world((0.5, 0.5)), 0.5, 0.5, VIEWS[-1])
    assert (closest.closer, closest.farther) == (None, VIEWS[-2])
    corner = laid_out(world((0.5, 0.5)), 0.0, 0.0, 2)
    assert corner.beside(-1, 0) is None and corner.beside(1, 0) == (0.5, 0.25) and corner.beside(0, 1) == (0.25, 0.5)


def test_every_label_is_found_by_coming_closer() -> None:
    rng = np.random.default_rng(3)
    places = ProductMap(
        tuple(f"{i:03}" for i in range(300)),
        rng.random((300, 2)).astype(np.float32),
        np.ones(300, np.int32),
        300,
    )
    assert sorted(laid_out(places, 0.5, 0.5, 1).labels) == list(places.labels)
    middles = (0.25, 0.75)
    quarters = [laid_out(places, x, y, 2).labels for x in middles for y in middles]
    assert set().union(*quarters) == set(places.labels)


def test_the_largest_categories_have_colours() -> None:
    names = ["big", "big", "small", None, *(f"c{i}" for i in range(COLOURS))]
    shown = {str(i): AlbumLabel(str(i), "s", None, None, name, 1) for i, name in enumerate(names)}
    found = coloured(shown)
    assert found["big"] == 1 and len(found) == COLOURS and set(found.values()) == set(range(1, COLOURS + 1))
    assert None not in found
