"""One classifier for everything against one a category, with and without the shopper's help.

Four ways to name the label of the same photos:

    flat                      one set of classifiers over all labels
    flat_given                the same, narrowed to the category the shopper names (as the service does)
    per_category_given        a set of classifiers a category, the shopper naming the category
    per_category_predicted    the same, the category recognised first by a set of classifiers over categories

A wrong category makes the last one wrong whatever comes after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.classifiers.base import Classifier
from models.errors import NotEnoughData, UsageError
from models.training.crossfit import CrossFitSettings, Judged, _Fit, _fit_at, _with_memory
from models.training.data import TrainingPhotos
from models.training.experiments.folds import (
    Fold,
    ask,
    differences,
    judged,
    scene_folds,
    table,
    trainable,
    vote_on,
)
from models.training.fit.fcn import fit_fcn
from models.training.fit.svm import fit_svm
from models.training.reports.tables import VotedPhoto
from models.training.splits import Split
from models.training.train import BLAS_THREADS
from models.values import CLASSIFIER_NAMES, Float32, Prediction, Scored

LEAST_VALIDATION: Final = 20
"""Validation photos a category needs to choose its own C and its FCN's steps; below, those of the flat classifiers
are used: chosen by a handful of photos they would be chance."""

COMPARED: Final[tuple[tuple[str, str], ...]] = (
    ("flat_given", "flat"),
    ("per_category_given", "flat_given"),
    ("per_category_predicted", "flat"),
)
"""The pairs whose differences are reported, first minus second."""

Ask = Callable[[Float32], list[tuple[Prediction, ...]]]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One fold's classifiers at one level of the tree. upper: they name categories. own: category -> its photos'
    predictions, named among its labels alone."""

    upper: list[Classifier]
    own: dict[str, Ask]


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """One fold with everything fitted on it."""

    fold: Fold
    flat: list[Classifier]
    levels: list[_Level]


def category_at(path: str, level: int) -> str:
    """The first ``level`` steps of ``Large > Medium > Small``; the whole path where it is shorter."""
    return " > ".join(path.split(" > ")[:level])


def compare_categories(
    photos: TrainingPhotos,
    paths: Mapping[str, str],
    split: Split,
    levels: Sequence[int] = (1, 2),
    settings: CrossFitSettings | None = None,
    progress: Progress = lambda line: None,
    *,
    seen: frozenset[str] = frozenset(),
) -> list[dict[str, Any]]:
    """A table a level of the category tree.

    paths: label -> category path; labels without one take no part. levels: 1 = large, 2 = medium, 3 = small.
    seen: content hashes that the weights were trained on; they teach but are not asked about.
    Returns ``{level, categories, labels, photos, largest_category, photos_among_five, category: {rule: ...},
    arms: {arm: {rule: ...}}, differences: {"a - b": {rule: ...}}}`` each. photos_among_five: share of the photos whose
    category has at most five labels, where Top-5 with a given category says nothing.
    :raise NotEnoughData: fewer than two categories, or no fold with photos to ask. :raise UsageError: a level below 1.
    :raise SplitError: a photo has no place in the split.
    """
    settings = settings or CrossFitSettings()
    if not levels or min(levels) < 1:
        raise UsageError(f"levels {tuple(levels)} came; expected 1 (large), 2 (medium) or more")
    photos = photos.subset(np.array([i for i, label in enumerate(photos.labels) if label in paths], dtype=np.intp))
    trees = [{label: category_at(paths[label], level) for label in set(photos.labels)} for level in levels]
    for level, tree in zip(levels, trees, strict=True):
        if len(set(tree.values())) < 2:
            raise NotEnoughData(f"level {level} of the category tree has {len(set(tree.values()))} categories, needs 2")
    with threadpool_limits(BLAS_THREADS, user_api="blas"):
        fitted = []
        for fold in scene_folds(photos, split, settings.seed, seen):
            progress(f"fold {fold.number + 1}/{split.folds}: flat")
            fitted.append(_fit_fold(photos, split, fold, trees, settings, progress))
        flat = vote_on(_flat(photos, fitted), split.folds)
        return [
            {"level": level, **_level_row(photos, split, fitted, place, tree, flat)}
            for place, (level, tree) in enumerate(zip(levels, trees, strict=True))
        ]


def _fit_fold(
    photos: TrainingPhotos,
    split: Split,
    fold: Fold,
    trees: Sequence[Mapping[str, str]],
    settings: CrossFitSettings,
    progress: Progress,
) -> _Fitted:
    learned = trainable(photos, split)
    flat = _fit_at(photos.subset(fold.fitted), photos.subset(fold.held), learned, settings)
    levels = []
    for tree in trees:
        names = sorted(set(tree.values()))
        progress(f"fold {fold.number + 1}/{split.folds}: {len(names)} categories")
        by_category = replace(photos, labels=tuple(tree[label] for label in photos.labels))
        upper = _fit_at(
            by_category.subset(fold.fitted), by_category.subset(fold.held), trainable(by_category, split), settings
        )
        own = {name: _own(photos, fold, frozenset(_labels_of(tree, name)), learned, flat, settings) for name in names}
        levels.append(_Level(_with_memory(upper, by_category.subset(fold.training)), own))
    return _Fitted(fold, _with_memory(flat, photos.subset(fold.training)), levels)


