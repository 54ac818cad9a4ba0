"""Cross-fitting: nobody is judged by a model that saw its scene, and hidden labels are really hidden."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from models.errors import SplitError, UsageError
from models.training.crossfit import (
    LEAST_PHOTOS_TO_TRAIN,
    CrossFitSettings,
    Judged,
    _hiding,
    _validation_part,
    cross_fit,
    predict_all,
)
from models.training.data import TrainingPhotos
from models.training.splits import Split, make_split
from models.values import Prediction
from tests.models.conftest import FOLDS, Run
from tests.models.synthetic import make_photos, strangers


def said(photo: Judged, name: str) -> Prediction:
    return next(p for p in photo.predictions if p.classifier == name)


def label_of(run: Run, photo: Judged) -> str:
    photos = run.data.photos
    return photos.labels[photos.hashes.index(photo.content_hash)]


def scenes_of(run: Run, photos: TrainingPhotos) -> set[int]:
    return {run.data.split.places[h].scene for h in photos.hashes}


def test_every_photo_outside_the_hold_out_is_judged_once_and_none_of_the_hold_out(run: Run) -> None:
    places = run.data.split.places
    near = {p.content_hash for p in run.trained.fit.foreign if label_of(run, p) == "lone"}
    judged = Counter(p.content_hash for p in run.trained.fit.known) + Counter(near)
    assert set(judged) == {h for h in run.data.photos.hashes if places[h].role != "hold_out"}
    assert set(judged.values()) == {1}
    assert any(place.role == "hold_out" for place in places.values())


def test_no_photo_is_judged_by_models_that_saw_its_scene(run: Run) -> None:
    fit, places = run.trained.fit, run.data.split.places
    for judged, hidden in ((fit.known, 0), (fit.new, 1), (fit.foreign, 1)):
        for photo in judged:
            if label_of(run, photo) == "lone":
                continue
            fitted = run.fits[2 * photo.fold + hidden]
            own = places[photo.content_hash].scene
            assert own not in scenes_of(run, fitted.training)
            assert own not in scenes_of(run, fitted.validation)


def test_the_memory_that_judges_a_photo_is_exactly_the_other_folds(run: Run) -> None:
    """A scene's photos are nearly equal, so a memory that held one would show by a similarity of almost 1."""
    photos, places = run.data.photos, run.data.split.places
    folds = np.array([places[h].fold for h in photos.hashes])
    for photo in run.trained.fit.known:
        own = photos.originals[photos.hashes.index(photo.content_hash)]
        others = photos.originals[(folds >= 0) & (folds != photo.fold)]
        assert said(photo, "knn").ranked[0].score == pytest.approx(float((others @ own).max()), abs=1e-4)
        assert said(photo, "knn").ranked[0].score < 0.999


def test_validation_photos_come_from_other_scenes_than_those_taught(run: Run) -> None:
    for fitted in run.fits:
        assert len(fitted.validation)
        assert not scenes_of(run, fitted.training) & scenes_of(run, fitted.validation)


def test_the_hold_out_is_shown_to_nothing(run: Run) -> None:
    held = set(run.data.split.role("hold_out"))
    for fitted in run.fits:
        assert not held & {*fitted.training.hashes, *fitted.validation.hashes}


def test_hidden_labels_are_unknown_to_fcn_and_svm(run: Run) -> None:
    fit = run.trained.fit
    assert len(fit.new) > 20
    for photo in [*fit.new, *(p for p in fit.foreign if label_of(run, p) != "lone")]:
        label = label_of(run, photo)
        hidden = run.fits[2 * photo.fold + 1]
        assert label not in {*hidden.training.labels, *hidden.validation.labels}
        for name in ("fcn", "svm"):
            assert not said(photo, name).knows(label)
            assert said(photo, name).rank(label) is None
        assert label in run.fits[2 * photo.fold].training.labels or label == "tiny"


