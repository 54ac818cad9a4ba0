"""Flat against per category: the same photos, the right classifiers, the right labels in reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.errors import NotEnoughData, UsageError
from models.training.data import TrainingPhotos
from models.training.experiments import categories
from models.training.experiments.categories import category_at, compare_categories
from models.training.experiments.folds import scene_folds
from models.training.splits import Split
from tests.models.experiments.conftest import PATHS, SETTINGS

World = tuple[TrainingPhotos, Split]


@pytest.fixture(scope="module")
def levels(world: World) -> list[dict[str, Any]]:
    photos, split = world
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(categories, "LEAST_VALIDATION", 3)  # Food has as many in some fold, Home in none
        return compare_categories(photos, PATHS, split, (1, 2), SETTINGS)


def test_a_path_is_cut_at_its_level() -> None:
    assert [category_at("A > B > C", level) for level in (1, 2, 3, 4)] == ["A", "A > B", "A > B > C", "A > B > C"]


def test_every_level_says_what_it_is(levels: list[dict[str, Any]]) -> None:
    assert [(row["level"], row["categories"], row["largest_category"]) for row in levels] == [(1, 3, 4), (2, 7, 1)]
    assert [row["labels"] for row in levels] == [7, 7]
    assert [row["photos_among_five"] for row in levels] == [1.0, 1.0]
    assert levels[0]["arms"]["flat"] == levels[1]["arms"]["flat"]


def test_a_given_category_leaves_only_its_labels(levels: list[dict[str, Any]]) -> None:
    """Of at most four labels all are among the five named, so the true one is."""
    for row in levels:
        for way in ("flat_given", "per_category_given"):
            for rule in ("fcn", "knn", "svm", "vote"):
                assert row["arms"][way][rule]["top5"]["mean"] == 1.0
                assert row["arms"][way][rule]["top1"]["mean"] >= row["arms"]["flat"][rule]["top1"]["mean"] - 0.1
        assert row["arms"]["flat_given"]["knn"] == row["arms"]["per_category_given"]["knn"]
    assert levels[1]["arms"]["per_category_given"]["fcn"]["top1"]["mean"] == 1.0


def test_a_wrong_category_cannot_be_mended(levels: list[dict[str, Any]]) -> None:
    for row in levels:
        assert row["arms"]["per_category_predicted"]["vote"]["top5"]["mean"] == pytest.approx(
            row["category"]["vote"]["top1"]["mean"]
        )


def test_differences_are_those_of_the_arms(levels: list[dict[str, Any]]) -> None:
    for row in levels:
        assert set(row["differences"]) == {
            "flat_given - flat",
            "per_category_given - flat_given",
            "per_category_predicted - flat",
        }
        for pair, rules in row["differences"].items():
            ours, theirs = pair.split(" - ")
            for rule, gap in rules.items():
                means = [row["arms"][way][rule]["top1"]["mean"] for way in (ours, theirs)]
                assert gap["top1"]["mean"] == pytest.approx(means[0] - means[1])
                low, high = gap["top1"]["interval_95"]
                assert low <= high


def test_labels_without_a_category_and_seen_photos_take_no_part(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By k-NN alone, which needs no fitting."""
    monkeypatch.setattr(categories, "trainable", lambda photos, split: frozenset())
    photos, split = world
    two = {label: path for label, path in PATHS.items() if label in ("label 0", "label 5")}
    seen = frozenset(h for h, label in zip(photos.hashes, photos.labels, strict=True) if label == "label 0")
    row = compare_categories(photos, two, split, (1,), SETTINGS, seen=seen)[0]
    own = [h for h, label in zip(photos.hashes, photos.labels, strict=True) if label == "label 5"]
    assert row["labels"] == 2
    assert row["photos"] == sum(split.places[h].role != "hold_out" for h in own)
    assert row["arms"]["per_category_given"]["vote"]["top1"]["mean"] == 1.0  # the only label of its category


def test_one_category_or_no_level_is_an_error(world: World) -> None:
    photos, split = world
    with pytest.raises(NotEnoughData, match="has 1 categories"):
        compare_categories(photos, {f"label {i}": "Food > A" for i in range(4)}, split, (1,), SETTINGS)
    with pytest.raises(UsageError, match="expected 1"):
        compare_categories(photos, PATHS, split, (0,), SETTINGS)


def test_folds_ask_each_photo_once_and_never_the_hold_out(world: World) -> None:
    photos, split = world
    asked: list[int] = []
    for fold in scene_folds(photos, split):
        scenes = [{split.places[photos.hashes[i]].scene for i in rows} for rows in (fold.training, fold.asked)]
        assert not scenes[0] & scenes[1]
        assert set(fold.training) == set(fold.fitted) | set(fold.held)
        assert not set(fold.fitted) & set(fold.held)
        asked += fold.asked.tolist()
    held_out = {i for i, h in enumerate(photos.hashes) if split.places[h].role == "hold_out"}
    assert sorted(asked) == sorted(set(range(len(photos))) - held_out)
    assert np.unique(asked).size == len(asked)
