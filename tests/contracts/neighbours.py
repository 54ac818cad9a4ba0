"""What every ``models.values.Neighbours`` does, whoever keeps the photos.

A test class inherits ``NeighboursContract`` and gives the fixture ``make``. The world is small enough for the
right answers to be worked out here by brute force in float64 on the vectors as stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from models.errors import UsageError
from models.values import BOTTLENECK_SIZE, Float32, Neighbours

Make = Callable[[Float32, Sequence[str]], Neighbours]

TOLERANCE = 5e-4
"""Distances below are told apart no finer: half-precision storage (2**-11 relative) and float32 sums."""


SPECTRUM = (1.0 + np.arange(256)) ** -0.6
"""Standard deviations of the directions photos differ in: about 27 effective dimensions, where ImageNet
bottlenecks of studio photos have 32. In 2048 equal directions all photos would be equally far apart."""


def clustered(rng: np.random.Generator, labels: int, photos: int, spread: float = 0.5) -> tuple[Float32, list[str]]:
    """Vectors like bottlenecks (>= 0, unit length): ``photos`` around each of ``labels`` centres.

    Values lie on the half-precision grid, so that a memory that stores halves stores them exactly.
    """
    size = len(SPECTRUM)
    basis = SPECTRUM[:, None] * rng.normal(size=(size, BOTTLENECK_SIZE))
    centres = rng.normal(size=(labels, 1, size))
    inner = (centres + spread * rng.normal(size=(labels, photos, size))).reshape(-1, size)
    vectors = unit(np.maximum(inner @ basis, 0.0)).astype(np.float16).astype(np.float32)
    names = [f"label {index:04d}" for index in range(labels) for _ in range(photos)]
    return vectors, names


def unit(vectors: np.ndarray) -> Float32:
    """Rows scaled to unit length, float32."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def brute_force(vectors: Float32, labels: Sequence[str], query: Float32) -> dict[str, float]:
    """The distance of each label's nearest photo, float64."""
    distances = np.linalg.norm(vectors.astype(np.float64) - query.astype(np.float64), axis=1)
    best: dict[str, float] = {}
    for label, distance in zip(labels, distances, strict=True):
        best[label] = min(best.get(label, np.inf), float(distance))
    return best


def assert_right(found: list[tuple[str, float]], truth: dict[str, float], k: int) -> None:
    """``found`` are the k nearest labels in order; two that differ by less than TOLERANCE may swap."""
    names = [label for label, _ in found]
    assert len(set(names)) == len(names) == min(k, len(truth))
    for (label, distance), expected in zip(found, sorted(truth.values()), strict=False):
        assert distance == pytest.approx(truth[label], abs=TOLERANCE)
        assert distance == pytest.approx(expected, abs=TOLERANCE)


