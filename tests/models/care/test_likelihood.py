"""Leave-one-out probabilities equal those of models that were really fitted without the photo."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import UsageError
from models.training.care.likelihood import leave_one_out
from tests.models.care.world import flipped

LEAST = 1e-4


def test_the_closed_form_is_the_fit_without_the_photo() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(24, 6)).astype(np.float32)
    codes = np.arange(24) % 3
    found = leave_one_out(vectors, codes, 3, ridge=0.7)
    mean, columns = vectors.mean(axis=0), np.eye(3)[codes]
    centred = np.hstack([vectors - mean, np.ones((24, 1))])
    penalty = 0.7 * float(((vectors - mean) ** 2).sum()) / 6
    for i in (0, 7, 23):
        rest = np.delete(centred, i, axis=0)
        gram = rest.T @ rest + np.diag([penalty] * 6 + [0.0])  # the constant is not penalised
        scores = centred[i] @ np.linalg.solve(gram, rest.T @ np.delete(columns, i, axis=0))
        expected = np.maximum(scores, LEAST) / np.maximum(scores, LEAST).sum()
        assert found[i] == pytest.approx(expected, abs=1e-4)


def test_rows_are_probabilities_and_mostly_right_though_labels_are_wrong() -> None:
    world = flipped(0.2)
    before = world.photos.originals.copy()
    found = leave_one_out(world.photos.originals, world.codes, 10)
    assert found.shape == (180, 10)
    assert found.min() > 0
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert np.mean([f"label {code}" == true for code, true in zip(found.argmax(1), world.truth, strict=True)]) > 0.9
    assert np.array_equal(world.photos.originals, before)


def test_photos_and_labels_must_fit() -> None:
    vectors = np.zeros((3, 4), np.float32)
    for codes in (np.array([0, 1]), np.array([0, 1, 2]), np.array([-1, 0, 1])):
        with pytest.raises(UsageError, match="label numbers below 2"):
            leave_one_out(vectors, codes, 2)
    with pytest.raises(UsageError, match="at least 2 photos"):
        leave_one_out(vectors[:1], np.array([0]), 2)


def test_equal_photos_say_nothing_of_each_other() -> None:
    found = leave_one_out(np.ones((4, 3), np.float32), np.array([0, 0, 1, 1]), 2)
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1.0)
