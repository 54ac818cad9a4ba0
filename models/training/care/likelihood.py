"""How likely each label is for each photo, judged from all the other photos: cross-validation with one photo a fold.

A ridge regression of the labels' indicator columns on the bottlenecks, whose leave-one-out predictions have a closed
form (the PRESS residuals: Allen 1974), so that n fits cost one. A classifier that must tell which of its own training
photos are wrong may know their scenes: photos of one scene are the best witnesses of each other's label. Folds by
scene, right for measuring recognition, find the same flipped labels far less well (docs/decisions/0020-data-care.md).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from models.errors import UsageError
from models.values import Float32

RIDGE: Final = 0.3
"""Penalty, in units of the vectors' mean variance times their number; 0.1 to 1 were alike, 3 and more worse."""

_LEAST: Final = 1e-4
"""Every label keeps this much before a photo's row is scaled to sum to 1: indicator regression goes below 0."""

_LEAST_RESIDUAL: Final = 1e-3


def leave_one_out(
    vectors: Float32, codes: NDArray[np.intp], n_labels: int, ridge: float = RIDGE
) -> NDArray[np.float64]:
    """Probabilities float64 (n, n_labels) of each photo's labels by a model that was fitted without the photo.

    vectors: float32 (n, d), bottlenecks. codes: intp (n,), each photo's label as a number below ``n_labels``.
    Rows are positive and sum to 1.
    :raise UsageError: fewer than two photos, or codes that do not fit.
    """
    n = len(vectors)
    if n < 2 or len(codes) != n or codes.min() < 0 or codes.max() >= n_labels:
        raise UsageError(f"expected at least 2 photos with label numbers below {n_labels}, got {n} and {len(codes)}")
    centred = vectors - vectors.mean(axis=0)
    gram = (centred.T @ centred).astype(np.float64)
    gram[np.diag_indices_from(gram)] += max(ridge * float(np.trace(gram)) / len(gram), 1e-9)
    solved = np.asarray(cho_solve(cho_factor(gram), centred.T.astype(np.float64)).T)
    given = np.zeros((n, n_labels))
    given[np.arange(n), codes] = 1.0
    mean = given.mean(axis=0)
    fitted = solved @ (centred.T.astype(np.float64) @ (given - mean)) + mean
    leverage = (solved * centred).sum(axis=1) + 1.0 / n
    without = (fitted - leverage[:, None] * given) / np.maximum(1.0 - leverage, _LEAST_RESIDUAL)[:, None]
    positive = np.maximum(without, _LEAST)
    return np.asarray(positive / positive.sum(axis=1, keepdims=True))
