"""The vote: every rule and tie by name, and the settings it reads."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.errors import BundleDamaged, UsageError
from models.values import CastVote, Prediction, Ranking, VoteState
from models.vote import Vote, VoteSettings, platt
from tests.models.synthetic import says

PLAIN = VoteSettings(weights={"fcn": 0.25, "knn": 0.5, "svm": 0.25}, temperatures={"fcn": 1.0, "knn": 1.0, "svm": 1.0})
"""Weights and temperatures that are exact in binary, so that equal supports are equal to the last bit."""

ALL = "abcdefghijklmnopqrstuvwxyz"


def labels(ranking: Ranking) -> str:
    """The labels, best first; tests use one character a label."""
    return "".join(candidate.label for candidate in ranking.candidates)


def merged(*predictions: Prediction, settings: VoteSettings = PLAIN, k: int = 5) -> str:
    return labels(Vote(settings).merge(predictions, k))


def support(*predictions: Prediction, settings: VoteSettings = PLAIN) -> float:
    """The support of the first candidate, read back from its score."""
    return Vote(replace(settings, slope=1.0, intercept=0.0)).merge(predictions).candidates[0].score


def contested() -> tuple[Prediction, ...]:
    """Two classifiers put a first, by a hair; the third is sure of b."""
    return (
        says("fcn", {"a": 0.51, "b": 0.49}, ALL),
        says("knn", {"b": 9.0, "a": 0.0}),
        says("svm", {"a": 0.01, "b": 0.0}, ALL),
    )


def test_majority_first_puts_the_label_most_classifiers_put_first_before_all_others() -> None:
    assert merged(*contested()) == "ab"


def test_without_majority_support_alone_decides() -> None:
    assert merged(*contested(), settings=replace(PLAIN, majority=False)) == "ba"


def test_half_of_the_classifiers_is_no_majority() -> None:
    fcn, knn, _ = contested()
    assert merged(fcn, knn) == "ba"


def test_no_majority_leaves_the_order_to_support() -> None:
    lists = (says("fcn", {"a": 1.0}, ALL), says("knn", {"b": 1.0}), says("svm", {"c": 1.0}, ALL))
    assert merged(*lists) == "bac"


def test_two_labels_with_a_majority_of_those_who_know_them_are_ordered_by_support() -> None:
    """FCN and SVM agree on a; n is known to k-NN alone, which is its majority."""
    fcn, svm = says("fcn", {"a": 0.9, "b": 0.1}, "ab"), says("svm", {"a": 0.1, "b": 0.0}, "ab")
    assert merged(fcn, svm, says("knn", {"n": 5.0, "a": 0.0})) == "nab"
    assert merged(fcn, svm, says("knn", {"n": 0.0, "a": 0.0})) == "anb"


def test_tie_of_support_goes_to_the_label_that_more_classifiers_list() -> None:
    lists = (
        says("fcn", {"b": 0.5, "c": 0.5}, ALL),
        says("knn", {"a": 1.0, "e": 1.0}),
        says("svm", {"b": 1.0, "d": 1.0}, ALL),
    )
    # a, b and e have support 1/4; b is on two lists. c and d have 1/8 and one list each.
    assert merged(*lists, settings=replace(PLAIN, majority=False)) == "baecd"


def test_tie_of_support_and_lists_goes_by_label_in_code_point_order() -> None:
    lists = (says("knn", {"가": 1.0, "é": 1.0, "b": 1.0, "Z": 1.0}),)
    assert merged(*lists, settings=replace(PLAIN, majority=False)) == "Zbé가"


def test_a_label_only_knn_knows_is_judged_by_knn_alone() -> None:
    """Its support is k-NN's evidence undivided, not diluted by classifiers that cannot name it."""
    lists = (
        says("fcn", {"a": 0.6, "b": 0.4}, "ab"),
        says("knn", {"n": math.log(8.0), "a": 0.0, "b": 0.0}),
        says("svm", {"b": 0.1, "a": 0.0}, "ab"),
    )
    ranking = Vote(PLAIN).merge(lists)
    assert labels(ranking)[0] == "n"
    assert ranking.candidates[0].score == pytest.approx(0.8)