class NeighboursContract:
    """Inherit and provide the fixture ``make: Make``."""

    @pytest.fixture
    def world(self) -> tuple[Float32, list[str]]:
        return clustered(np.random.default_rng(7), labels=12, photos=5)

    @pytest.fixture
    def queries(self, world: tuple[Float32, list[str]]) -> Float32:
        rng = np.random.default_rng(8)
        picked = world[0][rng.integers(len(world[0]), size=8)]
        return unit(picked + 0.004 * rng.gamma(0.5, size=picked.shape))

    def test_names_the_nearest_labels_with_the_distance_of_their_nearest_photo(
        self, make: Make, world: tuple[Float32, list[str]], queries: Float32
    ) -> None:
        for query, found in zip(queries, make(*world).nearest(queries), strict=True):
            assert_right(found, brute_force(*world, query), 5)

    def test_a_label_counts_once_however_many_photos_it_has(self, make: Make) -> None:
        vectors, _ = clustered(np.random.default_rng(1), labels=3, photos=100, spread=0.1)
        labels = ["crowd"] * 298 + ["left", "right"]
        found = make(vectors, labels).nearest(vectors[:1], 3)[0]
        assert found[0][0] == "crowd"
        assert_right(found, brute_force(vectors, labels, vectors[0]), 3)

    def test_within_names_only_these_labels_and_as_many_as_there_are(
        self, make: Make, world: tuple[Float32, list[str]], queries: Float32
    ) -> None:
        within = frozenset({"label 0003", "label 0007", "label 0011", "label 9999"})
        truth = [
            {label: distance for label, distance in brute_force(*world, query).items() if label in within}
            for query in queries
        ]
        for found, expected in zip(make(*world).nearest(queries, 5, within), truth, strict=True):
            assert_right(found, expected, 5)

    def test_the_nearest_photo_of_a_label_is_given_as_it_is_stored(
        self, make: Make, world: tuple[Float32, list[str]], queries: Float32
    ) -> None:
        memory, (vectors, labels) = make(*world), world
        for query in queries[:3]:
            for label in ("label 0003", "label 0011"):
                own = vectors[[name == label for name in labels]]
                found = memory.nearest_photo(query, label)
                assert found is not None and found.dtype == np.float32
                assert np.array_equal(found, own[np.linalg.norm(own - query, axis=1).argmin()])

    def test_a_label_without_photos_has_no_nearest_one(
        self, make: Make, world: tuple[Float32, list[str]], queries: Float32
    ) -> None:
        memory = make(*world)
        assert memory.nearest_photo(queries[0], "label 9999") is None
        assert memory.nearest_photo(queries[0], "") is None
        with pytest.raises(UsageError):
            memory.nearest_photo(queries[0, :10], "label 0003")

    def test_within_an_empty_set_names_none(self, make: Make, world: tuple[Float32, list[str]]) -> None:
        assert make(*world).nearest(world[0][:2], 5, frozenset()) == [[], []]

    def test_an_empty_memory_names_none(self, make: Make, queries: Float32) -> None:
        empty = np.zeros((0, BOTTLENECK_SIZE), np.float32)
        assert make(empty, []).nearest(queries[:2]) == [[], []]

    def test_no_queries_no_answers(self, make: Make, world: tuple[Float32, list[str]]) -> None:
        assert make(*world).nearest(np.zeros((0, BOTTLENECK_SIZE), np.float32)) == []

    def test_fewer_labels_than_k_all_come(self, make: Make) -> None:
        vectors, labels = clustered(np.random.default_rng(2), labels=3, photos=2)
        found = make(vectors, labels).nearest(vectors[:1], 5)[0]
        assert {label for label, _ in found} == set(labels)

    def test_equal_distances_are_ordered_by_label_code_points(self, make: Make) -> None:
        vector = clustered(np.random.default_rng(3), labels=1, photos=1)[0]
        labels = ["b", "가", "a", "Z", "é"]
        found = make(np.repeat(vector, 5, axis=0), labels).nearest(vector, 4)[0]
        assert [label for label, _ in found] == ["Z", "a", "b", "é"]

    def test_each_query_is_answered_as_if_alone_and_left_untouched(
        self, make: Make, world: tuple[Float32, list[str]], queries: Float32
    ) -> None:
        memory, before = make(*world), queries.copy()
        together = memory.nearest(queries)
        assert np.array_equal(queries, before)
        for query, found in zip(queries, together, strict=True):
            alone = memory.nearest(query[None, :])[0]
            assert [label for label, _ in alone] == [label for label, _ in found]
            assert [d for _, d in alone] == pytest.approx([d for _, d in found], abs=TOLERANCE)

    def test_refuses_queries_that_are_not_bottlenecks(
        self, make: Make, world: tuple[Float32, list[str]], queries: Float32
    ) -> None:
        memory = make(*world)
        for wrong in (queries[0], queries[:, :100], np.full_like(queries, np.nan)):
            with pytest.raises(UsageError):
                memory.nearest(wrong)