def test_hidden_labels_are_in_the_memory_for_new_products_and_absent_for_foreign_ones(run: Run) -> None:
    fit, photos, places = run.trained.fit, run.data.photos, run.data.split.places
    folds, labels = np.array([places[h].fold for h in photos.hashes]), np.array(photos.labels)
    for photo in fit.new:
        own = photos.originals[photos.hashes.index(photo.content_hash)]
        memory = photos.originals[(folds >= 0) & (folds != photo.fold)]
        assert said(photo, "knn").ranked[0].score == pytest.approx(float((memory @ own).max()), abs=1e-4)
    assert np.mean([said(p, "knn").rank(p.truth or "") is not None for p in fit.new]) > 0.8
    near = [p for p in fit.foreign if label_of(run, p) != "lone"]
    assert {p.content_hash for p in near} == {p.content_hash for p in fit.new}
    hidden_in = _hiding(sorted(set(labels)), FOLDS, 0)
    for photo in near:
        assert photo.truth is None
        hidden = hidden_in[photo.fold]
        assert label_of(run, photo) in hidden
        named = {scored.label for p in photo.predictions for scored in p.ranked}
        assert not named & hidden


def test_lone_labels_are_judged_as_foreign(run: Run) -> None:
    """A label whose only scene is the photo's own cannot be recognised by anybody who did not see it."""
    fit = run.trained.fit
    lone = [p for p in fit.foreign if label_of(run, p) == "lone"]
    assert len(lone) == 3
    assert all(p.truth is None for p in lone)
    assert "lone" not in {p.truth for p in fit.known} | {p.truth for p in fit.new}
    assert all(said(p, name).rank("lone") is None for p in lone for name in ("fcn", "knn", "svm"))


def test_far_foreign_photos_are_judged_once_each(run: Run) -> None:
    far = run.trained.fit.far
    assert len(far) == len({p.content_hash for p in far}) == len(run.data.far_foreign)
    assert all(p.truth is None for p in far)
    assert {p.fold for p in far} == set(range(FOLDS))


def test_fcn_and_svm_abstain_on_labels_with_fewer_than_3_photos(run: Run) -> None:
    for fitted in run.fits:
        counts = Counter(fitted.training.labels)
        assert 0 < counts["tiny"] < LEAST_PHOTOS_TO_TRAIN or "tiny" not in counts
        assert fitted.fit.fcn is not None and fitted.fit.svm is not None
        assert fitted.fit.fcn.model.known == fitted.fit.svm.known == set(counts) - {"tiny"}
    tiny = [p for p in run.trained.fit.known if p.truth == "tiny"]
    assert len(tiny) == 2
    assert all(not said(p, name).knows("tiny") for p in tiny for name in ("fcn", "svm"))
    assert all(said(p, "knn").knows("tiny") for p in tiny)


def test_steps_c_and_seconds_are_those_of_the_fits_with_all_labels(run: Run) -> None:
    fit, full = run.trained.fit, [run.fits[2 * fold].fit for fold in range(FOLDS)]
    assert fit.c == [one.c for one in full]
    assert fit.steps == [one.fcn.best_steps for one in full if one.fcn]
    assert fit.seconds["fcn"] == [one.seconds["fcn"] for one in full]
    assert all(c in (1.0, 10.0) for c in fit.c)
    assert [[c for c, _ in grid] for grid in fit.grids] == [[1.0, 10.0]] * FOLDS
    hidden = [run.fits[2 * fold + 1].fit for fold in range(FOLDS)]
    assert [one.c for one in hidden] == fit.c  # the C already found is used again
    assert all(one.grid == () for one in hidden)


def test_predictions_come_in_the_order_fcn_knn_svm(run: Run) -> None:
    for photo in run.trained.fit.known:
        assert [p.classifier for p in photo.predictions] == ["fcn", "knn", "svm"]
    assert predict_all([], run.data.photos.originals[:0]) == []


def test_hidden_parts_are_a_partition_of_the_labels() -> None:
    labels = [f"l{i}" for i in range(23)]
    parts = _hiding(labels, 5, 0)
    assert len(parts) == 5
    assert sorted(label for part in parts for label in part) == sorted(labels)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == _hiding(labels, 5, 0) != _hiding(labels, 5, 1)


