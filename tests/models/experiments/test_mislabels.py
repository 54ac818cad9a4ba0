"""Flipped labels: what is flipped, what is found, and that nobody is asked under a wrong label."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import NotEnoughData, UsageError
from models.training.care.teaching import Care
from models.training.data import TrainingPhotos
from models.training.experiments import mislabels
from models.training.experiments.mislabels import choose, flip_labels, measure_care
from models.training.splits import Split
from tests.models.experiments.conftest import SETTINGS

World = tuple[TrainingPhotos, Split]


def test_exactly_the_chosen_labels_become_other_ones_that_occur() -> None:
    labels = ["a", "b", "c"] * 20
    chosen = choose(np.arange(60), 0.2, 1)
    assert chosen.sum() == 12
    flipped = flip_labels(labels, chosen, 1)
    assert [a != b for a, b in zip(labels, flipped, strict=True)] == chosen.tolist()
    assert set(flipped) == {"a", "b", "c"}
    assert flip_labels(labels, chosen, 1) == flipped
    assert not choose(np.arange(60), 0.0, 1).any()


def test_whole_groups_are_chosen() -> None:
    groups = np.repeat(np.arange(10), 3)
    chosen = choose(groups, 0.4, 2)
    assert chosen.sum() == 12
    assert all(len(set(chosen[groups == group])) == 1 for group in range(10))


@pytest.fixture(scope="module")
def rows(world: World) -> list[dict[str, object]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.training.care.teaching.LEAST_PHOTOS", 20)
        return measure_care(*world, (0.3,), 2, SETTINGS)


def test_every_way_is_measured_without_and_with_wrong_labels(rows: list[dict[str, object]]) -> None:
    assert [row["share"] for row in rows] == [0.0, 0.3]
    for row in rows:
        assert set(row["care"]) == {care.value for care in Care}  # type: ignore[call-overload]
    clean, noisy = rows
    assert (clean["found"], clean["found_scenes"]) == ({}, {})
    assert set(noisy["found"]["precision"]) == {"confident", "selfie"}  # type: ignore[index]


def test_wrong_labels_cost_accuracy_and_are_found(rows: list[dict[str, object]]) -> None:
    clean, noisy = (row["care"]["none"] for row in rows)  # type: ignore[index]
    assert noisy["svm"]["top1"]["mean"] < clean["svm"]["top1"]["mean"]
    assert noisy["knn"]["top1"]["mean"] < clean["knn"]["top1"]["mean"]
    assert rows[1]["found"]["precision"]["confident"]["mean"] > 0.6  # type: ignore[index]


def test_what_is_kept_is_the_loss_that_care_avoids(rows: list[dict[str, object]]) -> None:
    clean, noisy = rows[0]["care"]["none"], rows[1]["care"]  # type: ignore[index]
    whole, without, with_ = (table["svm"]["top1"]["mean"] for table in (clean, noisy["none"], noisy["leave_out"]))
    kept = rows[1]["kept"]["leave_out"]["svm"]["top1"]  # type: ignore[index]
    assert kept == pytest.approx(1 - (whole - with_) / (whole - without))
    assert rows[0]["kept"]["leave_out"]["knn"]["top1"] is None  # type: ignore[index]
    assert rows[1]["kept"]["leave_out"]["knn"]["top1"] == 0.0, "k-NN takes no care"  # type: ignore[index]


def test_photos_are_asked_under_their_true_labels_by_models_of_other_scenes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, split = world
    asked = []
    real = mislabels.judged

    def watch(of: TrainingPhotos, rows: np.ndarray, fold: int, predictions: object) -> object:
        if of is photos:
            asked.append((fold, [of.hashes[i] for i in rows]))
        return real(of, rows, fold, predictions)  # type: ignore[arg-type]

    monkeypatch.setattr(mislabels, "judged", watch)
    seen = frozenset([h for h, place in split.places.items() if place.fold == 0][:2])
    measure_care(photos, split, (0.2,), 1, SETTINGS, seen=seen)
    assert [fold for fold, _ in asked] == [0] * 2 * len(Care), "once a share and kind of care"
    for fold, hashes in asked:
        assert not seen & set(hashes)
        assert all(split.places[h].fold == fold for h in hashes)


def test_what_cannot_be_measured_is_refused(world: World) -> None:
    for shares, seeds in (((1.0,), 1), ((-0.1,), 1), ((0.2,), 0)):
        with pytest.raises(UsageError, match="expected seeds"):
            measure_care(*world, shares, seeds)
    one = world[0].subset(np.array([i for i, label in enumerate(world[0].labels) if label == "lone"]))
    with pytest.raises(NotEnoughData, match="at least two"):
        measure_care(one, world[1])