def _labels_of(tree: Mapping[str, str], category: str) -> list[str]:
    return sorted(label for label, own in tree.items() if own == category)


def _own(
    photos: TrainingPhotos,
    fold: Fold,
    labels: frozenset[str],
    learned: frozenset[str],
    flat: _Fit,
    settings: CrossFitSettings,
) -> Ask:
    """The classifiers of one category; a single label needs none."""
    if len(labels) == 1:
        return _the_only(next(iter(labels)))
    fitted, held, memory = (
        photos.subset(np.array([i for i in rows if photos.labels[i] in labels], dtype=np.intp))
        for rows in (fold.fitted, fold.held, fold.training)
    )
    if len(held) >= LEAST_VALIDATION:
        fit = _fit_at(fitted, held, learned & labels, settings)
    else:
        fit = _as_flat(memory, learned & labels, flat, settings)
    models = _with_memory(fit, memory)
    return lambda vectors: ask(models, vectors)


def _the_only(label: str) -> Ask:
    row = tuple(Prediction(name, (Scored(label, 1.0),), frozenset({label})) for name in CLASSIFIER_NAMES)
    return lambda vectors: [row] * len(vectors)


def _as_flat(memory: TrainingPhotos, taught: frozenset[str], flat: _Fit, settings: CrossFitSettings) -> _Fit:
    """Fitted on all of the category's photos with the C and the steps of the flat classifiers."""
    photos = memory.subset(np.array([i for i, label in enumerate(memory.labels) if label in taught], dtype=np.intp))
    if flat.fcn is None or len(set(photos.labels)) < 2:
        return _Fit(None, None, flat.c, (), {})
    augmented = photos.augmented()
    fcn = fit_fcn(augmented, None, replace(settings.fcn, max_steps=flat.fcn.best_steps, patience=0))
    return _Fit(fcn, fit_svm(*augmented, flat.c), flat.c, (), {})


def _flat(photos: TrainingPhotos, fitted: Sequence[_Fitted]) -> list[Judged]:
    return [
        photo
        for part in fitted
        for photo in judged(
            photos, part.fold.asked, part.fold.number, ask(part.flat, photos.originals[part.fold.asked])
        )
    ]


def _level_row(
    photos: TrainingPhotos,
    split: Split,
    fitted: Sequence[_Fitted],
    place: int,
    tree: Mapping[str, str],
    flat: Sequence[VotedPhoto],
) -> dict[str, Any]:
    by_category = replace(photos, labels=tuple(tree[label] for label in photos.labels))
    recognised: list[Judged] = []
    for part in fitted:
        rows = part.fold.asked
        predictions = ask(part.levels[place].upper, photos.originals[rows])
        recognised += judged(by_category, rows, part.fold.number, predictions)
    upper = vote_on(recognised, split.folds)
    routes = {(p.photo.content_hash, p.photo.fold): p.ranked["vote"][0] for p in upper}
    ways: dict[str, list[Judged]] = {"flat_given": [], "per_category_given": [], "per_category_predicted": []}
    for part in fitted:
        rows, number = part.fold.asked, part.fold.number
        given = [by_category.labels[i] for i in rows]
        predicted = [routes[photos.hashes[i], number] for i in rows]
        own, vectors = part.levels[place].own, photos.originals[rows]
        narrowed: dict[str, Ask] = {
            name: _narrowed(part.flat, frozenset(_labels_of(tree, name))) for name in sorted(set(given))
        }
        for way, asks, categories in (
            ("flat_given", narrowed, given),
            ("per_category_given", own, given),
            ("per_category_predicted", own, predicted),
        ):
            ways[way] += judged(photos, rows, number, _routed(asks, categories, vectors))
    arms = {"flat": list(flat), **{way: vote_on(rows, split.folds) for way, rows in ways.items()}}
    sizes = Counter(tree.values())
    among_five = [sizes[tree[photo.truth]] <= 5 for photo in flat]
    return {
        "categories": len(sizes),
        "labels": len(tree),
        "photos": len(flat),
        "largest_category": max(sizes.values()),
        "photos_among_five": float(np.mean(among_five)),
        "category": table(upper),
        "arms": {way: table(voted) for way, voted in arms.items()},
        "differences": {f"{a} - {b}": differences(arms[a], arms[b]) for a, b in COMPARED},
    }


def _narrowed(models: Sequence[Classifier], labels: frozenset[str]) -> Ask:
    return lambda vectors: ask(models, vectors, labels)


def _routed(asks: Mapping[str, Ask], categories: Sequence[str], vectors: Float32) -> list[tuple[Prediction, ...]]:
    """Each photo asked of its category's classifiers, a category at a time; in the order of the photos."""
    found: list[tuple[Prediction, ...]] = [()] * len(vectors)
    names: NDArray[np.str_] = np.array(categories, dtype=np.str_)
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        for row, prediction in zip(rows, asks[str(name)](vectors[rows]), strict=True):
            found[row] = prediction
    return found
