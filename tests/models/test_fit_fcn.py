"""Fitting the FCN in Keras: early stopping, the paper's setting, what is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.errors import NotEnoughData
from models.training.fit.fcn import FcnFit, FcnSettings, fit_fcn
from models.values import Float32
from tests.models.synthetic import make_photos

QUICK = FcnSettings(learning_rate=0.0001, batch_size=50, max_steps=1000, patience=3)

Labelled = tuple[Float32, list[str]]


@pytest.fixture(scope="module")
def halves() -> tuple[Labelled, Labelled]:
    """Training photos, a third of them mislabelled, so that learning them by heart hurts; validation photos."""
    photos, _ = make_photos({f"label {i}": [1] * 40 for i in range(4)}, spread=1.6)
    rng = np.random.default_rng(1)
    teach, ask = np.arange(0, 160, 2), np.arange(1, 160, 2)
    wrong = [f"label {rng.integers(4)}" if rng.random() < 0.45 else photos.labels[i] for i in teach]
    return (photos.originals[teach], wrong), (photos.originals[ask], [photos.labels[i] for i in ask])


@pytest.fixture(scope="module")
def stopped(halves: tuple[Labelled, Labelled]) -> FcnFit:
    return fit_fcn(*halves, QUICK)


STEPS_AN_EPOCH = 50
"""So few photos are repeated within an epoch."""


def test_early_stopping_keeps_the_best_epoch(halves: tuple[Labelled, Labelled], stopped: FcnFit) -> None:
    """Its weights are those of a run that did just that many steps, and give that epoch's validation loss."""
    losses = [validation for _, validation, _ in stopped.history]
    best = stopped.best_steps // STEPS_AN_EPOCH
    assert 1 < best < len(losses) < QUICK.max_steps / STEPS_AN_EPOCH, "the world must make it stop early, not at once"
    assert losses[best - 1] == pytest.approx(min(losses), abs=2e-3)
    assert len(losses) == best + QUICK.patience
    assert (stopped.steps, stopped.best_steps) == (len(losses) * STEPS_AN_EPOCH, best * STEPS_AN_EPOCH)
    short = fit_fcn(*halves, replace(QUICK, max_steps=stopped.best_steps, patience=0))
    assert np.allclose(short.model.weight, stopped.model.weight, atol=1e-4)
    vectors, labels = halves[1]
    predictions = stopped.model.predict(vectors, k=4)
    chances = [next(s.score for s in p.ranked if s.label == t) for p, t in zip(predictions, labels, strict=True)]
    assert -np.log(chances).mean() == pytest.approx(losses[best - 1], abs=1e-4)
    assert stopped.history[best - 1][2] == pytest.approx(
        np.mean([p.ranked[0].label == t for p, t in zip(predictions, labels, strict=True)])
    )


def test_the_papers_setting_does_its_fixed_steps_and_keeps_the_last(
    halves: tuple[Labelled, Labelled],
) -> None:
    paper = FcnSettings.paper()
    assert (paper.learning_rate, paper.batch_size, paper.max_steps, paper.patience) == (0.001, 100, 1_000_000, 0)
    assert (paper.dropout, paper.label_smoothing) == (0.0, 0.0)
    (vectors, labels), validation = halves
    few = fit_fcn((vectors, labels), validation, replace(paper, learning_rate=0.1, max_steps=12))
    assert (few.steps, few.best_steps, len(few.history)) == (12, 12, 1)
    more = fit_fcn((vectors, labels), validation, replace(paper, learning_rate=0.1, max_steps=150))
    assert (more.steps, more.best_steps, len(more.history)) == (150, 150, 3)
    losses = [validation_loss for _, validation_loss, _ in more.history]
    assert losses[-1] > min(losses), "the world must make the last epoch worse than the best"
    right = [p.ranked[0].label == t for p, t in zip(more.model.predict(validation[0]), validation[1], strict=True)]
    assert np.mean(right) == pytest.approx(more.history[-1][2])


def test_without_validation_photos_all_steps_are_done(contract_fcn: FcnFit) -> None:
    assert contract_fcn.steps == contract_fcn.best_steps == 40
    assert all(np.isnan(validation) for _, validation, _ in contract_fcn.history)
    assert contract_fcn.history[-1][0] < np.log(12)


def test_probabilities_sum_to_1(halves: tuple[Labelled, Labelled], stopped: FcnFit) -> None:
    for prediction in stopped.model.predict(halves[1][0], k=4):
        assert sum(scored.score for scored in prediction.ranked) == pytest.approx(1.0, abs=1e-5)


def test_one_label_is_not_enough() -> None:
    with pytest.raises(NotEnoughData, match="two labels, got 1"):
        fit_fcn((np.ones((2, 2048), np.float32), ["a", "a"]), None)


def test_validation_photos_of_labels_not_taught_are_left_out_and_none_left_is_an_error() -> None:
    vectors = np.ones((2, 2048), np.float32)
    with pytest.raises(NotEnoughData, match="no validation photo"):
        fit_fcn((vectors, ["a", "b"]), (vectors, ["c", "d"]))
