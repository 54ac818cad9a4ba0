"""Two sets of weights on the same photos, neither of which was trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.classifiers.base import Classifier
from models.classifiers.exact import ExactNeighbours
from models.classifiers.fcn import FcnClassifier
from models.classifiers.knn import KnnClassifier
from models.training.finetune.photos import ChosenPhotos
from models.training.fit.softmax import fit_softmax
from models.training.measures import summary, without_nan
from models.values import Float32

C_GRID: Final = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Strengths of the probe tried on the validation photos."""

C_UNCHOSEN: Final = 0.3
"""Where there are none to try them on."""

DRAWS: Final = 2000
MEASURES: Final = ("top1", "top5", "macro_f1")
_Figures = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What one set of weights makes of the judged photos: by classifier (``probe``, ``knn``), the labels named for
    each photo, best first, five at most. probe: the fitted softmax."""

    ranked: Mapping[str, list[list[str]]]
    probe: FcnClassifier


def fit_probe(taught: tuple[Float32, Sequence[str]], choosing: tuple[Float32, Sequence[str]]) -> FcnClassifier:
    """The softmax that measures weights; its strength is the one with the best Top-1 on the validation photos, the
    strongest penalty among equals.

    taught, choosing: (bottlenecks (n, 2048), n labels) each; ``choosing`` may be empty.
    """
    if not len(choosing[1]):
        return fit_softmax(*taught, C_UNCHOSEN)
    truth = list(choosing[1])
    best, top = None, -1.0
    for c in C_GRID:
        probe = fit_softmax(*taught, c)
        found = np.mean([named[:1] == [label] for named, label in zip(_named(probe, choosing[0]), truth, strict=True)])
        if float(found) > top:
            best, top = probe, float(found)
    assert best is not None
    return best


def answer(photos: ChosenPhotos, vectors: Float32) -> Answers:
    """Fit on the taught photos, choose by the choosing ones, answer for the judged ones.

    vectors: float32 (n, 2048), bottlenecks of ``photos.all`` in that order.
    """
    first, second = len(photos.taught), len(photos.taught) + len(photos.choosing)
    taught = (vectors[:first], [photo.label for photo in photos.taught])
    probe = fit_probe(taught, (vectors[first:second], [photo.label for photo in photos.choosing]))
    models: dict[str, Classifier] = {"probe": probe, "knn": KnnClassifier(ExactNeighbours(*taught))}
    return Answers({name: _named(model, vectors[second:]) for name, model in models.items()}, probe)


def compare(before: Answers, after: Answers, photos: ChosenPhotos, seed: int = 0) -> dict[str, Any]:
    """The figures of both and their differences.

    Returns ``{photos, scenes, labels, seen_before, probe|knn: {before, after, difference}}``. ``before`` and
    ``after`` are ``{top1, top5, macro_f1}`` in 0..1, ``difference`` has ``{mean, low, high}`` of each: after minus
    before with a 95 % interval over scenes. Photos of one scene stand or fall together, so scenes are drawn with
    replacement (the cluster bootstrap, Field and Welsh, JRSS B 69, 2007; percentiles of 2,000 draws).
    None where there are no photos to judge, and bounds are None where there is but one scene.
    """
    truth = [photo.label for photo in photos.judged]
    scenes = len(np.unique(photos.scenes))
    result: dict[str, Any] = {
        "photos": len(truth),
        "scenes": scenes,
        "labels": len(set(truth)),
        "seen_before": photos.seen_before,
    }
    weights = _drawn_weights(photos.scenes, seed) if scenes > 1 else None
    for name in before.ranked:
        result[name] = _row(before.ranked[name], after.ranked[name], truth, weights) if truth else None
    return result


def outcome(comparison: Mapping[str, Any]) -> str:
    """``better``, ``worse`` or ``no difference shown``, by the probe's Top-1; ``not measured`` without photos."""
    row = comparison["probe"]
    if row is None or row["difference"]["top1"]["low"] is None:
        return "not measured"
    bounds = row["difference"]["top1"]
    if bounds["low"] > 0:
        return "better"
    return "worse" if bounds["high"] < 0 else "no difference shown"


def table_lines(comparison: Mapping[str, Any]) -> list[str]:
    """The comparison for people."""
    if comparison["probe"] is None:
        return ["no calibration or test photo is left to compare on: the gain is unknown"]
    told = [
        f"{comparison['photos']} photos of {comparison['scenes']} scenes that neither weights were trained on:",
        f"{'':18}{'before':>8}{'after':>8}   difference, 95 % interval over scenes",
    ]
    for name, title in (("probe", "softmax"), ("knn", "k-NN")):
        row = comparison[name]
        for measure, shown in zip(MEASURES, ("Top-1", "Top-5", "macro-F1"), strict=True):
            gap = row["difference"][measure]
            bounds = f"  ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f})" if gap["low"] is not None else ""
            told.append(
                f"{title:8}{shown:10}{100 * row['before'][measure]:8.1f}{100 * row['after'][measure]:8.1f}"
                f"   {100 * gap['mean']:+.1f}{bounds}"
            )
    return told


def _named(model: Classifier, vectors: Float32) -> list[list[str]]:
    return [[scored.label for scored in prediction.ranked] for prediction in model.predict(vectors)]


def _row(
    before: list[list[str]], after: list[list[str]], truth: Sequence[str], weights: _Figures | None
) -> dict[str, Any]:
    figures = [summary(ranked, truth) for ranked in (before, after)]
    low = high = [float("nan")] * len(MEASURES)
    if weights is not None:
        gaps = _drawn_figures(after, truth, weights) - _drawn_figures(before, truth, weights)
        low, high = (list(row) for row in np.percentile(gaps, (2.5, 97.5), axis=0))
    difference = {
        measure: without_nan({"mean": figures[1][measure] - figures[0][measure], "low": low[i], "high": high[i]})
        for i, measure in enumerate(MEASURES)
    }
    return {"before": figures[0], "after": figures[1], "difference": difference}


def _drawn_weights(scenes: NDArray[np.intp], seed: int) -> _Figures:
    """(draws, n): how often each photo's scene is in each draw."""
    names, codes = np.unique(scenes, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    return counts[:, codes].astype(float)


def _drawn_figures(ranked: Sequence[Sequence[str]], truth: Sequence[str], weights: _Figures) -> _Figures:
    """(draws, 3): Top-1, Top-5 and macro-F1 of each draw, as ``models.training.measures`` defines them."""
    names = {label: code for code, label in enumerate(sorted(set(truth)))}
    own = np.array([names[label] for label in truth])
    # A first label that no judged photo has is nobody's false alarm; it gets a column of its own, left out below.
    first = np.array([names.get(labels[0], len(names)) if labels else len(names) for labels in ranked])
    within = np.array([label in labels[:5] for labels, label in zip(ranked, truth, strict=True)])
    total = weights.sum(axis=1)
    figures = np.empty((len(weights), len(MEASURES)))
    figures[:, 0] = weights @ (first == own) / total
    figures[:, 1] = weights @ within / total
    for draw, weight in enumerate(weights):
        support = np.bincount(own, weight, len(names))
        named = np.bincount(first, weight, len(names) + 1)[: len(names)]
        right = np.bincount(own, weight * (first == own), len(names))
        present = support > 0
        figures[draw, 2] = (2 * right[present] / (support + named)[present]).mean()
    return figures
