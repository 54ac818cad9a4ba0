"""What the experiments share: one fold's photos, its fits, and the comparison of two ways over the same photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.classifiers.base import Classifier
from models.errors import NotEnoughData, SplitError
from models.training.crossfit import (
    LEAST_PHOTOS_TO_TRAIN,
    CrossFit,
    Judged,
    _validation_part,
)
from models.training.data import TrainingPhotos, trainable_labels
from models.training.measures import paired_difference, paired_interval
from models.training.reports.tables import VotedPhoto, table3, voted_photos
from models.training.splits import PhotoPlace, Split
from models.values import CLASSIFIER_NAMES, Float32, Prediction

RULES: Final[tuple[str, ...]] = (*CLASSIFIER_NAMES, "vote")
"""What every table compares: the three classifiers and their vote."""


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Rows of the photos: to fit on, to stop and to choose C by, to fit and stop by together, and to ask."""

    number: int
    fitted: NDArray[np.intp]
    held: NDArray[np.intp]
    training: NDArray[np.intp]
    asked: NDArray[np.intp]


def places_of(photos: TrainingPhotos, split: Split) -> list[PhotoPlace]:
    """Where each photo stands. :raise SplitError: a photo has no place."""
    unplaced = [h for h in photos.hashes if h not in split.places]
    if unplaced:
        raise SplitError(f"{len(unplaced)} of {len(photos)} photos have no place in the split: run `make train` first")
    return [split.places[h] for h in photos.hashes]


def scene_folds(
    photos: TrainingPhotos, split: Split, seed: int = 0, seen: frozenset[str] = frozenset()
) -> Iterator[Fold]:
    """The split's folds as ``crossfit.cross_fit`` uses them: the hold-out in none of them, a tenth of each fold's
    training scenes held back for validation, and photos whose label is in no other fold not asked; nor are those in
    ``seen``, which the weights were trained on.

    :raise SplitError: a photo has no place in the split. :raise NotEnoughData: no photo can be asked.
    """
    places = places_of(photos, split)
    folds = np.array([place.fold for place in places])
    scenes = np.array([place.scene for place in places])
    asked_any = False
    for fold in range(split.folds):
        training = np.flatnonzero((folds >= 0) & (folds != fold))
        taught = {photos.labels[i] for i in training}
        own = [i for i in np.flatnonzero(folds == fold) if photos.hashes[i] not in seen]
        asked = np.array([i for i in own if photos.labels[i] in taught], dtype=np.intp)
        if len(asked):
            asked_any = True
            held, fitted = _validation_part(training, photos.labels, scenes, seed + fold)
            yield Fold(fold, fitted, held, training, asked)
    if not asked_any:
        raise NotEnoughData("no label has photos of two scenes outside the hold-out: nothing can be cross-validated")


def trainable(photos: TrainingPhotos, split: Split) -> frozenset[str]:
    """Labels that FCN and SVM learn: enough photos outside the hold-out.

    :raise SplitError: a photo has no place in the split.
    """
    places = places_of(photos, split)
    developed = [label for label, place in zip(photos.labels, places, strict=True) if place.role != "hold_out"]
    return trainable_labels(developed, LEAST_PHOTOS_TO_TRAIN)


def ask(
    models: Sequence[Classifier], vectors: Float32, within: frozenset[str] | None = None
) -> list[tuple[Prediction, ...]]:
    """Each photo's predictions, in the order fcn, knn, svm (as far as present)."""
    if not len(vectors):
        return []
    columns = [model.predict(vectors, within) for model in sorted(models, key=lambda model: model.name)]
    return list(zip(*columns, strict=True))


def judged(
    photos: TrainingPhotos, rows: NDArray[np.intp], fold: int, predictions: Sequence[tuple[Prediction, ...]]
) -> list[Judged]:
    """The photos in ``rows`` with their predictions."""
    return [Judged(photos.hashes[i], photos.labels[i], fold, p) for i, p in zip(rows, predictions, strict=True)]


def table(voted: Sequence[VotedPhoto]) -> dict[str, Any]:
    """``{fcn|knn|svm|vote: {top1|top5|macro_f1: {mean, std}}}`` over the folds.

    :raise NotEnoughData: no photo.
    """
    if not voted:
        raise NotEnoughData("no photo is left to ask about: each was seen by the weights, or its label is nowhere else")
    found = table3(voted, CrossFit())
    return {rule: found[rule] for rule in RULES if rule in found}


def vote_on(photos: Sequence[Judged], folds: int) -> list[VotedPhoto]:
    """Every photo under every rule, ordered by fold; the vote of a fold is fitted on the others."""
    return voted_photos(photos, folds)


def differences(ours: Sequence[VotedPhoto], theirs: Sequence[VotedPhoto]) -> dict[str, Any]:
    """``{rule: {top1|top5: {mean, standard_error, interval_95}}}`` of ours - theirs, over the very same photos.

    mean, standard_error: over the folds. interval_95: over the photos.
    """
    both = [rule for rule in RULES if _judges(ours, rule) and _judges(theirs, rule)]
    result: dict[str, Any] = {}
    for rule in both:
        result[rule] = {}
        for measure, k in (("top1", 1), ("top5", 5)):
            a, b = _hits(ours, rule, k), _hits(theirs, rule, k)
            folds = np.array([photo.photo.fold for photo in ours])
            means = [[float(hits[folds == fold].mean()) for fold in np.unique(folds)] for hits in (a, b)]
            result[rule][measure] = {**paired_difference(*means), "interval_95": paired_interval(a, b)}
    return result


def _judges(photos: Sequence[VotedPhoto], rule: str) -> bool:
    return rule == "vote" or any(p.classifier == rule for photo in photos for p in photo.photo.predictions)


def _hits(photos: Sequence[VotedPhoto], rule: str, k: int) -> NDArray[np.bool_]:
    return np.array([photo.truth in photo.ranked[rule][:k] for photo in photos], dtype=bool)


def plain_spread(values: Sequence[float]) -> dict[str, float | None]:
    """``{mean, std}`` with no spread for a single value, where 0 would claim that there is none."""
    array = np.asarray(values, dtype=float)
    return {"mean": float(array.mean()), "std": float(array.std(ddof=1)) if len(array) > 1 else None}


def merged(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Tables of several seeds as one: the mean over the seeds, ``std`` over the seeds, and ``std_folds``, the mean
    spread over the folds of one seed (None where the tables know no folds)."""
    result: dict[str, Any] = {}
    for rule in [rule for rule in RULES if all(rule in row for row in tables)]:
        result[rule] = {}
        for measure in ("top1", "top5", "macro_f1"):
            cells = [row[rule][measure] for row in tables]
            stds = [cell["std"] for cell in cells if cell["std"] is not None]
            result[rule][measure] = {
                **plain_spread([cell["mean"] for cell in cells]),
                "std_folds": float(np.mean(stds)) if stds else None,
            }
    return result
