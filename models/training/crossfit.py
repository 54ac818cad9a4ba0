"""Cross-fitting: every photo judged by classifiers that never saw its scene.

For each fold, the three classifiers are fitted on the other folds (a tenth of their scenes being the
validation set of early stopping and of the grid search for C) and judge the fold's photos: *known*.
Then, with a part of the labels (one K-th) hidden from FCN and SVM, they judge the hidden labels' photos of the
fold twice: with those labels in the k-NN memory (*new* products) and without (*foreign*, near). A photo
whose label has no other scene cannot be known and is judged as near-foreign.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.backbone.network import load_keras
from models.classifiers.base import Classifier
from models.classifiers.exact import ExactNeighbours
from models.classifiers.fcn import FcnClassifier
from models.classifiers.knn import KnnClassifier
from models.classifiers.svm import SvmClassifier
from models.errors import SplitError
from models.training.care.teaching import Care, take_care_of_both
from models.training.data import TrainingPhotos, trainable_labels
from models.training.fit.fcn import FcnFit, FcnSettings, fit_fcn
from models.training.fit.svm import C_GRID, SvmFit, fit_svm, search_c
from models.training.splits import Split
from models.values import Float32, Prediction

LEAST_PHOTOS_TO_TRAIN = 3
"""Originals outside the hold-out that a label needs before FCN and SVM learn it; below, k-NN alone knows it."""

_VALIDATION_SHARE = 0.1

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """One photo's predictions by classifiers that never saw its scene; truth None = foreign."""

    content_hash: str
    truth: str | None
    fold: int
    predictions: tuple[Prediction, ...]


@dataclass(slots=True)
class CrossFit:
    """All judged photos, and what fitting took.

    steps, c: the FCN's gradient steps up to the kept epoch and the SVM's C, one a fold. seconds: fitting time a
    classifier and fold, of the full-label fits.
    """

    known: list[Judged] = field(default_factory=list)
    new: list[Judged] = field(default_factory=list)
    foreign: list[Judged] = field(default_factory=list)
    far: list[Judged] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    c: list[float] = field(default_factory=list)
    grids: list[tuple[tuple[float, float], ...]] = field(default_factory=list)
    histories: list[tuple[tuple[float, float, float], ...]] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"fcn": [], "svm": [], "knn": []})


@dataclass(frozen=True, slots=True)
class CrossFitSettings:
    """How to cross-fit. c_grid with one value fits without a search; hide_labels False skips the
    judging of new and near-foreign products. care: what FCN and SVM are fitted on where labels look wrong; every photo
    is judged, and counts as right or wrong, under the label it bears."""

    fcn: FcnSettings = field(default_factory=FcnSettings)
    c_grid: Sequence[float] = C_GRID
    hide_labels: bool = True
    care: Care = Care.SELFIE
    seed: int = 0


def cross_fit(
    photos: TrainingPhotos,
    split: Split,
    far_foreign: Float32,
    settings: CrossFitSettings | None = None,
    progress: Progress = lambda line: None,
) -> CrossFit:
    """Judge every photo outside the hold-out.

    far_foreign: float32 (m, 2048), bottlenecks of photos from another world; m may be 0.
    :raise SplitError: a photo has no place in the split.
    """
    settings = settings or CrossFitSettings()
    unplaced = [h for h in photos.hashes if h not in split.places]
    if unplaced:
        raise SplitError(
            f"{len(unplaced)} of {len(photos)} photos have no place in the split, first {unplaced[0][:12]}: split anew"
        )
    places = [split.places[h] for h in photos.hashes]
    folds = np.array([place.fold for place in places])
    scenes = np.array([place.scene for place in places])
    developed = [label for label, fold in zip(photos.labels, folds, strict=True) if fold >= 0]
    trainable = trainable_labels(developed, LEAST_PHOTOS_TO_TRAIN)
    hidden_in = _hiding(sorted(set(photos.labels)), split.folds, settings.seed)
    result = CrossFit()
    for fold in range(split.folds):
        training = np.flatnonzero((folds >= 0) & (folds != fold))
        taught = {photos.labels[i] for i in training}
        own = np.flatnonzero(folds == fold)
        queries = np.array([i for i in own if photos.labels[i] in taught], dtype=np.intp)
        lone = np.array([i for i in own if photos.labels[i] not in taught], dtype=np.intp)
        if not len(own) or not len(training):
            continue
        held, fitted = _validation_part(training, photos.labels, scenes, settings.seed + fold)
        progress(f"fold {fold + 1}/{split.folds}: all labels")
        fit = _fit_at(photos.subset(fitted), photos.subset(held), trainable, settings)
        _record(result, fit)
        memory = photos.subset(training)
        models = _with_memory(fit, memory)
        result.known += _judge(models, photos.subset(queries), fold)
        strangers = far_foreign[fold :: split.folds]
        result.far += _judge_vectors(models, strangers, [f"far-{fold}-{i}" for i in range(len(strangers))], fold)
        alone = photos.subset(lone)
        result.foreign += _judge_vectors(models, alone.originals, alone.hashes, fold)
        if not settings.hide_labels:
            continue
        hidden = hidden_in[fold]
        asked = np.array([i for i in queries if photos.labels[i] in hidden], dtype=np.intp)
        if not len(asked):
            continue
        progress(f"fold {fold + 1}/{split.folds}: {len(hidden)} labels hidden")
        shown = np.array([photos.labels[i] not in hidden for i in range(len(photos))])
        at_same_c = replace(settings, c_grid=(fit.c,))
        narrow = _fit_at(
            photos.subset(fitted[shown[fitted]]), photos.subset(held[shown[held]]), trainable - hidden, at_same_c
        )
        result.new += _judge(_with_memory(narrow, memory), photos.subset(asked), fold)
        without = _with_memory(narrow, photos.subset(training[shown[training]]))
        asked_photos = photos.subset(asked)
        result.foreign += _judge_vectors(without, asked_photos.originals, asked_photos.hashes, fold)
    return result


