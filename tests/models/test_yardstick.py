"""The yardstick on bottlenecks whose labels are known: what it counts, chooses and keeps apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from models.errors import NotEnoughData
from models.training import yardstick
from models.training.data import TrainingPhotos
from models.training.projection_loss import projection_loss
from models.training.yardstick import PROBES, YardstickPhotos, measure, scene_folds
from tests.models.synthetic import make_photos

SHOTS = {f"label {i}": [3] * 8 for i in range(8)}


@pytest.fixture(scope="module")
def photos() -> YardstickPhotos:
    """Eight labels of eight scenes: six to train on, two to test."""
    everything, scenes = make_photos(SHOTS, spread=1.1)
    late = scenes % 8 >= 6
    train, test = (everything.subset(np.flatnonzero(part)) for part in (~late, late))
    return YardstickPhotos(train, test, scene_folds(train.labels, scenes[~late]), frozenset())


@pytest.fixture(scope="module")
def measured(photos: YardstickPhotos) -> dict[str, Any]:
    """All three probes."""
    return measure_with(photos, "softmax", "svm", "knn")


def measure_with(photos: YardstickPhotos, *names: str) -> dict[str, Any]:
    """Measured by some of the probes; the softmax tries two values of C, the SVM one."""
    grids = {"softmax": (0.1, 1.0), "svm": (3.0,), "knn": (1.0,)}
    chosen = tuple(replace(probe, grid=grids[probe.name]) for probe in PROBES if probe.name in names)
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(yardstick, "PROBES", chosen)
        patch.setattr("models.training.fit.svm._DIRECTIONS", 16)  # they only save the solver steps
        return measure(photos)


def test_folds_hold_whole_scenes_and_every_photo_has_one() -> None:
    labels = [label for label, sizes in SHOTS.items() for _ in range(sum(sizes))]
    scenes = np.repeat(np.arange(64), 3)
    folds = scene_folds(labels, scenes)
    assert set(folds.tolist()) == set(range(5))
    assert all(len(set(folds[scenes == scene].tolist())) == 1 for scene in range(64))
    assert np.array_equal(folds, scene_folds(labels, scenes))


def test_too_few_scenes_or_photos_for_the_folds_is_an_error_that_says_so() -> None:
    with pytest.raises(NotEnoughData, match="4 scenes"):
        scene_folds(["a"] * 8, np.repeat(np.arange(4), 2))
    with pytest.raises(NotEnoughData, match="at most 1 photos a label"):
        scene_folds(list("abcdefgh"), np.arange(8))


def test_every_probe_has_figures_of_test_and_folds(measured: dict[str, Any]) -> None:
    assert measured["seen_photos"] == {"train": 0, "test": 0}
    for name in ("softmax", "svm", "knn"):
        row = measured[name]
        assert 0.5 < row["test"]["top1"] <= row["test"]["top5"] <= 1
        assert set(row["cross_validation"]) == {"top1", "top5", "macro_f1"}
        assert 0.5 < row["cross_validation"]["top1"]["mean"] <= 1
        assert row["seen"] == {"test": None, "cross_validation": None}
    assert measured["softmax"]["c"] in (0.1, 1.0)
    assert "c" not in measured["knn"]


def test_the_test_photos_choose_nothing(photos: YardstickPhotos, measured: dict[str, Any]) -> None:
    """Other test labels: the same C, the same cross-validation."""
    turned = replace(photos, test=replace(photos.test, labels=photos.test.labels[::-1]))
    other = measure_with(turned, "softmax", "knn")
    for name in ("softmax", "knn"):
        assert other[name].get("c") == measured[name].get("c")
        assert other[name]["cross_validation"] == measured[name]["cross_validation"]
        assert other[name]["test"]["top1"] < measured[name]["test"]["top1"]


def test_photos_the_weights_saw_are_counted_and_have_figures_of_their_own(
    photos: YardstickPhotos, measured: dict[str, Any]
) -> None:
    """Seen photos whose labels are wrong spoil the figures of the seen alone."""
    rows = np.arange(0, len(photos.test), 3)
    labels = np.array(photos.test.labels, dtype=object)
    labels[rows] = np.roll(labels[rows], len(rows) // 2)
    spoiled = replace(photos.test, labels=tuple(labels))
    seen = frozenset(spoiled.hashes[i] for i in rows) | frozenset(photos.train.hashes[:10])
    found = measure_with(replace(photos, test=spoiled, seen=seen), "softmax", "knn")
    assert found["seen_photos"] == {"train": 10, "test": len(rows)}
    for name in ("softmax", "knn"):
        assert found[name]["seen"]["test"]["top1"] < 0.2 < 0.5 < found[name]["test"]["top1"]
        assert found[name]["seen"]["cross_validation"] is not None
    everyone = frozenset(photos.test.hashes) | frozenset(photos.train.hashes)
    everything = measure_with(replace(photos, seen=everyone), "knn")
    assert everything["knn"]["test"] is None
    assert everything["knn"]["cross_validation"] is None
    assert everything["knn"]["seen"]["test"] == measured["knn"]["test"]


def test_a_folds_own_photos_do_not_choose_its_c(photos: YardstickPhotos) -> None:
    """One C is right about the first fold alone, the other about all others."""
    folds = yardstick._folds(photos)
    truth = [[[photos.train.labels[i]] for i in fold.asked] for fold in folds]
    wrong = [[["nothing"] for _ in fold.asked] for fold in folds]
    ranked = {1.0: [truth[0], *wrong[1:]], 2.0: [wrong[0], *truth[1:]]}
    assert yardstick._best_c(photos.train, folds, ranked, without=0) == 2.0
    assert yardstick._best_c(photos.train, folds, ranked) == 2.0
    figures = yardstick._figures(photos, folds, ranked, ([], np.zeros(0, dtype=bool)), seen=False)
    assert figures["cross_validation"]["top1"]["mean"] == pytest.approx(0.8)
    even = {1.0: truth, 2.0: truth}
    assert yardstick._best_c(photos.train, folds, even) == 1.0


def test_labels_of_one_scene_are_not_asked_in_the_folds() -> None:
    everything, scenes = make_photos({f"label {i}": [1] * 5 for i in range(4)} | {"lone": [4]})
    folds = scene_folds(everything.labels, scenes)
    asked = yardstick._folds(YardstickPhotos(everything, everything, folds, frozenset()))
    lone = {i for i, label in enumerate(everything.labels) if label == "lone"}
    assert not lone & {int(i) for fold in asked for i in fold.asked}
    only = everything.subset(np.array(sorted(lone)))
    with pytest.raises(NotEnoughData, match="two scenes"):
        yardstick._folds(YardstickPhotos(only, only, np.zeros(4, dtype=np.intp), frozenset()))


def narrow(photos: TrainingPhotos) -> TrainingPhotos:
    return photos.subset(np.arange(0, len(photos), 2))


def test_a_projection_that_keeps_everything_loses_nothing(photos: YardstickPhotos) -> None:
    loss = projection_loss(photos.train, narrow(photos.test), lambda vectors: vectors)
    assert loss["exact"] == loss["reranked"] == loss["alone"]
    assert loss["label_recall5"] == {"reranked": 1.0, "alone": 1.0}
    assert loss["photos"] == len(narrow(photos.test))


def test_a_projection_that_keeps_nothing_shows_in_every_figure(
    photos: YardstickPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All photos at one place: the candidates are arbitrary, and alone the labels come in order of their names."""
    monkeypatch.setattr("models.training.projection_loss.CANDIDATES", 10)
    loss = projection_loss(photos.train, photos.test, lambda vectors: vectors[:, :2] * 0)
    assert loss["alone"]["top1"] == pytest.approx(1 / 8)
    assert loss["reranked"]["top1"] < loss["exact"]["top1"]
    assert loss["label_recall5"]["reranked"] < 0.7
    with pytest.raises(NotEnoughData, match="0 to ask"):
        projection_loss(photos.train, photos.test.subset(np.zeros(0, dtype=np.intp)), lambda vectors: vectors)


def test_candidates_are_ranked_by_their_full_vectors(photos: YardstickPhotos, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many candidates as photos, whatever the projection, the ranking is the exact one."""
    monkeypatch.setattr("models.training.projection_loss.CANDIDATES", len(photos.train))
    loss = projection_loss(photos.train, photos.test, lambda vectors: vectors[:, :1])
    assert loss["reranked"] == loss["exact"]
    assert loss["alone"]["top1"] < loss["exact"]["top1"]
