"""Fitting the linear SVM: every label's hyperplane at once, C by grid search on the validation photos.

The problem is LIBLINEAR's (Fan et al. 2008, L2-regularised squared hinge, one against the rest, the
bias as a regularised constant feature) on centred vectors, so its optimum equals scikit-learn's
``LinearSVC``; a test compares them. It is solved jointly by L-BFGS on matrix products, in coordinates
whitened along the vectors' strongest directions: bottlenecks are strongly correlated, and whitening
needs about a third of the iterations (docs/decisions/0006-svm-solver.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from models.classifiers.svm import SvmClassifier
from models.errors import NotEnoughData
from models.values import Float32

C_GRID: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Values of C tried. Vectors have unit length and are centred, so the useful range lies around 3 to 30."""

_MAX_ITERATIONS = 150
_RELATIVE_REDUCTION = 1e-6
_ACTIVE_SHARE = 0.1
"""Assumed share of photos inside a label's margin: scales the whitening, changes no optimum."""

_DIRECTIONS = 256
_SUBSPACE_ITERATIONS = 4

_LARGE = 10**9
"""Multiplications in one product of the objective from which it is worth a second BLAS thread: smaller ones would wait
for each other more than they compute where the cores are shared (docs/decisions/0006-svm-solver.md)."""


@dataclass(frozen=True, slots=True)
class SvmFit:
    """A fitted SVM, the C it uses, and the validation Top-1 of each C tried, smallest C first."""

    model: SvmClassifier
    c: float
    grid: tuple[tuple[float, float], ...]


def fit_svm(vectors: Float32, labels: Sequence[str], c: float) -> SvmClassifier:
    """Fit at one C.

    vectors: float32 (n, 2048). labels: n. c: > 0, penalty of a violated margin.
    :raise NotEnoughData: fewer than two labels.
    """
    return _Problem(vectors, labels).solve(c)


def search_c(
    training: tuple[Float32, Sequence[str]],
    validation: tuple[Float32, Sequence[str]],
    grid: Sequence[float] = C_GRID,
) -> SvmFit:
    """Grid search: the C with the best validation Top-1; among equals the smallest (widest margin).

    training, validation: (vectors (n, 2048), n labels) each.
    :raise NotEnoughData: no validation photo, no value of C, or fewer than two labels.
    """
    if not len(validation[1]) or not grid:
        raise NotEnoughData(f"choosing C needs photos and values, got {len(validation[1])} and {len(grid)}")
    problem = _Problem(*training)
    truth = np.array(validation[1], dtype=np.str_)
    tried: list[tuple[float, float]] = []
    best: SvmClassifier | None = None
    chosen, top = 0.0, -1.0
    for c in sorted(grid):
        model = problem.solve(c)
        margins = validation[0] @ model.weight + model.bias
        accuracy = float((np.array(model.labels, dtype=np.str_)[margins.argmax(axis=1)] == truth).mean())
        tried.append((c, accuracy))
        if accuracy > top:
            best, chosen, top = model, c, accuracy
    assert best is not None
    return SvmFit(best, chosen, tuple(tried))


class _Problem:
    """One training set, its eigenvectors shared by all values of C."""

    def __init__(self, vectors: Float32, labels: Sequence[str]) -> None:
        names, self._which = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
        if len(names) < 2:
            raise NotEnoughData(f"the SVM needs photos of at least two labels, got {len(names)}")
        self._names = [str(name) for name in names]
        self._centre = vectors.mean(axis=0)
        self._design = np.empty((len(vectors), vectors.shape[1] + 1), np.float32)
        np.subtract(vectors, self._centre, out=self._design[:, :-1])
        self._design[:, -1] = 1.0
        self._strength, self._directions = _strongest(self._design)

    def solve(self, c: float) -> SvmClassifier:
        """Minimise 0.5 |W|^2 + C sum max(0, 1 - y f)^2 over W (2049, L) = whiten(V).

        ``whiten`` shrinks each strong direction u by the curvature the loss has along it; it is
        symmetric, so the gradient in V is ``whiten`` of the gradient in W.
        """
        shrink = 1.0 / np.sqrt(1.0 + 2.0 * c * _ACTIVE_SHARE * self._strength) - 1.0

        def whiten(matrix: Float32) -> Float32:
            along = shrink[:, None] * (self._directions.T @ matrix)
            return np.asarray(matrix + self._directions @ along, dtype=np.float32)

        data = self._design
        rows = np.arange(len(data))
        shape = (data.shape[1], len(self._names))

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weight = whiten(flat.reshape(shape).astype(np.float32))
            slack = data @ weight
            own = 1.0 - slack[rows, self._which]
            slack += 1.0
            slack[rows, self._which] = own
            np.maximum(slack, 0.0, out=slack)
            loss = c * float(np.einsum("ij,ij->", slack, slack, dtype=np.float64))
            slack[rows, self._which] *= -1.0
            gradient = whiten(2.0 * c * (data.T @ slack) + weight)
            value = loss + 0.5 * float(np.einsum("ij,ij->", weight, weight, dtype=np.float64))
            return value, gradient.astype(np.float64).ravel()

        with _threads(data.size * shape[1]):
            result = minimize(
                objective,
                np.zeros(shape[0] * shape[1]),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": _MAX_ITERATIONS, "ftol": _RELATIVE_REDUCTION, "gtol": 0.0},
            )
        weight = whiten(result.x.reshape(shape).astype(np.float32))
        bias = weight[-1] - self._centre @ weight[:-1]
        return SvmClassifier(weight[:-1], bias, self._names)


def _threads(multiplications: int) -> AbstractContextManager[object]:
    """A second BLAS thread for large products; else what is set."""
    return threadpool_limits(2, user_api="blas") if multiplications >= _LARGE else nullcontext()


def _strongest(design: Float32) -> tuple[Float32, Float32]:
    """Largest eigenvalues (k,) and eigenvectors (2049, k) of ``design.T @ design``, k <= 256.

    By subspace iteration from a fixed start (Halko, Martinsson & Tropp 2011); they only precondition, so
    a rough answer is enough.
    """
    moments = design.T @ design
    k = min(_DIRECTIONS, len(moments))
    basis = np.random.default_rng(0).standard_normal((len(moments), k), dtype=np.float32)
    for _ in range(_SUBSPACE_ITERATIONS):
        basis, _ = qr(moments @ basis, mode="economic", overwrite_a=True, check_finite=False)
    values, rotation = np.linalg.eigh(basis.T @ (moments @ basis))
    return np.maximum(values, 0.0).astype(np.float32), np.asarray(basis @ rotation, dtype=np.float32)
