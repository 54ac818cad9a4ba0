"""The yardstick: what a backbone's weights are worth, with the network frozen.

Three probes on the bottlenecks of the originals alone: a softmax, a linear SVM, and the nearest photos. The
strength of the first two is chosen by scene-grouped cross-validation within the training photos; the test photos
are looked at once. Photos that the weights were trained on are never mixed with the others: figures count the
unseen ones, and those seen are reported apart.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from models.classifiers.base import Classifier
from models.classifiers.exact import ExactNeighbours
from models.classifiers.knn import KnnClassifier
from models.errors import NotEnoughData
from models.training.data import TrainingPhotos
from models.training.fit.softmax import SOFTMAX_C_GRID, fit_softmax
from models.training.fit.svm import fit_svm
from models.training.measures import spread, summary
from models.training.splits import FOLDS
from models.values import Float32

Progress = Callable[[str], None]
Ranked = list[list[str]]
"""The labels named for each photo, best first."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A classifier to measure by. fit: (vectors (n, 2048), n labels, C) -> classifier. grid: the C to try; one
    value means that there is nothing to choose."""

    name: str
    fit: Callable[[Float32, Sequence[str], float], Classifier]
    grid: tuple[float, ...]


SVM_C_GRID: Final = (3.0, 10.0, 30.0, 100.0, 300.0)
"""Higher than what training tries: without variants there is less to fit, and less penalty is better."""


def _nearest(vectors: Float32, labels: Sequence[str], c: float) -> Classifier:
    return KnnClassifier(ExactNeighbours(vectors, labels))


PROBES: Final[tuple[Probe, ...]] = (
    Probe("softmax", fit_softmax, SOFTMAX_C_GRID),
    Probe("svm", fit_svm, SVM_C_GRID),
    Probe("knn", _nearest, (1.0,)),
)
"""Softmax and SVM at the best C of their grids; k-NN names five distinct labels, each by its nearest photo."""


@dataclass(frozen=True, slots=True, eq=False)
class YardstickPhotos:
    """What to measure on, in one space.

    train, test: photos without variants; every test label has a training photo. folds: intp (n,), the fold of each
    training photo (``scene_folds``). seen: content hashes that the weights were trained on.
    """

    train: TrainingPhotos
    test: TrainingPhotos
    folds: NDArray[np.intp]
    seen: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Fold:
    """One fold: the rows to fit on, the rows to ask, and which of those the weights have seen."""

    training: NDArray[np.intp]
    asked: NDArray[np.intp]
    seen: NDArray[np.bool_]


def scene_folds(labels: Sequence[str], scenes: NDArray[np.intp], folds: int = FOLDS, seed: int = 0) -> NDArray[np.intp]:
    """The fold of each photo, 0..folds-1: whole scenes, labels spread evenly (scikit-learn's StratifiedGroupKFold).

    labels, scenes: n each.
    :raise NotEnoughData: fewer scenes than folds, or no label with that many photos.
    """
    counts = np.unique(np.array(labels, dtype=np.str_), return_counts=True)[1]
    if len(np.unique(scenes)) < folds or counts.max(initial=0) < folds:
        raise NotEnoughData(
            f"{len(np.unique(scenes))} scenes, at most {counts.max(initial=0)} photos a label: {folds} folds need as "
            "many scenes, and a label with as many photos; list more training photos"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = np.empty(len(labels), dtype=np.intp)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels with fewer photos than folds are nothing unusual here
        for fold, (_, members) in enumerate(splitter.split(np.zeros(len(labels)), list(labels), scenes)):
            found[members] = fold
    return found


def measure(photos: YardstickPhotos, progress: Progress = lambda line: None) -> dict[str, Any]:
    """The figures of every probe.

    Returns ``{seen_photos: {train, test}, softmax|svm: {c, ...}, knn: {...}}``; each probe has ``test`` with
    ``{top1, top5, macro_f1}`` and ``cross_validation`` with ``{mean, std}`` of each over the folds, both over
    photos the weights did not see and None where there are none, and ``seen`` with the same two over the others.
    A photo whose label has no photo in the other folds is not asked in the cross-validation. Each fold's figures
    come from the C that is best on the *other* folds; the test's from the one that is best on all.
    :raise NotEnoughData: fewer than two folds have photos to ask.
    """
    folds = _folds(photos)
    seen_test = np.array([h in photos.seen for h in photos.test.hashes], dtype=bool)
    result: dict[str, Any] = {
        "seen_photos": {"train": sum(h in photos.seen for h in photos.train.hashes), "test": int(seen_test.sum())}
    }
    for probe in PROBES:
        progress(f"{probe.name}: cross-validation")
        ranked = {c: [_ask(probe, c, photos.train, fold) for fold in folds] for c in sorted(probe.grid)}
        best = _best_c(photos.train, folds, ranked)
        progress(f"{probe.name}: test")
        final = probe.fit(*photos.train.plain(), best)
        named = _named(final, photos.test.originals)
        row: dict[str, Any] = {"c": best} if len(probe.grid) > 1 else {}
        row |= _figures(photos, folds, ranked, (named, ~seen_test), seen=False)
        row["seen"] = _figures(photos, folds, ranked, (named, seen_test), seen=True)
        result[probe.name] = row
    return result


def _folds(photos: YardstickPhotos) -> list[_Fold]:
    labels, folds = photos.train.labels, []
    for fold in range(int(photos.folds.max(initial=-1)) + 1):
        training = np.flatnonzero(photos.folds != fold)
        taught = {labels[i] for i in training}
        asked = np.array([i for i in np.flatnonzero(photos.folds == fold) if labels[i] in taught], dtype=np.intp)
        if len(asked):
            folds.append(_Fold(training, asked, np.array([photos.train.hashes[i] in photos.seen for i in asked])))
    if len(folds) < 2:
        raise NotEnoughData(
            "no label has training photos of two scenes, so nothing can be cross-validated; list photos taken at "
            "several places or moments"
        )
    return folds


def _ask(probe: Probe, c: float, train: TrainingPhotos, fold: _Fold) -> Ranked:
    model = probe.fit(*train.subset(fold.training).plain(), c)
    return _named(model, train.originals[fold.asked])


def _named(model: Classifier, vectors: Float32) -> Ranked:
    return [[scored.label for scored in prediction.ranked] for prediction in model.predict(vectors)]


def _best_c(
    train: TrainingPhotos, folds: Sequence[_Fold], ranked: dict[float, list[Ranked]], without: int | None = None
) -> float:
    """The C with the best mean Top-1 over the folds but ``without``; the smallest among equals.

    Judged by the photos the weights have not seen, wherever there are any: on those they know by heart, every C
    looks good.
    """
    unseen_only = not all(fold.seen.all() for fold in folds)

    def score(c: float) -> float:
        rows = [
            _summary(train, fold, named, ~fold.seen if unseen_only else np.ones(len(fold.asked), dtype=bool))
            for i, (fold, named) in enumerate(zip(folds, ranked[c], strict=True))
            if i != without
        ]
        tops = [row["top1"] for row in rows if row is not None]
        return float(np.mean(tops)) if tops else 0.0

    return max(sorted(ranked), key=score)  # max keeps the first of equals


def _figures(
    photos: YardstickPhotos,
    folds: Sequence[_Fold],
    ranked: dict[float, list[Ranked]],
    test: tuple[Ranked, NDArray[np.bool_]],
    *,
    seen: bool,
) -> dict[str, Any]:
    """``{test, cross_validation}`` over the photos that the weights saw, or did not."""
    rows = []
    for i, fold in enumerate(folds):
        c = _best_c(photos.train, folds, ranked, without=i)
        rows.append(_summary(photos.train, fold, ranked[c][i], fold.seen == seen))
    counted = [row for row in rows if row is not None]
    named, chosen = test
    return {
        "test": _chosen_summary(named, photos.test.labels, chosen),
        "cross_validation": {name: spread([row[name] for row in counted]) for name in counted[0]} if counted else None,
    }


def _summary(train: TrainingPhotos, fold: _Fold, named: Ranked, chosen: NDArray[np.bool_]) -> dict[str, float] | None:
    return _chosen_summary(named, [train.labels[i] for i in fold.asked], chosen)


def _chosen_summary(named: Ranked, truth: Sequence[str], chosen: NDArray[np.bool_]) -> dict[str, float] | None:
    rows = np.flatnonzero(chosen)
    return summary([named[i] for i in rows], [truth[int(i)] for i in rows]) if len(rows) else None