@dataclass(frozen=True, slots=True)
class _Fit:
    fcn: FcnFit | None
    svm: SvmClassifier | None
    c: float
    grid: tuple[tuple[float, float], ...]
    seconds: dict[str, float]


def _fit_at(
    training: TrainingPhotos, validation: TrainingPhotos, trainable: frozenset[str], settings: CrossFitSettings
) -> _Fit:
    """FCN with early stopping and SVM with its grid search, on the labels that have enough photos in all folds."""
    grid = settings.c_grid
    taught = trainable & frozenset(training.labels)
    training = training.subset(np.array([i for i, label in enumerate(training.labels) if label in taught], np.intp))
    validation = validation.subset(
        np.array([i for i, label in enumerate(validation.labels) if label in taught], np.intp)
    )
    if len(taught) < 2 or not len(validation):
        return _Fit(None, None, grid[0], (), {"fcn": 0.0, "svm": 0.0})
    training, validation = take_care_of_both(training, validation, settings.care, settings.seed)
    augmented = training.augmented()
    load_keras()  # importing it takes seconds, which are not fitting
    started = time.perf_counter()
    fcn = fit_fcn(augmented, validation.plain(), settings.fcn)
    middle = time.perf_counter()
    if len(grid) == 1:
        found = SvmFit(fit_svm(*augmented, grid[0]), grid[0], ())
    else:
        found = search_c(augmented, validation.plain(), grid)
    seconds = {"fcn": middle - started, "svm": time.perf_counter() - middle}
    return _Fit(fcn, found.model, found.c, found.grid, seconds)


def _record(result: CrossFit, fit: _Fit) -> None:
    if fit.fcn is not None:
        result.steps.append(fit.fcn.best_steps)
        result.histories.append(fit.fcn.history)
        result.c.append(fit.c)
        result.grids.append(fit.grid)
        for name in ("fcn", "svm"):
            result.seconds[name].append(fit.seconds[name])


def _with_memory(fit: _Fit, memory: TrainingPhotos) -> list[Classifier]:
    models: list[Classifier] = [KnnClassifier(ExactNeighbours(*memory.plain()))]
    if fit.fcn is not None and fit.svm is not None:
        fcn: FcnClassifier = fit.fcn.model
        models += [fcn, fit.svm]
    return models


def _judge(models: Sequence[Classifier], photos: TrainingPhotos, fold: int) -> list[Judged]:
    rows = predict_all(models, photos.originals)
    return [
        Judged(content_hash, truth, fold, row)
        for content_hash, truth, row in zip(photos.hashes, photos.labels, rows, strict=True)
    ]


def _judge_vectors(models: Sequence[Classifier], vectors: Float32, hashes: Sequence[str], fold: int) -> list[Judged]:
    rows = predict_all(models, vectors)
    return [Judged(h, None, fold, row) for h, row in zip(hashes, rows, strict=True)]


def predict_all(models: Sequence[Classifier], vectors: Float32) -> list[tuple[Prediction, ...]]:
    """Each photo's predictions, in the order fcn, knn, svm (as far as present)."""
    if not len(vectors):
        return []
    columns = [model.predict(vectors) for model in sorted(models, key=lambda model: model.name)]
    return list(zip(*columns, strict=True))


def _hiding(labels: Sequence[str], folds: int, seed: int) -> list[frozenset[str]]:
    """A partition of the labels, one part a fold."""
    shuffled = list(labels)
    np.random.default_rng(seed).shuffle(shuffled)
    return [frozenset(shuffled[i::folds]) for i in range(folds)]


def _validation_part(
    training: NDArray[np.intp], labels: Sequence[str], scenes: NDArray[np.int_], seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(validation, rest): whole scenes, drawn at random, up to a tenth of the photos.

    A scene is taken only if each of its labels keeps a photo in the rest: validating must not make FCN and SVM
    forget a label. Where every scene is larger than a tenth, the smallest is taken;
    nothing where no label can spare one.
    """
    photos_of: dict[int, Counter[str]] = {}
    for i in training:
        photos_of.setdefault(int(scenes[i]), Counter())[labels[i]] += 1
    left = Counter(labels[i] for i in training)
    order = sorted(photos_of)
    np.random.default_rng(seed).shuffle(order)

    def spared(scene: int) -> bool:
        return all(left[label] > count for label, count in photos_of[scene].items())

    budget = max(1, round(_VALIDATION_SHARE * len(training)))
    chosen: set[int] = set()
    for scene in order:
        if photos_of[scene].total() <= budget and spared(scene):
            chosen.add(scene)
            left -= photos_of[scene]
            budget -= photos_of[scene].total()
    if not chosen:
        chosen = set(sorted(filter(spared, order), key=lambda scene: photos_of[scene].total())[:1])
    held = np.isin(scenes[training], sorted(chosen))
    return training[held], training[~held]
