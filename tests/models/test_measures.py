"""The measures, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.training.measures import (
    expected_calibration_error,
    macro_f1,
    paired_difference,
    paired_interval,
    spread,
    summary,
    top_k,
    verdict_rates,
    without_nan,
)
from models.values import VerdictName

KNOWN, UNSURE, UNKNOWN = VerdictName.KNOWN, VerdictName.UNSURE, VerdictName.UNKNOWN

RANKED = [["a", "b", "c"], ["b", "a"], ["c", "d", "e", "f", "g", "a"], []]
TRUTH = ["a", "a", "a", "b"]


def test_top_k_counts_photos_whose_label_is_among_the_first_k() -> None:
    assert [top_k(RANKED, TRUTH, k) for k in (1, 2, 5, 6)] == [0.25, 0.5, 0.5, 0.75]


def test_macro_f1_averages_over_the_true_labels() -> None:
    # a: precision 1/1, recall 1/3, F1 1/2. b: named once, wrongly, never rightly: 0. c is no true label.
    assert macro_f1(RANKED, TRUTH) == pytest.approx(0.25)
    assert macro_f1([["a"], ["b"]], ["a", "b"]) == 1.0


def test_summary_names_the_contracts_keys() -> None:
    assert summary(RANKED, TRUTH) == {"top1": 0.25, "top5": 0.5, "macro_f1": pytest.approx(0.25)}


def test_without_photos_there_is_nothing_to_measure() -> None:
    assert all(math.isnan(value) for value in summary([], []).values())
    assert math.isnan(expected_calibration_error([], []))
    assert without_nan(summary([], [])) == {"top1": None, "top5": None, "macro_f1": None}


def test_ece_in_two_bins_by_hand() -> None:
    # Sorted: .1 .3 | .8 .9. Accuracies 1/2 and 1; mean confidences .2 and .85; gaps .3 and .15, two photos each.
    assert expected_calibration_error([0.9, 0.1, 0.8, 0.3], [True, False, True, True], bins=2) == pytest.approx(0.225)


def test_ece_has_15_bins_of_equal_mass() -> None:
    # 30 photos, two a bin, each bin's accuracy 1/2: the gap is |confidence - 1/2|.
    confidence = np.repeat(np.linspace(0.2, 0.9, 15), 2)
    correct = [True, False] * 15
    expected = np.abs(np.linspace(0.2, 0.9, 15) - 0.5).mean()
    assert expected_calibration_error(list(confidence), correct) == pytest.approx(expected)


def test_ece_with_fewer_photos_than_bins_and_a_perfect_judge() -> None:
    assert expected_calibration_error([0.75], [True]) == pytest.approx(0.25)
    assert expected_calibration_error([1.0, 0.0, 1.0], [True, False, True]) == 0.0


def test_verdict_rates_by_hand() -> None:
    known = [KNOWN, KNOWN, KNOWN, UNSURE, UNKNOWN]
    right = [True, True, False, False, True]
    foreign = [KNOWN, UNSURE, UNKNOWN, UNKNOWN]
    assert verdict_rates(known, right, foreign) == {
        "false_accept": 0.25,
        "false_reject": 0.2,
        "unsure_known": 0.2,
        "unsure_foreign": 0.25,
        "wrong_known": pytest.approx(1 / 3),
    }


def test_rates_without_photos_to_count_are_nan() -> None:
    rates = verdict_rates([UNSURE], [True], [])
    assert {name for name, value in rates.items() if math.isnan(value)} == {
        "false_accept",
        "unsure_foreign",
        "wrong_known",
    }


def test_spread_is_the_mean_and_the_sample_standard_deviation() -> None:
    assert spread([0.5, 0.7, 0.9]) == {"mean": pytest.approx(0.7), "std": pytest.approx(0.2)}
    assert spread([0.5]) == {"mean": 0.5, "std": 0.0}


def test_paired_difference_by_hand() -> None:
    # Differences .1 .1 .4: mean .2, standard deviation sqrt(.03), over sqrt(3): .1
    found = paired_difference([0.6, 0.7, 0.9], [0.5, 0.6, 0.5])
    assert found == {"mean": pytest.approx(0.2), "standard_error": pytest.approx(0.1)}
    assert math.isnan(paired_difference([0.6], [0.5])["standard_error"])


def test_paired_interval_by_hand() -> None:
    ours, theirs = np.array([1, 1, 1, 0], dtype=bool), np.array([0, 1, 0, 0], dtype=bool)
    half = 1.96 * np.array([1, 0, 1, 0]).std(ddof=1) / 2
    assert paired_interval(ours, theirs) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))
    low, high = paired_interval(ours, ours)
    assert low == high == 0.0


def test_ranked_lists_and_truths_of_different_length_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        top_k(RANKED, TRUTH[:2], 1)
