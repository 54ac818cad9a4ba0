"""What the catalogue's photos lack."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.training.bottlenecks.descriptor import SCENE_SIZE
from models.training.data import TrainingPhotos
from models.training.reports.review import IMBALANCE, LEAST_ORIGINALS, review_photos
from models.training.splits import make_split
from models.values import Float32
from tests.contracts.neighbours import unit
from tests.models.synthetic import make_photos


def colours(n: int, seed: int = 2) -> Float32:
    """Scene descriptors of photos in n different places."""
    return unit(np.random.default_rng(seed).gamma(0.3, size=(n, SCENE_SIZE)))


def review(shots: dict[str, list[int]], descriptors: Float32 | None = None, twin: bool = False) -> dict[str, Any]:
    photos, scenes = make_photos(shots, spread=1.5)
    if twin:
        photos = TrainingPhotos(
            photos.hashes, photos.labels, photos.originals[[0, 0, *range(2, len(photos))]], photos.variants
        )
    split = make_split(photos.hashes, photos.labels, scenes)
    return review_photos(photos, colours(len(photos)) if descriptors is None else descriptors, split)


def test_labels_under_20_originals_are_listed_fewest_first() -> None:
    found = review({"many": [1] * LEAST_ORIGINALS, "few": [1] * 7, "fewest": [1, 1], "some": [1] * 19})["too_few"]
    assert [(item["label"], item["photos"]) for item in found["labels"]] == [("fewest", 2), ("few", 7), ("some", 19)]
    assert found["count"] == 3
    assert "20" in found["advice"]


def test_labels_of_one_scene_are_listed_but_not_single_photos() -> None:
    assert review({"burst": [4], "one": [1], "fine": [1, 1]})["one_scene"]["labels"] == ["burst"]


def test_labels_photographed_in_front_of_one_background_are_listed() -> None:
    shots = {"phone": [1] * 4, "studio": [1] * 4, "one": [1]}
    descriptors = colours(9)
    descriptors[4:8] = unit(descriptors[4] + 0.001 * colours(4, seed=3))
    found = review(shots, descriptors)["studio_only"]
    assert (found["labels"], found["count"]) == (["studio"], 1)


def test_near_duplicate_pairs_are_listed_with_their_hashes() -> None:
    photos, _ = make_photos({"a": [1, 1, 1], "b": [1, 1]}, spread=1.5)
    found = review({"a": [1, 1, 1], "b": [1, 1]}, twin=True)["near_duplicates"]
    assert found["count"] == 1
    [pair] = found["pairs"]
    assert (pair["label"], pair["photos"]) == ("a", list(photos.hashes[:2]))
    assert pair["cosine"] > 0.999


def test_imbalance_is_the_most_over_the_median() -> None:
    even = review({f"l{i}": [1] * 4 for i in range(5)})["imbalance"]
    assert (even["most_over_median"], even["reported"]) == (1.0, False)
    uneven = review({**{f"l{i}": [1] * 4 for i in range(5)}, "huge": [1] * 24})["imbalance"]
    assert (uneven["most_over_median"], uneven["reported"]) == (6.0, True)
    assert IMBALANCE <= 6.0


def test_long_lists_are_cut_and_their_full_count_told() -> None:
    found = review({f"l{i:03}": [1] for i in range(60)})["too_few"]
    assert (found["count"], len(found["labels"])) == (60, 50)


def test_every_finding_says_what_to_do() -> None:
    found = review({"a": [1, 1]})
    assert set(found) == {"too_few", "one_scene", "studio_only", "near_duplicates", "imbalance"}
    assert all(part["advice"] for part in found.values())
