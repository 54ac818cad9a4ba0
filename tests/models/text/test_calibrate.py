"""Temperatures, the threshold and trust, on data with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import BundleDamaged
from models.multimodal.calibration import ONLY_BOTH, Calibration
from models.training.text.calibrate import count_malls, fit_temperature, fit_threshold, fit_trust, fit_views
from models.training.text.evaluate import macro_f1_of, measures
from models.training.text.rows import UNKNOWN


def test_a_temperature_undoes_what_logits_were_multiplied_by() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 4))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) > random.random((20_000, 1))).argmax(axis=1)
    assert fit_temperature(logits * 3, truth) == pytest.approx(3.0, rel=0.05)
    assert fit_temperature(logits[:50], truth[:50]) == 1.0
    assert fit_temperature(logits, np.full(20_000, UNKNOWN)) == 1.0


def test_views_that_say_nothing_count_for_nothing() -> None:
    random = np.random.default_rng(3)
    logits = random.normal(0, 2, (5_000, 4))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) > random.random((5_000, 1))).argmax(axis=1)
    told = {"name": logits * 2, "image": random.normal(0, 2, (5_000, 4)), "both": random.normal(0, 2, (5_000, 4))}
    views, temperature = fit_views(told, truth)
    assert views["name"] > 0.95 and sum(views.values()) == pytest.approx(1.0)
    assert temperature == pytest.approx(2.0, rel=0.1)
    assert fit_views({view: values[:9] for view, values in told.items()}, truth[:9])[0] == ONLY_BOTH


def test_the_threshold_keeps_the_precision_with_something_in_hand() -> None:
    random = np.random.default_rng(1)
    confidence = random.random(20_000)
    right = random.random(20_000) < confidence  # calibrated: above t the precision is (1 + t) / 2
    threshold = fit_threshold(confidence, right, 0.9)
    assert 0.8 <= threshold < 0.85
    assert right[confidence >= threshold].mean() >= 0.9


def test_where_no_threshold_reaches_the_precision_the_best_one_is_taken() -> None:
    confidence = np.array([0.9] * 100 + [0.5] * 100)
    right = np.array([True] * 80 + [False] * 20 + [True] * 20 + [False] * 80)
    assert fit_threshold(confidence, right, 0.97) == 0.9


def test_sources_whose_products_are_hard_to_tell_are_trusted_less() -> None:
    random = np.random.default_rng(2)
    n = 2000
    codes = random.integers(0, 3, n)
    sources = ["clear" if row % 2 else "vague" for row in range(n)]
    # The vague source's own categories are right half of the time; the clear one's nearly always.
    told = np.where(
        (random.random(n) < 0.95) | (np.array(sources) == "vague") & (random.random(n) < 0.5),
        codes,
        random.integers(0, 3, n),
    )
    malls = count_malls(sources, [f"c{code}" for code in told], codes, 3)
    sure = np.where(np.array(sources) == "clear", 0.8, 0.4)
    probabilities = np.full((n, 3), 0.0) + ((1 - sure) / 2)[:, None]
    probabilities[np.arange(n), codes] = sure
    trusted = fit_trust(malls, probabilities, (sources, [f"c{code}" for code in told], codes), 0.6)
    assert trusted.trust_of("clear") > trusted.trust_of("vague")
    assert 0 < trusted.trust_of("clear") <= 1
    assert trusted.trust_of("never seen") == trusted.usual


def test_damaged_calibrations_are_refused() -> None:
    good = Calibration({"name": 1.0, "image": 2.0, "both": 3.0}, 0.5, True)
    assert Calibration.from_json(good.to_json()) == good
    for bad in (
        {},
        {**good.to_json(), "views": {"name": -1, "image": 1, "both": 1}},
        {**good.to_json(), "threshold": 2},
        {**good.to_json(), "temperatures": {"name": 0}},
    ):
        with pytest.raises(BundleDamaged):
            Calibration.from_json(bad)


def test_measures_count_types_with_rows_enough_and_miss_unknown_ones() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    found = measures(probabilities, ("a", "b"), ("a", "b", "b", "new"), {"a": 10, "b": 9})
    assert found["accuracy"] == 0.5 and found["top5"] == 0.75
    assert found["macro_f1"] == pytest.approx(2 * (1 / 3) * 1 / (1 / 3 + 1))
    assert np.isnan(macro_f1_of(np.array([0]), np.array([0]), ("a",), {"a": 9}))
    assert np.isnan(measures(np.zeros((0, 2)), ("a", "b"), (), {})["accuracy"])
