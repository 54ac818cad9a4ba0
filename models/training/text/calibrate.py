"""Fitting temperatures, the threshold of "hard to tell", and the trust in sources, on rows that taught nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from models.multimodal.calibration import AT_HAND, ONLY_BOTH, AtHand, Calibration, Float64
from models.multimodal.names import normalise
from models.multimodal.sources import Malls, mall_key
from models.training.text.rows import UNKNOWN, Codes

PRECISION: Final = 0.97
"""Of what is answered, the share that should be right."""

LEAST_ROWS: Final = 100
"""Rows below which nothing is fitted."""

_Z: Final = 1.645
"""One-sided 95 %: the threshold is set so that chance alone rarely puts the precision below what is promised."""

_STRENGTHS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_BOUNDS: Final = (0.05, 20.0)


def fit_temperature(logits: Float64, codes: Codes) -> float:
    """The divisor of the logits that makes the true answers most likely; 1 with fewer than ``LEAST_ROWS`` rows.

    logits: (n, answers). codes: intp (n,), rows with ``UNKNOWN`` are left out.
    """
    known = codes != UNKNOWN
    if known.sum() < LEAST_ROWS:
        return 1.0
    told, truth = logits[known].astype(np.float64), codes[known]
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(told / np.exp(log_temperature), axis=1)[rows, truth].mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(_BOUNDS)), method="bounded")
    return float(np.exp(found.x))


def fit_threshold(confidence: Float64, right: NDArray[np.bool_], precision: float = PRECISION) -> float:
    """The lowest threshold above which the lower bound of the precision (Wilson, one-sided 95 %) is ``precision``.

    confidence: 0..1 (n,). Where no threshold reaches it, the one with the highest bound.
    """
    order = np.argsort(-confidence, kind="stable")
    sure, hits = confidence[order], np.cumsum(right[order])
    count = np.arange(1, len(order) + 1)
    bounds = _wilson(hits / count, count)
    ends = np.append(np.flatnonzero(np.diff(sure) < 0), len(sure) - 1)  # equal confidences stay together
    reached = ends[bounds[ends] >= precision]
    return float(sure[reached[-1]] if len(reached) else sure[ends[bounds[ends].argmax()]])


def _wilson(share: Float64, count: NDArray[np.int_]) -> Float64:
    """Lower end of Wilson's score interval."""
    middle = share + _Z**2 / (2 * count)
    half = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return np.asarray((middle - half) / (1 + _Z**2 / count))


def fit_views(told: Mapping[AtHand, Float64], codes: Codes) -> tuple[dict[AtHand, float], float]:
    """(how much each view counts, together 1; the temperature of their weighted sum) that make the true answers of rows
    with name and picture most likely; the view of both alone, with its temperature, below ``LEAST_ROWS`` rows.

    told: logits (n, answers) of each view.
    """
    known = codes != UNKNOWN
    if known.sum() < LEAST_ROWS:
        return dict(ONLY_BOTH), fit_temperature(told["both"], codes)
    views = np.stack([told[kind][known].astype(np.float64) for kind in AT_HAND])
    truth = codes[known]
    rows = np.arange(len(truth))

    def loss(weights: Float64) -> tuple[float, Float64]:
        log = log_softmax(np.tensordot(weights, views, axes=1), axis=1)
        gap = np.exp(log)
        gap[rows, truth] -= 1.0
        return -float(log[rows, truth].mean()), (views * gap).sum(axis=2).mean(axis=1)

    found = minimize(loss, np.array([0.3, 0.3, 0.4]), jac=True, method="L-BFGS-B", bounds=[(0.0, 20.0)] * 3)
    total = max(float(found.x.sum()), 1.0 / _BOUNDS[1])
    return {kind: float(weight) / total for kind, weight in zip(AT_HAND, found.x, strict=True)}, 1.0 / total


def fit_calibration(
    alone: Mapping[AtHand, tuple[Float64, Codes]],
    together: tuple[Mapping[AtHand, Float64], Codes],
    untold: tuple[Mapping[AtHand, Float64], Codes],
) -> Calibration:
    """Without a threshold yet (0). alone: logits and true codes of validation rows shown by name, and by picture.
    together: logits of each view, and codes, of those that have both; untold: the same with their names masked.
    """
    views, temperature = fit_views(*together)
    bare, bare_temperature = fit_views(*untold)
    temperatures: dict[AtHand, float] = {
        "name": fit_temperature(*alone["name"]),
        "image": fit_temperature(*alone["image"]),
        "both": temperature,
    }
    scaled = {view: weight * temperature / bare_temperature for view, weight in bare.items()}
    return Calibration(temperatures, 0.0, True, views, scaled)


def count_malls(
    sources: Sequence[str | None], mall_categories: Sequence[str | None], codes: Codes, answers: int
) -> Malls:
    """What each mall category's products are, by training rows. No source is trusted yet."""
    prior = np.bincount(codes[codes != UNKNOWN], minlength=answers) + 1.0
    keys = [mall_key(source, named) for source, named in zip(sources, mall_categories, strict=True)]
    places = {key: row for row, key in enumerate(sorted({key for key in keys if key is not None}))}
    counts = np.zeros((len(places), answers))
    for key, code in zip(keys, codes, strict=True):
        if key is not None and code != UNKNOWN:
            counts[places[key], code] += 1.0
    return Malls(places, counts, prior / prior.sum())


def fit_trust(
    malls: Malls,
    probabilities: Float64,
    rows: tuple[Sequence[str | None], Sequence[str | None], Codes],
    threshold: float,
) -> Malls:
    """Trust each source by how rarely its products are hard to tell.

    trust = strength (1 - hard_s) / (1 - hard), at most 1, where hard_s is the share of the source's validation rows
    below the threshold (drawn towards the overall share by ten rows), and the strength is what makes the true types
    most likely. probabilities: float64 (n, answers), calibrated, of validation rows without their mall category. rows:
    their sources, mall categories and codes. threshold: of "hard to tell".
    """
    sources, mall_categories, codes = rows
    known = codes != UNKNOWN
    if not malls.keys or known.sum() < LEAST_ROWS:
        return malls
    named = np.array([normalise(source or "") for source in sources], dtype=np.str_)
    hard = probabilities.max(axis=1) < threshold
    overall = float(hard.mean())
    relative: dict[str, float] = {}
    for source in np.unique(named):
        of_source = hard[named == source]
        share = (of_source.sum() + 10.0 * overall) / (len(of_source) + 10.0)
        relative[str(source)] = float((1.0 - share) / max(1.0 - overall, 1e-6))
    keys = [mall_key(source, category) for source, category in zip(sources, mall_categories, strict=True)]
    evidence = malls.evidence(keys) * np.array([relative[str(source)] for source in named])[:, None]
    log = np.log(np.maximum(probabilities, 1e-30))
    truth = codes[known]

    def likelihood(strength: float) -> float:
        told = log_softmax(log[known] + strength * evidence[known], axis=1)
        return float(told[np.arange(len(truth)), truth].mean())

    strength = max(_STRENGTHS, key=likelihood)
    trust = {source: min(1.0, strength * value) for source, value in relative.items()}
    return Malls(malls.keys, malls.counts, malls.prior, trust, strength)
