"""Accuracy against the number of labels: the same training and measuring on random subsets of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.classifiers.base import Classifier
from models.classifiers.exact import ExactNeighbours
from models.classifiers.knn import KnnClassifier
from models.errors import NotEnoughData
from models.training.crossfit import CrossFitSettings, cross_fit, predict_all
from models.training.data import TrainingPhotos
from models.training.experiments.folds import merged, table, trainable, vote_on
from models.training.measures import summary
from models.training.splits import PhotoPlace, Split
from models.training.train import BLAS_THREADS, TrainingData, train
from models.values import BOTTLENECK_SIZE, Float32
from models.vote import Vote

COUNTS: Final[tuple[int, ...]] = (10, 20, 40)
RENDERED_COUNTS: Final[tuple[int, ...]] = (100, 200, 400, 800)
SEEDS: Final = 5
"""Random subsets a count; all labels together are one subset."""

_VIEW_FOLDS: Final = 4

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class RenderedPhotos:
    """Rendered products in one space: studio views to learn from, phone photos to ask about.

    view_numbers: intp (n,), which view each photo of ``views`` shows.
    """

    views: TrainingPhotos
    view_numbers: NDArray[np.intp]
    phones: TrainingPhotos


def accuracy_by_labels(
    photos: TrainingPhotos,
    split: Split,
    counts: Sequence[int] = COUNTS,
    seeds: int = SEEDS,
    settings: CrossFitSettings | None = None,
    progress: Progress = lambda line: None,
    *,
    seen: frozenset[str] = frozenset(),
) -> list[dict[str, Any]]:
    """A row a count, smallest first, and a last one with all labels.

    Labels with too few photos for FCN and SVM take no part. Subsets of one seed are nested: the ten are among the
    twenty. Each subset is cross-fitted on the split's own folds, by scene, the hold-out left out, and the vote of a
    fold fitted on the others. Photos in ``seen``, which the weights were trained on, teach but are not asked about.
    Returns ``{labels, seeds, photos, fcn|knn|svm|vote: {top1|top5|macro_f1: {mean, std, std_folds}}}`` each; photos is
    the mean number asked about; see ``folds.merged`` for the spreads.
    :raise NotEnoughData: fewer than two such labels, or no photo to ask about.
    :raise SplitError: a photo has no place in the split.
    """
    settings = replace(settings or CrossFitSettings(), hide_labels=False)
    names = sorted(trainable(photos, split))

    def run(subset: frozenset[str], seed: int) -> tuple[int, dict[str, Any]]:
        own = replace(settings, seed=seed, fcn=replace(settings.fcn, seed=seed))
        fit = cross_fit(_of(photos, subset), split, np.empty((0, BOTTLENECK_SIZE), np.float32), own)
        asked = [photo for photo in fit.known if photo.content_hash not in seen]
        return len(asked), table(vote_on(asked, split.folds))

    return _rows(names, counts, seeds, run, progress)


def rendered_accuracy(
    rendered: RenderedPhotos,
    counts: Sequence[int] = RENDERED_COUNTS,
    seeds: int = SEEDS,
    settings: CrossFitSettings | None = None,
    progress: Progress = lambda line: None,
) -> list[dict[str, Any]]:
    """The same on rendered products: trained on all studio views as a catalogue is, asked with phone photos.

    Vote, C and the FCN's steps come from cross-validation over the views (whole views held out), so no phone photo
    chooses anything. Rows as in ``accuracy_by_labels``; a seed has one set of phone photos, so ``std_folds`` is None.
    :raise NotEnoughData: fewer than two products.
    """
    settings = replace(settings or CrossFitSettings(), hide_labels=False)
    names = sorted(set(rendered.phones.labels))

    def run(subset: frozenset[str], seed: int) -> tuple[int, dict[str, Any]]:
        own = replace(settings, seed=seed, fcn=replace(settings.fcn, seed=seed))
        return _ask_phones(rendered, subset, own)

    return _rows(names, counts, seeds, run, progress)


def _rows(
    names: Sequence[str],
    counts: Sequence[int],
    seeds: int,
    run: Callable[[frozenset[str], int], tuple[int, dict[str, Any]]],
    progress: Progress,
) -> list[dict[str, Any]]:
    if len(names) < 2:
        raise NotEnoughData(f"{len(names)} labels have photos enough to be learned; at least 2 are needed")
    wanted = sorted({count for count in counts if 2 <= count < len(names)} | {len(names)})
    rows = []
    for count in wanted:
        tried = seeds if count < len(names) else 1
        asked, tables = [], []
        for seed in range(tried):
            progress(f"{count} labels, subset {seed + 1} of {tried}")
            chosen = np.random.default_rng(seed).permutation(len(names))[:count]
            with threadpool_limits(BLAS_THREADS, user_api="blas"):
                photos, found = run(frozenset(names[i] for i in chosen), seed)
            asked.append(photos)
            tables.append(found)
        rows.append({"labels": count, "seeds": tried, "photos": float(np.mean(asked)), **merged(tables)})
    return rows


def _ask_phones(
    rendered: RenderedPhotos, subset: frozenset[str], settings: CrossFitSettings
) -> tuple[int, dict[str, Any]]:
    chosen = np.array([label in subset for label in rendered.views.labels], dtype=bool)
    views = rendered.views.subset(np.flatnonzero(chosen))
    places = {
        h: PhotoPlace("train", int(number) % _VIEW_FOLDS, scene)
        for scene, (h, number) in enumerate(zip(views.hashes, rendered.view_numbers[chosen], strict=True))
    }
    none = np.empty((0, BOTTLENECK_SIZE), np.float32)
    trained = train(TrainingData(views, [None] * len(views), Split(places, _VIEW_FOLDS), none), settings)
    models: list[Classifier] = [KnnClassifier(ExactNeighbours(*views.plain()))]
    models += [model for model in (trained.fcn, trained.svm) if model is not None]
    phones = _of(rendered.phones, subset)
    return len(phones), _measured(models, Vote(trained.vote), phones.originals, list(phones.labels))


def _measured(models: Sequence[Classifier], vote: Vote, vectors: Float32, truth: list[str]) -> dict[str, Any]:
    rows = predict_all(models, vectors)
    named: dict[str, list[list[str]]] = {
        prediction.classifier: [[s.label for s in row[column].ranked] for row in rows]
        for column, prediction in enumerate(rows[0])
    }
    merged_lists = [[candidate.label for candidate in vote.merge(row).candidates] for row in rows]
    return {
        rule: {measure: {"mean": value, "std": None} for measure, value in summary(lists, truth).items()}
        for rule, lists in {**named, "vote": merged_lists}.items()
    }


def _of(photos: TrainingPhotos, labels: frozenset[str]) -> TrainingPhotos:
    return photos.subset(np.array([i for i, label in enumerate(photos.labels) if label in labels], dtype=np.intp))