def test_weights_are_normalised_over_the_classifiers_that_know_the_label() -> None:
    fcn, knn = says("fcn", {"a": 0.75, "b": 0.25}, "ab"), says("knn", {"a": 0.0, "b": 0.0})
    stranger = says("svm", {"z": 1.0}, "z")
    assert support(fcn, knn, stranger) == pytest.approx((0.25 * 0.75 + 0.5 * 0.5) / 0.75)
    knowing = says("svm", {"z": 1.0}, "az")
    assert support(fcn, knn, knowing) == pytest.approx(0.25 * 0.75 + 0.5 * 0.5)


def test_a_vote_says_ranked_not_ranked_or_label_unknown() -> None:
    lists = (
        says("fcn", {"a": 0.9, "b": 0.1}, "abc"),
        says("knn", {"n": 0.8, "c": 0.7}),
        says("svm", {"b": 1.5, "a": -0.5}, "ab"),
    )
    votes = {c.label: dict(c.votes) for c in Vote(PLAIN).merge(lists).candidates}
    not_ranked, unknown = CastVote(VoteState.NOT_RANKED), CastVote(VoteState.LABEL_UNKNOWN)
    assert votes["a"] == {
        "fcn": CastVote(VoteState.RANKED, 1, 0.9),
        "knn": not_ranked,
        "svm": CastVote(VoteState.RANKED, 2, -0.5),
    }
    assert votes["c"] == {"fcn": not_ranked, "knn": CastVote(VoteState.RANKED, 2, 0.7), "svm": unknown}
    assert votes["n"] == {"fcn": unknown, "knn": CastVote(VoteState.RANKED, 1, 0.8), "svm": unknown}


def test_exactly_five_distinct_labels_from_lists_that_share_all_some_or_none() -> None:
    def lists(*texts: str) -> list[Prediction]:
        names = ("fcn", "knn", "svm")
        return [
            says(name, {label: 1.0 / (place + 1) for place, label in enumerate(text)}, ALL if name != "knn" else None)
            for name, text in zip(names, texts, strict=True)
        ]

    for texts in (("abcde",) * 3, ("abcde", "cdefg", "aeiou"), ("abcde", "fghij", "klmno")):
        found = merged(*lists(*texts))
        assert len(found) == len(set(found)) == 5
        assert set(found) <= set("".join(texts))
    assert len(merged(*lists("abcde", "fghij", "klmno"), k=20)) == 15
    assert merged(*lists("ab", "ba", "a")) == "ab"


def test_an_empty_list_has_no_say_but_is_still_shown() -> None:
    fcn, knn = says("fcn", {"a": 0.6, "b": 0.4}, "ab"), says("knn", {"b": 1.0, "a": 0.9})
    empty = says("svm", {}, "a")
    with_, without = Vote(PLAIN).merge([fcn, knn, empty]), Vote(PLAIN).merge([fcn, knn])
    assert [(c.label, c.score) for c in with_.candidates] == [(c.label, c.score) for c in without.candidates]
    states = {c.label: c.votes["svm"].state for c in with_.candidates}
    assert states == {"a": VoteState.NOT_RANKED, "b": VoteState.LABEL_UNKNOWN}


def test_nothing_but_empty_lists_gives_an_empty_ranking() -> None:
    assert Vote(PLAIN).merge([]) == Ranking(())
    assert Vote(PLAIN).merge([says("knn", {}), says("fcn", {}, ALL)]) == Ranking(())


def test_a_missing_classifier_leaves_the_order_to_the_others() -> None:
    [candidate] = Vote(PLAIN).merge([says("knn", {"a": 0.9})]).candidates
    assert candidate.label == "a"
    assert candidate.votes == {"knn": CastVote(VoteState.RANKED, 1, 0.9)}
    assert candidate.score == pytest.approx(1.0, abs=1e-5)


def test_a_classifier_has_one_vote() -> None:
    with pytest.raises(UsageError, match="twice"):
        Vote(PLAIN).merge([says("knn", {"a": 1.0}), says("knn", {"b": 1.0})])


def test_the_order_in_which_the_classifiers_come_does_not_matter() -> None:
    lists = (
        says("fcn", {"a": 0.5, "b": 0.3, "c": 0.2}, ALL),
        says("knn", {"n": 0.95, "b": 0.9, "a": 0.85}),
        says("svm", {"c": 0.4, "b": 0.3, "a": 0.2}, ALL),
    )
    ways = [Vote(PLAIN).merge(way) for way in itertools.permutations(lists)]
    assert len({labels(way) for way in ways}) == 1
    for way in ways:
        assert [c.score for c in way.candidates] == pytest.approx([c.score for c in ways[0].candidates])


