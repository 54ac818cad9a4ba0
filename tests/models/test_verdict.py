"""The verdict: its signs, its thresholds, and how they are fitted."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.errors import BundleDamaged
from models.training.crossfit import Judged
from models.training.fit.verdict import (
    COST_UNSURE,
    LEAST_PHOTOS_TO_FIT_VERDICT,
    MAX_FALSE_REJECT,
    MAX_UNSURE_KNOWN,
    choose_thresholds,
    fit_verdict,
)
from models.values import Candidate, Prediction, Ranking, VerdictName
from models.verdict import SIGNS, Verdict, VerdictSettings, signs
from models.vote import Vote, VoteSettings
from tests.models.synthetic import judged, says

FLAT = VerdictSettings(
    mean=(0.5, 0.0, 0.0, 0.0, 0.0, 0.0),
    scale=(0.5, 1.0, 1.0, 1.0, 1.0, 1.0),
    coefficients=(2.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    intercept=0.0,
    low=0.3,
    high=0.6,
    calibrated=True,
)
"""Looks at k-NN's similarity alone: the log odds are 4 * similarity - 2."""

EMPTY = Ranking(())


def ranking(score: float = 0.8, label: str = "a") -> Ranking:
    return Ranking((Candidate(label, score, {}),))


def knn(similarity: float) -> list[Prediction]:
    return [says("knn", {"a": similarity})]


def test_signs_of_three_full_lists() -> None:
    lists = [
        says("fcn", {"a": 0.9, "b": 0.1}, "ab"),
        says("knn", {"a": 0.8, "b": 0.5}),
        says("svm", {"b": 1.5, "a": 0.2}, "ab"),
    ]
    expected = (0.8, 0.3, math.log(0.9), 1.5, 2 / 3, math.log(0.75 / 0.25))
    assert dict(zip(SIGNS, signs(lists, ranking(0.75)), strict=True)) == pytest.approx(
        dict(zip(SIGNS, expected, strict=True))
    )


def test_a_classifier_without_an_answer_gives_nan_signs() -> None:
    found = dict(zip(SIGNS, signs([*knn(0.8), says("fcn", {}, "a")], ranking()), strict=True))
    for name in ("knn_margin", "fcn_log_probability", "svm_margin"):
        assert math.isnan(found[name])
    assert not any(math.isnan(found[name]) for name in ("knn_similarity", "agreement", "support"))


def test_a_lone_classifier_is_no_agreement() -> None:
    """A shop with too few photos for FCN and SVM must not take every photo for a product."""
    assert signs(knn(0.8), ranking())[SIGNS.index("agreement")] == pytest.approx(1 / 3)
    assert Verdict(VerdictSettings.prior()).judge(knn(0.8), ranking(0.5)) is VerdictName.UNSURE


def test_nan_signs_count_as_their_mean() -> None:
    missing = [says("svm", {"a": 1.0}, "a")]
    assert Verdict(FLAT).probability(missing, ranking()) == pytest.approx(0.5)


def test_certain_scores_give_finite_signs() -> None:
    for score in (0.0, 1.0):
        assert np.isfinite(signs(knn(1.0), ranking(score))[[0, 4, 5]]).all()


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [
        (0.0, VerdictName.UNKNOWN),
        (0.2999, VerdictName.UNKNOWN),
        (0.3, VerdictName.UNSURE),
        (0.5999, VerdictName.UNSURE),
        (0.6, VerdictName.KNOWN),
        (1.0, VerdictName.KNOWN),
    ],
)
def test_below_low_is_unknown_and_from_high_on_known(probability: float, verdict: VerdictName) -> None:
    assert Verdict(FLAT).name(probability) is verdict


def test_probability_follows_the_logistic_formula_and_survives_extremes() -> None:
    judge = Verdict(FLAT)
    for similarity in (0.0, 0.25, 1.0):
        expected = 1 / (1 + math.exp(-(4 * similarity - 2)))
        assert judge.probability(knn(similarity), ranking()) == pytest.approx(expected)
    assert judge.probability(knn(1e9), ranking()) == pytest.approx(1.0)
    assert judge.probability(knn(-1e9), ranking()) == pytest.approx(0.0)


def test_nothing_recognised_is_unknown_even_where_low_is_zero() -> None:
    judge = Verdict(replace(FLAT, low=0.0, high=0.0))
    assert judge.judge([], EMPTY) is VerdictName.UNKNOWN
    assert judge.probability([], EMPTY) == 0.0


def test_the_prior_is_not_calibrated_and_its_borders_are_where_its_docstring_says() -> None:
    prior = VerdictSettings.prior()
    assert not prior.calibrated
    judge = Verdict(prior)
    rows = np.zeros((2, len(SIGNS)))
    rows[0, 4:] = (2 / 3, 0.0)  # two of three agree at even odds
    rows[1, 4:] = (1 / 3, math.log(0.1 / 0.9))  # no two agree, and one tenth of support
    known, unknown = judge.probabilities(rows)
    assert known == pytest.approx(prior.high, abs=0.05)
    assert unknown == pytest.approx(prior.low, abs=0.05)