def validation_part(shots: dict[str, list[int]], seed: int = 0) -> tuple[list[str], list[str], set[int], set[int]]:
    """Labels held and taught, and the scenes of either."""
    photos, scenes = make_photos(shots)
    held, taught = _validation_part(np.arange(len(photos)), photos.labels, scenes, seed)
    assert sorted([*held, *taught]) == list(range(len(photos)))
    labels = photos.labels
    return [labels[i] for i in held], [labels[i] for i in taught], set(scenes[held]), set(scenes[taught])


@pytest.mark.parametrize("seed", range(5))
def test_the_validation_part_is_whole_scenes_of_about_a_tenth(seed: int) -> None:
    held, taught, held_scenes, taught_scenes = validation_part({f"l{i}": [2, 1, 3, 2, 1, 1] for i in range(10)}, seed)
    assert not held_scenes & taught_scenes
    assert 7 <= len(held) <= 10
    assert len(taught) == 100 - len(held)


@pytest.mark.parametrize("seed", range(5))
def test_validating_never_takes_the_last_photo_of_a_label(seed: int) -> None:
    shots = {f"small {i}": [1] for i in range(20)} | {f"large {i}": [1, 1] for i in range(20)}
    held, taught, _, _ = validation_part(shots, seed)
    assert held
    assert set(taught) == set(shots)


def test_where_every_scene_is_large_the_smallest_is_the_validation_part() -> None:
    """Otherwise FCN and SVM could not be fitted at all on a small catalogue of long bursts."""
    held, _, held_scenes, _ = validation_part({"a": [9, 9, 9], "b": [9, 8, 9], "c": [9, 9, 9]})
    assert held == ["b"] * 8
    assert held_scenes == {4}


def test_where_no_label_can_spare_a_scene_there_is_no_validation_part() -> None:
    assert validation_part({"a": [1], "b": [2]})[0] == []


def test_labels_with_two_photos_leave_everything_to_knn() -> None:
    """No TensorFlow is needed for such a shop: nothing is fitted."""
    photos, scenes = make_photos({f"l{i}": [1, 1] for i in range(8)})
    split = make_split(photos.hashes, photos.labels, scenes, folds=2)
    result = cross_fit(photos, split, strangers(4))
    assert len(result.known) == 16
    assert all([p.classifier for p in photo.predictions] == ["knn"] for photo in result.known)
    assert result.steps == result.c == []


def test_without_hiding_nothing_new_or_near_is_judged() -> None:
    photos, scenes = make_photos({f"l{i}": [1, 1] for i in range(8)})
    split = make_split(photos.hashes, photos.labels, scenes, folds=2)
    result = cross_fit(photos, split, strangers(0), CrossFitSettings(hide_labels=False))
    assert (len(result.known), result.new, result.foreign, result.far) == (16, [], [], [])


def test_a_photo_without_a_place_in_the_split_is_an_error() -> None:
    photos, scenes = make_photos({"a": [1, 1], "b": [1, 1]})
    split = make_split(photos.hashes, photos.labels, scenes, folds=2)
    short = replace(split, places={h: split.places[h] for h in photos.hashes[1:]})
    with pytest.raises(SplitError, match="1 of 4 photos"):
        cross_fit(photos, short, strangers(0))


def test_all_photos_in_the_hold_out_leave_nothing_to_judge() -> None:
    photos, scenes = make_photos({"a": [1, 1], "b": [1, 1]})
    places = make_split(photos.hashes, photos.labels, scenes, folds=2).places
    held = Split({h: replace(place, role="hold_out", fold=-1) for h, place in places.items()}, 2)
    assert cross_fit(photos, held, strangers(2)).known == []


def test_training_photos_that_disagree_are_refused() -> None:
    photos, _ = make_photos({"a": [2], "b": [2]}, variants=2)
    with pytest.raises(UsageError, match="3 originals"):
        TrainingPhotos(photos.hashes, photos.labels, photos.originals[:3], photos.variants)
    vectors, labels = photos.subset(np.array([3, 0])).augmented()
    assert labels == ["b", "a", "b", "b", "a", "a"]
    expected = [photos.originals[3], photos.originals[0], *photos.variants[3], *photos.variants[0]]
    assert np.array_equal(vectors, np.stack(expected))