def random_lists(rng: np.random.Generator, length: int) -> list[Prediction]:
    """Lists as classifiers give them, longer ones continuing shorter ones of the same seed."""
    found = []
    for name, known in (("fcn", ALL[:20]), ("knn", None), ("svm", ALL[:20])):
        order = rng.permutation(26 if known is None else 20)
        chances = np.sort(rng.dirichlet(np.ones(len(order))))[::-1]
        ranked = {ALL[i]: float(c) for i, c in zip(order, chances, strict=True)}
        found.append(says(name, dict(itertools.islice(ranked.items(), length)), known))
    return found


@pytest.mark.parametrize("majority", [True, False])
def test_scores_are_probabilities_that_never_rise_and_sum_to_1_at_most(majority: bool) -> None:
    vote = Vote(replace(PLAIN, majority=majority, slope=1.7, intercept=-0.4))
    for seed in range(50):
        scores = [c.score for c in vote.merge(random_lists(np.random.default_rng(seed), 5), 20).candidates]
        assert all(0.0 <= score <= 1.0 for score in scores)
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) <= 1.0 + 1e-9


def test_asking_for_fewer_candidates_gives_the_same_ones_with_the_same_scores() -> None:
    lists = random_lists(np.random.default_rng(4), 5)
    five = Vote(PLAIN).merge(lists, 5).candidates
    for k in range(1, 5):
        assert Vote(PLAIN).merge(lists, k).candidates == five[:k]


def test_longer_lists_judge_their_first_five_by_the_same_measure() -> None:
    """Otherwise asking for more candidates would make the first one less sure."""
    short, long = (random_lists(np.random.default_rng(4), length) for length in (5, 15))
    for few, many in zip(short, long, strict=True):
        evidence, more = Vote(PLAIN).evidence(few), Vote(PLAIN).evidence(many)
        assert sum(evidence.values()) == pytest.approx(1.0)
        assert {label: more[label] for label in evidence} == pytest.approx(evidence)


def test_the_first_score_is_the_calibrated_support() -> None:
    settings = replace(PLAIN, slope=2.0, intercept=-1.0)
    assert Vote(settings).merge(contested()).candidates[0].score == pytest.approx(
        platt(support(*contested()), 2.0, -1.0)
    )
    assert platt(0.5, 2.0, 0.0) == pytest.approx(0.5)
    assert 0.0 < platt(0.0, 20.0, -20.0) < platt(1.0, 20.0, 20.0) <= 1.0


def test_a_softmax_share_survives_probability_0_and_huge_margins() -> None:
    evidence = Vote(VoteSettings.prior()).evidence(says("fcn", {"a": 1.0, "b": 0.0}, ALL))
    assert evidence["a"] == pytest.approx(1.0)
    assert evidence["b"] >= 0.0
    assert Vote(VoteSettings.prior()).evidence(says("svm", {"a": 900.0, "b": -900.0}, ALL))["a"] == pytest.approx(1.0)


def test_settings_survive_json() -> None:
    settings = replace(PLAIN, majority=False, slope=1.25, intercept=-0.5, calibrated=True)
    assert VoteSettings.from_json(settings.to_json()) == settings
    assert not VoteSettings.prior().calibrated
    assert sum(VoteSettings.prior().weights.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "damage",
    [
        {"weights": {"fcn": 0.5, "knn": 0.5}},
        {"temperatures": {"fcn": 1.0, "knn": 1.0}},
        {"temperatures": {"fcn": 1.0, "knn": 0.0, "svm": 1.0}},
        {"temperatures": {"fcn": 1.0, "knn": math.nan, "svm": 1.0}},
        {"weights": {"fcn": 1.2, "knn": -0.4, "svm": 0.2}},
        {"weights": {"fcn": 0.0, "knn": 0.0, "svm": 0.0}},
        {"weights": {"fcn": "0.4", "knn": 0.2, "svm": 0.4}},
        {"weights": ["fcn", "knn", "svm"]},
        {"slope": "steep"},
        {"intercept": math.inf},
        {"colour": "blue"},
    ],
)
def test_damaged_settings_are_named(damage: dict[str, Any]) -> None:
    with pytest.raises(BundleDamaged, match="vote's settings"):
        VoteSettings.from_json({**PLAIN.to_json(), **damage})


def test_settings_without_weights_are_named() -> None:
    with pytest.raises(BundleDamaged, match="weights"):
        VoteSettings.from_json({"temperatures": dict(PLAIN.temperatures)})
