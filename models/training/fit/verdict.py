"""Fitting the verdict: a logistic model of "is in the catalogue" and two thresholds on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.training.crossfit import Judged
from models.verdict import SIGNS, Verdict, VerdictSettings, signs
from models.vote import Vote

LEAST_PHOTOS_TO_FIT_VERDICT = 100
"""Known and foreign photos each; below, ``VerdictSettings.prior()`` is used. New ones do not count: they are known
photos asked again with their labels hidden, and the thresholds are chosen without them."""

MAX_FALSE_REJECT = 0.08
MAX_UNSURE_KNOWN = 0.12
"""Bounds in fitting. The promised ones are 0.10 and 0.15; the gap pays for the change of place."""

COST_UNSURE = 0.25
"""An *unsure* counts a quarter of a wrong verdict: it costs the shopper one look more."""


def fit_verdict(
    known: Sequence[Judged], new: Sequence[Judged], foreign: Sequence[Judged], vote: Vote
) -> VerdictSettings:
    """Fit on judged photos; known and new are in the catalogue, foreign are not.

    The classes weigh the same in total; thresholds come from the photos themselves (two numbers
    from hundreds of photos).
    """
    named, outside = _rows(known, vote), _rows(foreign, vote)
    if min(len(named), len(outside)) < LEAST_PHOTOS_TO_FIT_VERDICT:
        return VerdictSettings.prior()
    inside = np.concatenate([named, _rows(new, vote)])
    rows = np.concatenate([inside, outside])
    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    mean, scale = _moments(rows)
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
    model.fit(np.nan_to_num((rows - mean) / scale), truth)
    settings = VerdictSettings(
        mean=tuple(map(float, mean)),
        scale=tuple(map(float, scale)),
        coefficients=tuple(map(float, model.coef_[0])),
        intercept=float(model.intercept_[0]),
        low=0.0,
        high=1.0,
        calibrated=True,
    )
    judge = Verdict(settings)
    low, high = choose_thresholds(judge.probabilities(named), judge.probabilities(outside))
    return VerdictSettings(settings.mean, settings.scale, settings.coefficients, settings.intercept, low, high, True)


def choose_thresholds(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> tuple[float, float]:
    """(low, high) with the least cost within the bounds.

    inside, outside: probabilities of known and of foreign photos. Cost: false_accept + false_reject +
    COST_UNSURE * (unsure_known + unsure_foreign), searched over 101 quantiles of ``inside`` a threshold.
    """
    grid = np.unique(np.concatenate([[0.0], np.quantile(inside, np.linspace(0.0, 0.5, 101))]))
    below_in = np.array([(inside < t).mean() for t in grid])
    below_out = np.array([(outside < t).mean() for t in grid])
    best, chosen = np.inf, (0.0, 0.0)
    for i in range(len(grid)):
        if below_in[i] > MAX_FALSE_REJECT:
            break
        for j in range(i, len(grid)):
            unsure_in, unsure_out = below_in[j] - below_in[i], below_out[j] - below_out[i]
            if unsure_in > MAX_UNSURE_KNOWN:
                break
            cost = (1.0 - below_out[j]) + below_in[i] + COST_UNSURE * (unsure_in + unsure_out)
            if cost < best:
                best, chosen = cost, (float(grid[i]), float(grid[j]))
    return chosen


def _rows(judged: Sequence[Judged], vote: Vote) -> NDArray[np.float64]:
    """Signs (n, 6) of the photos that got any candidate."""
    rows = [
        signs(photo.predictions, ranking)
        for photo, ranking in ((photo, vote.merge(photo.predictions)) for photo in judged)
        if ranking.candidates
    ]
    return np.array(rows).reshape(-1, len(SIGNS))


def _moments(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and spread a sign over the photos that have it; 0 and 1 where none does."""
    present = ~np.isnan(rows)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, rows, 0.0).sum(axis=0) / count
    scale = np.sqrt((np.where(present, rows - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(scale > 1e-9, scale, 1.0)
