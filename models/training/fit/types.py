"""Fitting the product types: a multinomial logistic regression over a seeded PCA of the bottlenecks.

Its confidence is calibrated by one temperature (Guo et al., "On Calibration of Modern Neural Networks",
ICML 2017) on photos held out of a first fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from models.attributes.types import TypeModel, check_vectors
from models.errors import UsageError
from models.values import BOTTLENECK_SIZE, Float32

FEWEST_PHOTOS: Final = 3
"""A type with fewer photos is not learned; the model never names it."""
FEWEST_TYPES: Final = 2
COMPONENTS: Final = 256
"""Principal components kept: measured as accurate as all 2,048 and several times faster to fit."""
HELD_OUT: Final = 0.15
FEWEST_HELD_OUT: Final = 30
"""With fewer held-out photos the temperature stays 1."""
REGULARISATION: Final = 100.0
"""scikit-learn's C on unit-length bottlenecks, whose components are small."""
_ITERATIONS: Final = 200


def fit_types(
    vectors: Float32, types: Sequence[str], groups: Sequence[Hashable] | None = None, seed: int = 0
) -> TypeModel:
    """Learn types from photos.

    vectors: float32 (n, 2048), unit length, of one space; left untouched. types: n given types.
    groups: n keys; photos of one key (a product, a scene) are held out together for calibration.
    Types with fewer than ``FEWEST_PHOTOS`` photos are left out; with fewer than ``FEWEST_TYPES``
    left the model abstains. The same data, order and seed give the same model.

    :raise UsageError: shapes or lengths that do not fit.
    """
    check_vectors(vectors)
    if len(types) != len(vectors) or (groups is not None and len(groups) != len(vectors)):
        raise UsageError(f"{len(vectors)} vectors came with {len(types)} types; give one type, and group, each.")
    counts = Counter(types)
    kept = np.array([counts[name] >= FEWEST_PHOTOS for name in types], dtype=bool)
    named = tuple(sorted({name for name, keep in zip(types, kept, strict=True) if keep}))
    if len(named) < FEWEST_TYPES:
        return TypeModel((), np.zeros((BOTTLENECK_SIZE, 0), np.float32), np.zeros(0, np.float32), 1.0)
    index = {name: place for place, name in enumerate(named)}
    y = np.array([index[name] for name, keep in zip(types, kept, strict=True) if keep])
    keys = np.arange(len(types)) if groups is None else _codes(groups)
    x, keys = vectors[kept], keys[kept]
    temperature = _temperature(x, y, keys, seed)
    weights, bias = _fit_linear(x, y, seed)
    return TypeModel(named, weights, bias, temperature)


def _codes(groups: Sequence[Hashable]) -> NDArray[np.intp]:
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(group, len(seen)) for group in groups], dtype=np.intp)


def _fit_linear(x: Float32, y: NDArray[np.intp], seed: int) -> tuple[Float32, Float32]:
    """PCA, then logistic regression, as one matrix: weights (2048, types), bias (types,)."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    components = min(COMPONENTS, len(x) - 1)
    # The matrices are small: on a busy machine, threads that wait for each other cost more than they save.
    with threadpool_limits(limits=1):
        pca = PCA(components, svd_solver="randomized", random_state=seed).fit(x)
        model = LogisticRegression(C=REGULARISATION, max_iter=_ITERATIONS, tol=1e-3).fit(pca.transform(x), y)
    coefficients, intercept = model.coef_, model.intercept_
    if len(coefficients) == 1:  # two types: scikit-learn keeps only the second one's logit
        coefficients, intercept = (
            np.vstack([-coefficients, coefficients]) / 2,
            np.array([-1.0, 1.0]) * intercept / 2,
        )
    weights = pca.components_.T.astype(np.float64) @ coefficients.T.astype(np.float64)
    bias = intercept - pca.mean_.astype(np.float64) @ weights
    return weights.astype(np.float32), bias.astype(np.float32)


def _temperature(x: Float32, y: NDArray[np.intp], keys: NDArray[np.intp], seed: int) -> float:
    """The temperature with the least log-loss on held-out photos; 1 where too few can be held out."""
    held = _held_out(y, keys, seed)
    if held.sum() < FEWEST_HELD_OUT or len(np.unique(y[~held])) < len(np.unique(y)):
        return 1.0
    weights, bias = _fit_linear(x[~held], y[~held], seed)
    logits = (x[held] @ weights + bias).astype(np.float64)
    rows = np.arange(len(logits))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[rows, y[held]].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.2), np.log(10)), method="bounded").x))


def _held_out(y: NDArray[np.intp], keys: NDArray[np.intp], seed: int) -> NDArray[np.bool_]:
    """Whole groups, about ``HELD_OUT`` of the photos, but never a type's last ``FEWEST_PHOTOS`` photos."""
    left = np.bincount(y)
    held = np.zeros(len(y), dtype=bool)
    order = np.argsort(keys, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
    budget = HELD_OUT * len(y)
    for place in np.random.default_rng(seed).permutation(len(groups)):
        members = groups[place]
        taken = np.bincount(y[members], minlength=len(left))
        if held.sum() + len(members) <= budget and (left - taken >= np.where(taken > 0, FEWEST_PHOTOS, 0)).all():
            held[members] = True
            left = left - taken
    return held
