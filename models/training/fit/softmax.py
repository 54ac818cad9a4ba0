"""Fitting a softmax to its optimum: the linear probe by which weights are compared.

The problem is convex, so there is one answer whatever the seed: unlike the FCN, which stops early on
validation photos, it needs no photos of its own to stop by, and two sets of weights differ by the weights alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from models.classifiers.fcn import FcnClassifier
from models.errors import NotEnoughData
from models.values import Float32

SOFTMAX_C_GRID: Final[tuple[float, ...]] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Values of C worth trying on vectors of about unit variance; with ImageNet weights the best lie around 0.3."""

_MAX_ITERATIONS: Final = 1000
_LEAST_SCALE: Final = 1e-6


def fit_softmax(vectors: Float32, labels: Sequence[str], c: float) -> FcnClassifier:
    """Multinomial logistic regression (scikit-learn, L-BFGS) at one C.

    vectors: float32 (n, 2048), bottlenecks; centred, and scaled by one number so that a value has unit variance on
        average, which makes a C mean the same whatever the weights are. labels: n. c: > 0, the inverse of the
        strength of the L2 penalty.
    Returns it as an FCN, with the scaling folded into its weights.
    :raise NotEnoughData: fewer than two labels.
    """
    from sklearn.linear_model import LogisticRegression

    names, codes = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
    if len(names) < 2:
        raise NotEnoughData(f"the softmax needs photos of at least two labels, got {len(names)}")
    centre = vectors.mean(axis=0)
    scale = max(float(np.sqrt(vectors.var(axis=0).mean())), _LEAST_SCALE)
    standardised = (vectors - centre) / np.float32(scale)
    # scikit-learn's own threads share out a small sum an iteration; where others use the cores, they mostly wait.
    with threadpool_limits(1, user_api="openmp"):
        fitted = LogisticRegression(C=c, max_iter=_MAX_ITERATIONS).fit(standardised, codes)
    weight, bias = fitted.coef_.T / scale, fitted.intercept_
    if len(names) == 2:  # scikit-learn keeps only the logit of the second
        weight, bias = np.hstack([-weight, weight]) / 2, np.array([-1.0, 1.0]) * bias / 2
    bias = bias - centre.astype(np.float64) @ weight
    return FcnClassifier(weight.astype(np.float32), bias.astype(np.float32), [str(name) for name in names])
