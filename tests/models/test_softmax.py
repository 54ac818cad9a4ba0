"""The softmax probe: the optimum of its problem, whatever the seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from models.errors import NotEnoughData
from models.training.fit.softmax import fit_softmax
from tests.contracts.neighbours import clustered
from tests.models.synthetic import make_photos

WORLD = make_photos({f"label {i}": [4] * 4 for i in range(6)}, spread=1.2)[0]


def loss(weight: np.ndarray, bias: np.ndarray, c: float) -> float:
    """The regularised problem in the coordinates it is solved in."""
    vectors = WORLD.originals.astype(np.float64)
    centre, scale = vectors.mean(axis=0), np.sqrt(vectors.var(axis=0).mean())
    codes = np.unique(WORLD.labels, return_inverse=True)[1]
    likely = log_softmax(vectors @ weight + bias, axis=1)[np.arange(len(codes)), codes]
    assert centre.shape == (2048,)
    return float(-c * likely.sum() + 0.5 * np.square(weight * scale).sum())


def test_no_step_aside_is_better_than_the_fitted_softmax() -> None:
    model = fit_softmax(*WORLD.plain(), 0.1)
    best = loss(model.weight, model.bias, 0.1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        step = 0.05 * float(np.abs(model.weight).mean()) * rng.normal(size=model.weight.shape)
        assert loss(model.weight + step, model.bias, 0.1) > best
        assert loss(model.weight, model.bias + 0.05 * rng.normal(size=model.bias.shape), 0.1) > best


def test_a_larger_c_fits_closer_and_two_fits_agree() -> None:
    loose, close = fit_softmax(*WORLD.plain(), 0.001), fit_softmax(*WORLD.plain(), 1.0)
    assert np.abs(close.weight).sum() > 2 * np.abs(loose.weight).sum()
    again = fit_softmax(*WORLD.plain(), 1.0)
    assert np.array_equal(close.weight, again.weight)


def test_two_labels_are_a_softmax_too() -> None:
    vectors, labels = clustered(np.random.default_rng(3), 2, 12)
    model = fit_softmax(vectors, labels, 0.1)
    assert model.labels == ("label 0000", "label 0001")
    assert [p.ranked[0].label for p in model.predict(vectors)] == labels
    assert all(abs(sum(s.score for s in p.ranked) - 1.0) < 1e-5 for p in model.predict(vectors))


def test_one_label_is_not_enough() -> None:
    with pytest.raises(NotEnoughData, match="two labels, got 1"):
        fit_softmax(WORLD.originals[:3], ["a"] * 3, 1.0)
