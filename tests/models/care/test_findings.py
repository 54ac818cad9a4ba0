"""Confusable labels, near-duplicates across labels, balance, and all of it as plain data."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from models.training.care.confusions import Answered, Confusable, confusable_labels, size_effect
from models.training.care.drift import Change, Drift
from models.training.care.findings import SHOWN, data_care, drift_findings
from models.training.care.teaching import Care, take_care
from models.training.care.twins import Twins, twins_across
from tests.contracts.neighbours import unit
from tests.models.care.world import flipped


def asked(truth: str, named: str | None, times: int = 1) -> list[Answered]:
    return [Answered(f"{truth}>{named}{i}", truth, named) for i in range(times)]


def test_pairs_count_both_ways_and_the_first_is_the_one_taken_for_the_other() -> None:
    photos = [*asked("a", "a", 3), *asked("a", "b", 1), *asked("b", "a", 3), *asked("b", None), *asked("c", "a", 1)]
    assert confusable_labels(photos) == [
        Confusable("b", "a", 3, 1, 4, 4, ("b>a0", "b>a1"), ("a>b0",)),
    ]
    assert [(p.first, p.second) for p in confusable_labels(photos, least=1)] == [("b", "a"), ("c", "a")]


def test_a_label_never_taken_for_the_other_is_shown_by_photos_that_were_named_right() -> None:
    [pair] = confusable_labels([*asked("a", "b", 2), *asked("b", "b", 3), *asked("b", "c")])
    assert (pair.first, pair.as_first, pair.second_examples) == ("a", 0, ("b>b0", "b>b1"))
    [pair] = confusable_labels([*asked("a", "b", 2), *asked("b", "c")])
    assert pair.second_examples == ()


def test_equal_pairs_go_by_name_and_unanswered_photos_are_no_confusion() -> None:
    photos = [*asked("d", "c", 2), *asked("b", "a", 2), *asked("x", None, 9)]
    assert [(p.first, p.second, p.count) for p in confusable_labels(photos)] == [("b", "a", 2), ("d", "c", 2)]
    assert confusable_labels([]) == []


def test_small_and_large_labels_count_each_label_the_same() -> None:
    labels = ["big"] * 10 + ["mid"] * 4 + ["small"] * 2
    photos = [*asked("big", "big", 8), *asked("big", "mid", 2), *asked("mid", "mid"), *asked("small", "big", 2)]
    effect = size_effect(photos, labels)
    assert (effect.median, effect.smaller) == (4.0, 0.0)
    assert effect.larger == pytest.approx((0.8 + 1.0) / 2)
    assert size_effect([], labels).larger is None


def test_near_duplicates_are_found_across_labels_only() -> None:
    base = unit(np.random.default_rng(0).gamma(0.3, size=(4, 2048)))
    vectors = np.concatenate([base, unit(base[:2] + 0.001)]).astype(np.float32)
    count, found = twins_across(vectors, ["a", "b", "b", "c", "a", "z"], ["1", "2", "3", "4", "5", "6"])
    assert count == 1
    assert found[0].photos == ("2", "6")
    assert found[0].labels == ("b", "z")
    assert 0.985 < found[0].cosine < 1.0


def test_the_same_file_at_two_labels_comes_first_and_the_list_is_cut_but_not_the_count() -> None:
    vectors = np.repeat(unit(np.random.default_rng(0).gamma(0.3, size=(1, 2048))), 4, axis=0)
    count, found = twins_across(vectors, ["d", "c", "b", "a"], ["same", "x", "y", "same"], most=2)
    assert count == 6
    assert found[0] == Twins(("same", "same"), ("a", "d"), 1.0)
    assert len(found) == 2


def test_pairs_in_different_blocks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.care.twins._BLOCK", 2)
    vectors = unit(np.random.default_rng(0).gamma(0.3, size=(5, 2048)))
    vectors[4] = vectors[0]
    assert twins_across(vectors, list("abcde"), list("12345"))[0] == 1


def test_findings_are_json_with_advice_and_counts_beyond_the_lists() -> None:
    world = flipped(0.4)
    cared = take_care(world.photos, Care.LEAVE_OUT)
    answered = [Answered(h, label, label) for h, label in zip(world.photos.hashes, world.photos.labels, strict=True)]
    found = json.loads(json.dumps(data_care(world.photos, answered, cared, Care.LEAVE_OUT)))
    assert set(found) == {"mislabels", "confusable", "twins", "balance", "training"}
    assert found["mislabels"]["count"] > SHOWN == len(found["mislabels"]["photos"])
    first = found["mislabels"]["photos"][0]
    place = world.photos.hashes.index(first["photo"])
    assert (first["label"], first["suggested"]) == (world.photos.labels[place], world.truth[place])
    assert found["training"]["left_out"] == len(cared.left_out) > 0
    assert found["confusable"]["count"] == 0
    assert all(found[part]["advice"] for part in ("mislabels", "confusable", "twins", "balance"))


def test_one_label_or_few_photos_leave_empty_lists() -> None:
    photos = flipped(0.0).photos.subset(np.arange(3))
    found = data_care(replace(photos, labels=("a",) * 3), [], take_care(photos, Care.SELFIE), Care.SELFIE)
    assert found["mislabels"] | {"advice": ""} == {"count": 0, "noise": 0.0, "photos": [], "advice": ""}
    assert found["balance"]["smaller"] is None


def test_drift_says_what_to_do_of_each_change() -> None:
    change = Change("nearest", 0.4, 0.02, "large", {"< 0.5": (0.1, 0.6)})
    found = drift_findings(Drift(100, 200, (change,)))
    assert (found["before"], found["now"], found["level"]) == (100, 200, "large")
    assert "phone photos" in found["changes"][0]["advice"]
    assert drift_findings(Drift(3, 4, ()))["level"] == "none"
