"""Fitting the vote on photos the classifiers never saw, and the rules it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from models.training.crossfit import Judged
from models.values import CLASSIFIER_NAMES, TOP_K, ClassifierName, Prediction
from models.vote import Vote, VoteSettings

LEAST_PHOTOS_TO_FIT_VOTE = 100
LEAST_LABELS_TO_FIT_VOTE = 5
"""Below either, ``VoteSettings.prior()`` is used and answers say ``calibrated: false``."""

_UNLISTED = 1e-3
"""Probability granted to a true label outside a classifier's list, so that no photo weighs infinitely."""

_SHRINK = 0.5
"""How far fitted weights are drawn towards equal ones: fitted weights alone rarely beat equal ones outside the
data they were fitted on (the combination puzzle: Clemen 1989; measured in docs/decisions/0005-vote.md)."""

Rule = Callable[[Sequence[Prediction]], list[str]]


def fit_vote(judged: Sequence[Judged]) -> VoteSettings:
    """Temperatures, weights, whether majority goes first, then the calibration of the first score.

    The prior where data is thin.

    judged: photos of known labels (truth given) by classifiers that never saw their scenes.
    """
    labels = {photo.truth for photo in judged}
    if len(judged) < LEAST_PHOTOS_TO_FIT_VOTE or len(labels) < LEAST_LABELS_TO_FIT_VOTE:
        return VoteSettings.prior()
    temperatures = {name: _temperature(judged, name) for name in CLASSIFIER_NAMES}
    scaled = replace(VoteSettings.prior(), temperatures=temperatures)
    weighted = replace(scaled, weights=_weights(judged, Vote(scaled)))
    weighted = replace(weighted, majority=_majority_first(judged, weighted))
    slope, intercept = _calibration(judged, Vote(weighted))
    return replace(weighted, slope=slope, intercept=intercept, calibrated=True)


def _majority_first(judged: Sequence[Judged], settings: VoteSettings) -> bool:
    """Whether the majority goes before support: yes, unless support alone finds clearly more first places.

    Clearly: by more than one standard error of the paired difference over the photos.
    """
    right = []
    for majority in (True, False):
        vote = Vote(replace(settings, majority=majority))
        firsts = [vote.merge(photo.predictions, 1).candidates for photo in judged]
        right.append([bool(f) and f[0].label == p.truth for f, p in zip(firsts, judged, strict=True)])
    gap = np.array(right[1], dtype=float) - np.array(right[0], dtype=float)
    return bool(gap.mean() <= gap.std(ddof=1) / np.sqrt(len(gap)))


def _temperature(judged: Sequence[Judged], name: ClassifierName) -> float:
    """Maximum likelihood of the true label within the classifier's list (Guo et al. 2017)."""
    prior = VoteSettings.prior()
    rows: list[list[float]] = []
    truth: list[int] = []
    for photo in judged:
        for prediction in photo.predictions:
            place = prediction.rank(photo.truth or "") if prediction.classifier == name else None
            if place is not None and len(prediction.ranked) == TOP_K:
                scores = [s.score for s in prediction.ranked]
                rows.append([float(np.log(max(s, 1e-12))) for s in scores] if name == "fcn" else scores)
                truth.append(place - 1)
    if len(rows) < LEAST_PHOTOS_TO_FIT_VOTE // 2:
        return prior.temperatures[name]
    logits, index = np.array(rows), np.array(truth)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(index)), index]).mean())

    centre = float(np.log(prior.temperatures[name]))
    return float(np.exp(minimize_scalar(loss, bounds=(centre - 4, centre + 4), method="bounded").x))


def _weights(judged: Sequence[Judged], vote: Vote) -> dict[ClassifierName, float]:
    """Maximum likelihood weights of the linear pool, by expectation maximisation, drawn towards equal ones."""
    table = np.full((len(judged), len(CLASSIFIER_NAMES)), np.nan)
    for i, photo in enumerate(judged):
        for prediction in photo.predictions:
            if prediction.ranked and prediction.knows(photo.truth or ""):
                belief = vote.evidence(prediction).get(photo.truth or "", 0.0)
                table[i, CLASSIFIER_NAMES.index(prediction.classifier)] = belief + _UNLISTED
    table = table[~np.isnan(table).any(axis=1)]
    if not len(table):
        return dict(VoteSettings.prior().weights)
    weights = np.full(len(CLASSIFIER_NAMES), 1.0 / len(CLASSIFIER_NAMES))
    for _ in range(500):
        share = table * weights
        share /= share.sum(axis=1, keepdims=True)
        weights = share.mean(axis=0)
    weights = (1.0 - _SHRINK) * weights + _SHRINK / len(CLASSIFIER_NAMES)
    return {name: float(w) for name, w in zip(CLASSIFIER_NAMES, weights, strict=True)}


def _calibration(judged: Sequence[Judged], vote: Vote) -> tuple[float, float]:
    """Platt scaling of the first candidate's support against whether it is right."""
    plain = Vote(replace(vote.settings, slope=1.0, intercept=0.0))
    support, right = [], []
    for photo in judged:
        ranking = plain.merge(photo.predictions, 1)
        if ranking.candidates:
            support.append(ranking.candidates[0].score)
            right.append(ranking.candidates[0].label == photo.truth)
    return fit_platt(np.array(support), np.array(right))


def fit_platt(support: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """(slope >= 0.05, intercept) by maximum likelihood, lightly drawn towards the identity."""
    clipped = np.clip(support, 1e-6, 1 - 1e-6)
    logit = np.log(clipped / (1 - clipped))
    sign = np.where(right, 1.0, -1.0)

    def loss(parameters: NDArray[np.float64]) -> float:
        slope, intercept = parameters
        fit = np.logaddexp(0.0, -sign * (slope * logit + intercept)).sum()
        return float(fit + 0.5 * ((slope - 1.0) ** 2 + intercept**2))

    found = minimize(loss, np.array([1.0, 0.0]), bounds=[(0.05, 20.0), (-20.0, 20.0)]).x
    return float(found[0]), float(found[1])


def single(name: ClassifierName) -> Rule:
    """The best five of one classifier."""

    def rule(predictions: Sequence[Prediction]) -> list[str]:
        return [s.label for p in predictions if p.classifier == name for s in p.ranked]

    return rule


def voted(settings: VoteSettings) -> Rule:
    """The vote with given settings."""
    vote = Vote(settings)

    def rule(predictions: Sequence[Prediction]) -> list[str]:
        return [candidate.label for candidate in vote.merge(predictions).candidates]

    return rule


def rank_sum(predictions: Sequence[Prediction]) -> list[str]:
    """Borda count: five points for a first place down to one for a fifth; ties by label."""
    points: dict[str, int] = {}
    for prediction in predictions:
        for place, scored in enumerate(prediction.ranked):
            points[scored.label] = points.get(scored.label, 0) + TOP_K - place
    return sorted(points, key=lambda label: (-points[label], label))[:TOP_K]


def rules(fitted: VoteSettings) -> dict[str, Rule]:
    """Every rule the report compares, by name; ``vote`` is the one that is served."""
    thirds: dict[ClassifierName, float] = dict.fromkeys(CLASSIFIER_NAMES, 1.0 / 3.0)
    return {
        "fcn": single("fcn"),
        "knn": single("knn"),
        "svm": single("svm"),
        "vote": voted(fitted),
        "majority_first": voted(replace(fitted, majority=True)),
        "support_only": voted(replace(fitted, majority=False)),
        "equal_weights": voted(replace(fitted, weights=thirds)),
        "rank_sum": rank_sum,
    }
