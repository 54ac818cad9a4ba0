"""Accuracy against the number of labels: which subsets, which photos, what is reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.errors import NotEnoughData, SplitError
from models.training.data import TrainingPhotos
from models.training.experiments import labels
from models.training.experiments.folds import merged
from models.training.experiments.labels import RenderedPhotos, accuracy_by_labels, rendered_accuracy
from models.training.splits import Split
from tests.models.experiments.conftest import SETTINGS, remembered
from tests.models.synthetic import make_photos

World = tuple[TrainingPhotos, Split]


@pytest.fixture(scope="module", autouse=True)
def fitted_once() -> Iterator[None]:
    """The same photos are cross-fitted and trained on once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "cross_fit", remembered(labels.cross_fit))
        patch.setattr(labels, "train", remembered(labels.train))
        patch.setattr(labels, "_VIEW_FOLDS", 2)
        yield


@pytest.fixture(scope="module")
def rows(world: World) -> list[dict[str, Any]]:
    return accuracy_by_labels(*world, counts=(3, 7, 900), seeds=2, settings=SETTINGS)


def test_a_row_a_count_and_one_for_all_labels(rows: list[dict[str, Any]], world: World) -> None:
    photos, split = world
    assert [(row["labels"], row["seeds"]) for row in rows] == [(3, 2), (7, 1)]
    assert rows[1]["photos"] == sum(split.places[h].role != "hold_out" for h in photos.hashes)
    for row in rows:
        for rule in ("fcn", "knn", "svm", "vote"):
            assert 0 < row[rule]["top1"]["mean"] <= row[rule]["top5"]["mean"] <= 1
            assert set(row[rule]["macro_f1"]) == {"mean", "std", "std_folds"}
    assert rows[0]["knn"]["top5"]["mean"] == 1.0  # three labels: all are named
    assert rows[0]["vote"]["top1"]["std"] is not None
    assert rows[1]["vote"]["top1"]["std"] is None  # one subset has no spread
    assert rows[1]["vote"]["top1"]["std_folds"] is not None


def test_subsets_are_drawn_by_seed_and_nested() -> None:
    names = [f"n{i:02}" for i in range(12)]
    drawn: dict[tuple[int, int], frozenset[str]] = {}

    def run(subset: frozenset[str], seed: int) -> tuple[int, dict[str, Any]]:
        drawn[len(subset), seed] = subset
        return 1, {}

    labels._rows(names, (3, 6, 1), 3, run, lambda line: None)
    assert sorted(drawn) == [(3, 0), (3, 1), (3, 2), (6, 0), (6, 1), (6, 2), (12, 0)]
    assert all(drawn[3, seed] < drawn[6, seed] for seed in range(3))
    assert len({drawn[6, seed] for seed in range(3)}) == 3


def test_photos_the_weights_saw_are_not_asked_about(world: World) -> None:
    photos, split = world
    developed = [h for h in photos.hashes if split.places[h].role != "hold_out"]
    found = accuracy_by_labels(*world, counts=(), seeds=1, settings=SETTINGS, seen=frozenset(developed[:20]))
    assert found[0]["photos"] == len(developed) - 20
    with pytest.raises(NotEnoughData, match="no photo is left"):
        accuracy_by_labels(*world, counts=(), settings=SETTINGS, seen=frozenset(developed))


def test_too_few_labels_and_photos_outside_the_split_are_errors(world: World) -> None:
    photos, split = world
    with pytest.raises(NotEnoughData, match="1 labels have photos enough"):
        accuracy_by_labels(photos.subset(np.arange(12)), split)
    with pytest.raises(SplitError, match="84 of 84"):
        accuracy_by_labels(photos, replace(split, places={}))


def test_rendered_products_learn_from_views_and_are_asked_with_phone_photos() -> None:
    """Phone photos under turned labels are all wrong: nothing was learned from them."""
    everything, numbers = make_photos({f"sku {i}": [1] * 9 for i in range(5)}, spread=0.7)
    numbers = numbers % 9
    views, phones = (everything.subset(np.flatnonzero(part)) for part in (numbers < 8, numbers == 8))
    rendered = RenderedPhotos(views, numbers[numbers < 8], phones)
    row = rendered_accuracy(rendered, counts=(100,), seeds=3, settings=SETTINGS)[0]
    assert (row["labels"], row["seeds"], row["photos"]) == (5, 1, 5)
    assert min(row[rule]["top1"]["mean"] for rule in ("fcn", "knn", "svm", "vote")) >= 0.8
    assert row["vote"]["top1"]["std_folds"] is None
    turned = replace(rendered, phones=replace(phones, labels=phones.labels[1:] + phones.labels[:1]))
    wrong = rendered_accuracy(turned, counts=(100,), seeds=3, settings=SETTINGS)[0]
    assert wrong["knn"]["top1"]["mean"] <= 0.2


def test_merged_tables_tell_the_spread_over_seeds_from_that_over_folds() -> None:
    def table(mean: float, std: float | None) -> dict[str, Any]:
        return {"knn": {measure: {"mean": mean, "std": std} for measure in ("top1", "top5", "macro_f1")}}

    found = merged([table(0.5, 0.1), table(0.7, 0.3)])["knn"]["top1"]
    assert found == {
        "mean": pytest.approx(0.6),
        "std": pytest.approx(0.2**0.5 / 10**0.5),
        "std_folds": pytest.approx(0.2),
    }
    assert merged([table(0.5, None)])["knn"]["top1"] == {"mean": 0.5, "std": None, "std_folds": None}
    assert merged([table(0.5, 0.1), {}]) == {}
