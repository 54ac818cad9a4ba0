"""The search: on validation photos alone, and nothing looks at the hold-out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.errors import NotEnoughData
from models.training.data import TrainingPhotos
from models.training.experiments import hyper_parameters
from models.training.experiments.hyper_parameters import (
    NORMALISATIONS,
    normalised,
    search_hyper_parameters,
)
from models.training.splits import PhotoPlace, Split
from tests.contracts.neighbours import unit
from tests.models.experiments.conftest import QUICK, remembered
from tests.models.synthetic import make_photos

pytestmark = pytest.mark.filterwarnings("ignore:Liblinear failed to converge")

ROLES = ("train", "train", "train", "validation", "calibration", "test", "hold_out")


@pytest.fixture(scope="module")
def world() -> tuple[TrainingPhotos, Split]:
    """Five labels of seven scenes, one a role, three to train on; two variants."""
    photos, scenes = make_photos({f"label {i}": [2] * 7 for i in range(5)}, variants=2, spread=1.3)
    places = {
        h: PhotoPlace(ROLES[scene % 7], 0 if scene % 7 < 6 else -1, int(scene))
        for h, scene in zip(photos.hashes, scenes, strict=True)
    }
    return photos, Split(places, 2)


@pytest.fixture(scope="module", autouse=True)
def fitted_once() -> Iterator[None]:
    """The same fit on the same photos is made once."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fit_fcn", "fit_svm", "_liblinear"):
            patch.setattr(hyper_parameters, name, remembered(getattr(hyper_parameters, name)))
        yield


@pytest.fixture(scope="module")
def found(world: tuple[TrainingPhotos, Split]) -> dict[str, Any]:
    return search(*world)


def search(photos: TrainingPhotos, split: Split, seen: frozenset[str] = frozenset()) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hyper_parameters, "FCN_GRID", {"dropout": (0.0, 0.3)})
        patch.setattr(hyper_parameters, "C_GRID", (1.0, 10.0))
        patch.setattr(hyper_parameters, "SVM_GRID", (1.0, 10.0, 100.0))
        return search_hyper_parameters(photos, split, QUICK, seen=seen)


def with_labels(photos: TrainingPhotos, split: Split, role: str, turn: int) -> TrainingPhotos:
    """The photos of one role under other labels."""
    rows = [i for i, h in enumerate(photos.hashes) if split.places[h].role == role]
    labels = np.array(photos.labels, dtype=object)
    labels[rows] = np.roll(labels[rows], turn)
    return replace(photos, labels=tuple(labels))


def test_everything_tried_is_told(found: dict[str, Any]) -> None:
    tried: dict[str, list[Any]] = {}
    for row in found["searched"]:
        tried.setdefault(f"{row['classifier']} {row['parameter']}", []).append(row["value"])
    losses = tried.pop("svm loss_originals_only")
    assert [loss.split(",")[0] for loss in losses] == ["squared_hinge", "hinge"]
    assert tried == {
        "knn normalisation": list(NORMALISATIONS),
        "svm c": [1.0, 10.0, 100.0],
        "svm variants": [2, 1, 0],
        "fcn dropout": [0.0, 0.3],
        "fcn variants": [2, 1, 0],
    }
    assert found["photos"] == {"train": 30, "validation": 10, "calibration": 10, "test": 10}


def test_one_row_a_parameter_is_the_default_and_a_replacement_is_better(found: dict[str, Any]) -> None:
    rows = [row for row in found["searched"] if row["parameter"] != "loss_originals_only"]
    for parameter in {(row["classifier"], row["parameter"]) for row in rows}:
        own = [row for row in rows if (row["classifier"], row["parameter"]) == parameter]
        assert sum(row["default"] for row in own) == 1
    chosen, default = found["chosen"], found["default"]
    for key, classifier, parameter in (
        ("normalisation", "knn", "normalisation"),
        ("svm_variants", "svm", "variants"),
        ("svm_c", "svm", "c"),
    ):
        top = {r["value"]: r["top1"] for r in rows if (r["classifier"], r["parameter"]) == (classifier, parameter)}
        assert top[chosen[key]] == max(top.values())
        assert chosen[key] == default[key] or top[chosen[key]] > top[default[key]]
    assert default["svm_c"] in (1.0, 10.0)
    assert default["fcn"]["dropout"] == 0.0


def test_the_test_photos_choose_nothing_and_the_hold_out_is_not_used(
    world: tuple[TrainingPhotos, Split], found: dict[str, Any]
) -> None:
    photos, split = world
    turned = search(with_labels(with_labels(photos, split, "test", 2), split, "hold_out", 2), split)
    assert turned["searched"] == found["searched"]
    assert turned["chosen"] == found["chosen"]
    assert turned["test"]["chosen"]["knn"]["top1"] < found["test"]["chosen"]["knn"]["top1"]


def test_the_reported_difference_is_chosen_less_default(found: dict[str, Any]) -> None:
    test = found["test"]
    for rule in ("fcn", "knn", "svm", "vote"):
        gap = test["difference"][rule]["top1"]
        assert gap["mean"] == pytest.approx(test["chosen"][rule]["top1"] - test["default"][rule]["top1"])
        assert gap["interval_95"][0] <= gap["mean"] <= gap["interval_95"][1]


def test_seen_photos_leave_calibration_and_test_and_are_counted_in_validation(
    world: tuple[TrainingPhotos, Split],
) -> None:
    photos, split = world
    seen = frozenset(h for role in ("validation", "calibration", "test") for h in split.role(role)[:4])
    data = hyper_parameters._Data(photos, split, seen)
    assert (len(data.validation), len(data.calibration), len(data.test)) == (10, 6, 6)
    with pytest.raises(NotEnoughData, match="0 to test"):
        hyper_parameters._Data(photos, split, frozenset(split.role("test")))


def test_normalisations_are_what_they_are_called() -> None:
    pooled = np.random.default_rng(0).gamma(0.5, size=(4, 2048))
    stored = unit(np.sqrt(pooled))
    mean = stored.mean(axis=0)
    assert np.array_equal(normalised(stored, "sqrt_l2", mean), stored)
    assert np.allclose(normalised(stored, "l1", mean), pooled / pooled.sum(axis=1, keepdims=True), atol=1e-7)
    assert np.allclose(normalised(stored, "l2", mean), unit(pooled), atol=1e-6)
    centred = normalised(stored, "sqrt_l2_centred", mean)
    assert np.allclose(np.linalg.norm(centred, axis=1), 1.0, atol=1e-5)
    assert np.allclose(centred, unit(stored - mean), atol=1e-6)
