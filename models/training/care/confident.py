"""Confident learning: which labels are probably wrong, from cross-validated probabilities.

After Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021):
a threshold a label (the mean probability of the label over the photos that bear it), the confident joint of given and
true labels, suspects where the two differ, ranked by normalised margin. Written from the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError

LEAST_TO_JUDGE: Final = 3
"""Photos a label needs before any of them is suspected: two cannot say which of them is wrong."""

Codes = NDArray[np.intp]
Probabilities = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Photos whose label is probably wrong, the most suspicious first.

    rows: intp (m,), places among the photos judged. suggested: intp (m,), the label each is confidently taken for.
    margins: float64 (m,), normalised margin of the given label, 0..1; small is suspicious.
    noise: estimated share of wrong labels among all photos, 0..1.
    """

    rows: Codes
    suggested: Codes
    margins: NDArray[np.float64]
    noise: float


def thresholds(probabilities: Probabilities, given: Codes) -> NDArray[np.float64]:
    """(L,): how sure the classifier is of a label, on average over the photos that bear it.

    Infinite for labels with fewer than ``LEAST_TO_JUDGE`` photos: judged without themselves these get almost nothing,
    and a threshold of almost nothing would claim every photo of the catalogue.
    """
    own = probabilities[np.arange(len(given)), given]
    counts = np.bincount(given, minlength=probabilities.shape[1])
    sums = np.bincount(given, weights=own, minlength=probabilities.shape[1])
    return np.asarray(np.where(counts >= LEAST_TO_JUDGE, sums / np.maximum(counts, 1), np.inf))


def confident_labels(probabilities: Probabilities, given: Codes) -> NDArray[np.intp]:
    """(n,): the most probable of the labels whose threshold a photo reaches; the given one where it reaches none.

    The given one also where that is more probable than the label found: that the other label's threshold is low is no
    reason to doubt it. The paper counts such photos as doubtful; with few photos a label that means most of them.
    """
    best, reached = _reached(probabilities, given)
    rows = np.arange(len(given))
    doubted = reached & (probabilities[rows, best] > probabilities[rows, given])
    return np.asarray(np.where(doubted, best, given), dtype=np.intp)


def confident_joint(probabilities: Probabilities, given: Codes) -> NDArray[np.float64]:
    """(L, L): estimated joint distribution of given (rows) and true labels (columns); sums to 1.

    Counts of confident labels, each row scaled to its label's number of photos (the paper's equation 3); a label
    without confident photos counts as right.
    """
    size = probabilities.shape[1]
    counted = _reached(probabilities, given)[1]
    joint = np.zeros((size, size))
    np.add.at(joint, (given[counted], confident_labels(probabilities, given)[counted]), 1.0)
    bearing = np.bincount(given, minlength=size).astype(float)
    alone = np.flatnonzero((joint.sum(axis=1) == 0) & (bearing > 0))
    joint[alone, alone] = 1.0
    joint *= (bearing / np.maximum(joint.sum(axis=1), 1.0))[:, None]
    return np.asarray(joint / max(joint.sum(), 1.0))


def _reached(probabilities: Probabilities, given: Codes) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(the most probable of the labels whose threshold each photo reaches, whether it reaches any)."""
    reached = np.where(probabilities >= thresholds(probabilities, given), probabilities, -1.0)
    return np.asarray(reached.argmax(axis=1), dtype=np.intp), np.asarray(reached.max(axis=1) >= 0.0)


def normalised_margins(probabilities: Probabilities, given: Codes) -> NDArray[np.float64]:
    """(n,): probability of the given label minus that of the best other one, moved to 0..1; 1 where L is 1."""
    rows = np.arange(len(given))
    others = probabilities.copy()
    others[rows, given] = 0.0
    return np.asarray((probabilities[rows, given] - others.max(axis=1) + 1.0) / 2.0)


def find_suspects(probabilities: Probabilities, given: Codes) -> Suspects:
    """Photos whose confident label is another than the given one (the off-diagonal of the confident joint).

    probabilities: float64 (n, L), of each photo's labels by models that were not fitted on the photo, rows summing
        to 1. given: intp (n,), the labels they bear. Equal margins are ordered by row. Labels with fewer than
        ``LEAST_TO_JUDGE`` photos are not judged.
    :raise UsageError: shapes that do not fit, or NaN.
    """
    if probabilities.ndim != 2 or len(probabilities) != len(given) or not np.isfinite(probabilities).all():
        raise UsageError(
            f"expected finite probabilities (n, labels) and n labels, got {probabilities.shape} and {len(given)}"
        )
    if not len(given):
        return Suspects(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0), 0.0)
    judged = np.bincount(given, minlength=probabilities.shape[1])[given] >= LEAST_TO_JUDGE
    confident = confident_labels(probabilities, given)
    margins = normalised_margins(probabilities, given)
    rows = np.flatnonzero(judged & (confident != given))
    rows = rows[np.argsort(margins[rows], kind="stable")]
    noise = 1.0 - float(np.trace(confident_joint(probabilities, given)))
    return Suspects(rows, confident[rows], margins[rows], max(0.0, noise))


def precision_at_recall(order: Codes, wrong: NDArray[np.bool_], recall: float = 0.5) -> float:
    """Share of truly wrong photos among the first of a ranking, cut where it has found ``recall`` of all of them.

    order: intp (n,), a permutation, most suspicious first. wrong: bool (n,). NaN where no label is wrong.
    """
    total = int(wrong.sum())
    if not total:
        return float("nan")
    found = np.cumsum(wrong[order])
    cut = int(np.searchsorted(found, np.ceil(recall * total)))
    return float(found[cut] / (cut + 1))