def test_settings_survive_json() -> None:
    assert VerdictSettings.from_json(FLAT.to_json()) == FLAT
    assert VerdictSettings.from_json(VerdictSettings.prior().to_json()) == VerdictSettings.prior()


@pytest.mark.parametrize(
    "damage",
    [
        {"mean": [0.0] * 5},
        {"coefficients": "012345"},
        {"scale": [1.0, 1.0, 1.0, 0.0, 1.0, 1.0]},
        {"intercept": math.nan},
        {"intercept": None},
        {"low": 0.9},
        {"high": "high"},
        {"speed": 3},
    ],
)
def test_damaged_settings_are_named(damage: dict[str, Any]) -> None:
    with pytest.raises(BundleDamaged, match="verdict's settings"):
        VerdictSettings.from_json({**FLAT.to_json(), **damage})


def rates(inside: np.ndarray, outside: np.ndarray, low: float, high: float) -> tuple[float, float, float]:
    """false_reject, unsure_known and the cost of two thresholds."""
    false_reject, unsure_in = (inside < low).mean(), ((inside >= low) & (inside < high)).mean()
    unsure_out, false_accept = ((outside >= low) & (outside < high)).mean(), (outside >= high).mean()
    return false_reject, unsure_in, false_accept + false_reject + COST_UNSURE * (unsure_in + unsure_out)


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
def test_thresholds_respect_the_bounds_on_false_reject_and_unsure_known(gap: float) -> None:
    """However badly known and foreign photos can be told apart."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        inside, outside = (1 / (1 + np.exp(-rng.normal(mean, 1.0, 300))) for mean in (gap, -gap))
        low, high = choose_thresholds(inside, outside)
        assert low <= high
        false_reject, unsure_known, cost = rates(inside, outside, low, high)
        assert false_reject <= MAX_FALSE_REJECT
        assert unsure_known <= MAX_UNSURE_KNOWN
        assert cost <= rates(inside, outside, 0.0, 0.0)[2]


def test_well_separated_photos_leave_nobody_unsure() -> None:
    inside, outside = np.linspace(0.8, 0.9, 200), np.linspace(0.1, 0.2, 200)
    assert rates(inside, outside, *choose_thresholds(inside, outside)) == (0.0, 0.0, 0.0)


def seen(truth: str | None, count: int, similarity: float, seed: int) -> list[Judged]:
    """Photos on which k-NN is about ``similarity`` sure and FCN follows it."""
    rng = np.random.default_rng(seed)
    photos = []
    for number in range(count):
        value = float(np.clip(similarity + 0.05 * rng.normal(), 0.01, 0.99))
        lists = (says("fcn", {"a": value, "b": (1 - value) / 2}, "ab"), says("knn", {"a": value, "b": value / 2}))
        photos.append(judged(truth, number % 2, *lists, name=str(number)))
    return photos


def test_below_the_data_limit_the_prior_judges_and_says_so() -> None:
    enough, few = LEAST_PHOTOS_TO_FIT_VERDICT, LEAST_PHOTOS_TO_FIT_VERDICT - 1
    vote = Vote(VoteSettings.prior())
    known, foreign = seen("a", enough, 0.9, 1), seen(None, enough, 0.3, 2)
    assert fit_verdict(known[:few], [], foreign, vote) == VerdictSettings.prior()
    assert fit_verdict(known, [], foreign[:few], vote) == VerdictSettings.prior()
    assert fit_verdict([], [], [], vote) == VerdictSettings.prior()
    assert fit_verdict(known, [], foreign, vote).calibrated
    hidden = seen("n", enough, 0.9, 3)
    assert fit_verdict(known[:few], hidden, foreign, vote) == VerdictSettings.prior(), "the same photos, counted twice"
    assert fit_verdict(known, hidden, foreign, vote).calibrated


def test_a_fitted_verdict_tells_photos_apart_that_differ() -> None:
    vote = Vote(VoteSettings.prior())
    judge = Verdict(fit_verdict(seen("a", 150, 0.85, 1), [], seen(None, 150, 0.45, 2), vote))

    def share(photos: list[Judged], name: VerdictName) -> float:
        return float(np.mean([judge.judge(p.predictions, vote.merge(p.predictions)) is name for p in photos]))

    assert share(seen("a", 100, 0.85, 3), VerdictName.KNOWN) > 0.85
    assert share(seen(None, 100, 0.45, 4), VerdictName.KNOWN) < 0.05


def test_photos_nobody_could_name_fit_nothing() -> None:
    """Their verdict is fixed; they must not count towards the data limit either."""
    silent = [judged(None, 0, says("knn", {}), name=str(i)) for i in range(200)]
    assert not fit_verdict(seen("a", 150, 0.9, 1), [], silent, Vote(VoteSettings.prior())).calibrated
