"""The gate: what refuses a challenger, what does not, and that both models are judged as they would be served."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from models.bundle import Bundle
from models.classifiers.fcn import FcnClassifier
from models.training.data import TrainingPhotos
from models.training.gate import LEAST_PHOTOS, Contender, GateSettings, Ruling, comparison_lines, judge
from models.training.pairs import LEAST_GROUP_PHOTOS, HeldPhoto, Pairs, paired_scene_interval, sign_flip_p
from models.values import BOTTLENECK_SIZE, Float32
from models.verdict import VerdictSettings
from models.vote import VoteSettings

LABELS = tuple(f"label {n:02}" for n in range(12))


# The test and the interval


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (0, 1), (0, 6), (3, 11), (11, 3), (40, 60)])
def test_with_one_photo_a_scene_the_test_is_mcnemars_exact_one(won: int, lost: int) -> None:
    gains = np.array([1] * won + [-1] * lost + [0] * 5)
    expected = binomtest(won, won + lost, alternative="less").pvalue if won + lost else 1.0
    assert sign_flip_p(gains) == pytest.approx(expected)


def test_scenes_of_many_photos_are_flipped_as_a_whole() -> None:
    gains = np.array([-5, 3, -1, -1, 2, 0])
    flipped = [np.dot(signs, np.abs(gains)) for signs in itertools.product((1, -1), repeat=len(gains))]
    assert sign_flip_p(gains) == pytest.approx(np.mean([total <= gains.sum() for total in flipped]))
    # Six photos lost one by one are beyond chance, six photos of one scene are one coin.
    assert sign_flip_p(np.array([-1] * 6)) == pytest.approx(1 / 64)
    assert sign_flip_p(np.array([-6])) == pytest.approx(0.5)


def test_the_interval_has_a_width_where_nothing_differs_and_widens_with_scenes() -> None:
    ones = np.ones(100, dtype=int)
    low, high = paired_scene_interval(np.zeros(100, dtype=int), ones)
    assert low is not None and high is not None
    assert -0.03 < low == -high < 0
    # Agresti and Min: b = 12, c = 20 of 100, each with half a photo more: 8 / 102 +- 1.96 sqrt(33 - 64 / 102) / 102.
    low, high = paired_scene_interval(np.array([-1] * 12 + [1] * 20 + [0] * 68), ones)
    assert (low, high) == pytest.approx(
        (8 / 102 - 1.96 * np.sqrt(33 - 64 / 102) / 102, 8 / 102 + 1.96 * np.sqrt(33 - 64 / 102) / 102), abs=1e-3
    )
    wide = paired_scene_interval(np.array([-12, 20, 0]), np.array([12, 20, 68]))
    assert wide[0] is not None and low is not None and wide[0] < low
    assert paired_scene_interval(np.zeros(0, dtype=int), np.zeros(0, dtype=int)) == (None, None)


# The rules


def ruled(
    before: Sequence[bool],
    after: Sequence[bool],
    *,
    scenes: Sequence[int] | None = None,
    groups: Sequence[tuple[str, ...]] | None = None,
    settings: GateSettings | None = None,
) -> Ruling:
    """What comes of photos that each model gets right or wrong: k-NN alone, two labels, a vector of its own a photo.

    A right photo lies with its label in a model's space, a wrong one with the other label.
    """
    count = len(before)
    held = [
        HeldPhoto(f"held {n}", LABELS[n % 2], scenes[n] if scenes else n, groups[n] if groups else ())
        for n in range(count)
    ]
    nothing = frozenset[str]()
    memory = unit([0, 1])

    def contender(version: str, right: Sequence[bool]) -> Contender:
        places = unit([n % 2 if is_right else 1 - n % 2 for n, is_right in enumerate(right)])
        hashes = (*(photo.content_hash for photo in held), "known 0", "known 1")
        labels = (*(photo.label for photo in held), *LABELS[:2])
        vectors = np.concatenate([places, memory])
        return Contender(bundle(version), photos(hashes, labels, vectors), nothing, nothing)

    return judge(contender("v1", before), contender("v2", after), held, settings)


def unit(places: Sequence[int]) -> Float32:
    """A vector along each of these axes, (n, 2048)."""
    vectors = np.zeros((len(places), BOTTLENECK_SIZE), np.float32)
    vectors[np.arange(len(places)), list(places)] = 1.0
    return vectors


def photos(hashes: Sequence[str], labels: Sequence[str], vectors: Float32) -> TrainingPhotos:
    return TrainingPhotos(
        tuple(hashes), tuple(labels), vectors, np.empty((len(labels), 0, BOTTLENECK_SIZE), np.float32)
    )


def bundle(version: str, fcn: FcnClassifier | None = None) -> Bundle:
    vote, verdict = VoteSettings.prior(), VerdictSettings.prior()
    return Bundle(version, f"space {version}", "fake", "2026-01-01", fcn, None, None, vote, verdict, {}, "0" * 64)


def lost(count: int, total: int) -> tuple[list[bool], list[bool]]:
    """The champion gets all right, the challenger all but ``count``."""
    return [True] * total, [False] * count + [True] * (total - count)


def test_equal_models_pass_and_the_reason_has_the_figures() -> None:
    ruling = ruled([True] * 30, [True] * 30)
    assert ruling.promote is True
    assert "not worse: vote Top-1 100.0 % before, 100.0 % now, on 30 photos of 30 scenes (+0.0 points" in ruling.reason
    comparison = ruling.comparison
    assert (comparison["photos"], comparison["won"], comparison["lost"], comparison["p_worse"]) == (30, 0, 0, 1.0)
    assert comparison["top1"]["low"] < 0 < comparison["top1"]["high"]
    json.dumps(comparison, allow_nan=False)


def test_a_single_photo_never_decides_and_a_second_one_does_in_a_small_hold_out() -> None:
    assert ruled(*lost(1, 12)).promote is True
    refused = ruled(*lost(2, 12))
    assert refused.promote is False
    assert "the drop is larger than the bound of 2.0 points" in refused.reason
    assert "(-16.7 points" in refused.reason
    assert ruled(*lost(2, 12), settings=GateSettings(max_drop=0.17)).promote is True


def test_the_bound_is_on_what_is_lost_net() -> None:
    before, after = lost(3, 100)
    assert ruled(before, after).promote is False
    assert ruled([*before, False], [*after, True]).promote is True  # 3 lost, 1 won: 2 of 101 photos
    assert ruled(before, after).comparison["bounds"]["max_drop"] == 0.02


def test_a_small_drop_beyond_chance_is_refused_unless_it_is_one_scene() -> None:
    before, after = lost(8, 600)
    refused = ruled(before, after)
    assert refused.promote is False
    assert "worse beyond chance (p = 0.0039)" in refused.reason and "bound" not in refused.reason
    one_scene = ruled(before, after, scenes=[0] * 8 + list(range(1, 593)))
    assert one_scene.promote is True
    assert one_scene.comparison["p_worse"] == 0.5


def test_a_category_may_not_pay_for_the_gain_of_the_others() -> None:
    dairy = ("Food", "Food > Dairy")
    before = [True] * 20 + [False] * 20
    after = [False] * 3 + [True] * 37
    ruling = ruled(before, after, groups=[dairy] * 20 + [("Food",)] * 20)
    assert ruling.promote is False
    assert "Food > Dairy falls by 15.0 points on 20 photos, more than the bound of 10.0" in ruling.reason
    rows = {row["group"]: row for row in ruling.comparison["groups"]}
    assert (rows["Food"]["photos"], rows["Food"]["too_low"], rows["Food > Dairy"]["too_low"]) == (40, False, True)
    two_lost = [False] * 2 + [True] * 38
    assert ruled(before, two_lost, groups=[dairy] * 20 + [("Food",)] * 20).promote is True
    fewer = [dairy] * (LEAST_GROUP_PHOTOS - 1) + [("Food",)] * 21
    assert [row["group"] for row in ruled(before, after, groups=fewer).comparison["groups"]] == ["Food"]
    assert ruled(before, after, groups=fewer).promote is True


def test_too_few_photos_decide_nothing_and_say_so() -> None:
    ruling = ruled([True] * (LEAST_PHOTOS - 1), [True] * (LEAST_PHOTOS - 1))
    assert ruling.promote is None
    assert f"only {LEAST_PHOTOS - 1} hold-out photos" in ruling.reason and "by hand" in ruling.reason
    none = ruled([], [])
    assert none.promote is None
    assert none.comparison["top1"] == {
        "champion": None, "challenger": None, "difference": None, "low": None, "high": None
    }  # fmt: skip
    json.dumps(none.comparison, allow_nan=False)
    assert ruled([True] * LEAST_PHOTOS, [True] * LEAST_PHOTOS).promote is True


# As they would be served


def linear(labels: Sequence[str], places: Sequence[int]) -> FcnClassifier:
    """An FCN that is sure of ``labels[i]`` where a photo lies along the axis ``places[i]``."""
    order = np.argsort(labels)
    weight = 20.0 * unit(places).T[:, order]
    return FcnClassifier(np.ascontiguousarray(weight), np.zeros(len(labels), np.float32), sorted(labels))


def world(held_each: int = 1, labels: Sequence[str] = LABELS) -> tuple[list[HeldPhoto], TrainingPhotos]:
    """Labels along an axis each; of each, photos in the hold-out and one that is not."""
    held = [
        HeldPhoto(f"{label} held {n}", label, 100 * i + n) for i, label in enumerate(labels) for n in range(held_each)
    ]
    places = [labels.index(photo.label) for photo in held] + list(range(len(labels)))
    hashes = [photo.content_hash for photo in held] + [f"{label} known" for label in labels]
    return held, photos(hashes, [photo.label for photo in held] + list(labels), unit(places))


def contender(version: str, known: TrainingPhotos, fcn: FcnClassifier | None = None) -> Contender:
    return Contender(bundle(version, fcn), known, frozenset(), frozenset())


def test_the_hold_out_is_in_no_memory() -> None:
    """Each held photo is nearest to itself, and to the next label's photo after that."""
    held, known = world()
    vectors = known.originals.copy()
    vectors[: len(held)] = 0.6 * np.roll(vectors[: len(held)], 1, axis=0)
    vectors[np.arange(len(held)), 100 + np.arange(len(held))] = 0.8
    alone = photos(known.hashes, known.labels, vectors)
    ruling = judge(contender("v1", alone), contender("v2", alone), held)
    assert (ruling.comparison["photos"], ruling.comparison["top1"]["champion"]) == (12, 0.0)


def test_reviewed_photos_that_the_champion_never_saw_are_not_in_its_memory() -> None:
    """Wrong ones lie right on the held photos: served with either model, and the challenger's doing all the same."""
    held, known = world()
    wrong = photos(
        (*known.hashes, *(f"wrong {n}" for n in range(12))),
        (*known.labels, *(LABELS[(n + 1) % 12] for n in range(12))),
        np.concatenate([known.originals, known.originals[:12]]),
    )
    vectors = wrong.originals.copy()
    # The label's own photo is a little farther off than the wrong one.
    vectors[12:24] = 0.8 * vectors[12:24]
    vectors[np.arange(12, 24), 100 + np.arange(12)] = 0.6
    taught = photos(wrong.hashes, wrong.labels, vectors)
    new = frozenset(f"wrong {n}" for n in range(12))
    champion = replace(contender("v1", taught), new_reviewed=new)
    ruling = judge(champion, contender("v2", taught), held)
    top1 = ruling.comparison["top1"]
    assert (top1["champion"], top1["challenger"]) == (1.0, 0.0)
    assert ruling.promote is False
    assert ruling.comparison["new_reviewed_photos"] == 12
    # With the memory that both are served with, nothing of it could be seen.
    assert judge(contender("v1", taught), contender("v2", taught), held).promote is True


def test_labels_that_have_left_the_catalogue_are_masked_as_in_serving() -> None:
    held, known = world()
    gone = linear(["gone", *LABELS], [0, *range(12)])
    loud = FcnClassifier(gone.weight, gone.bias + 50.0 * (np.array(gone.labels) == "gone"), gone.labels)
    ruling = judge(contender("v1", known, loud), contender("v2", known, linear(LABELS, range(12))), held)
    assert ruling.comparison["top1"]["champion"] == 1.0
    assert ruling.promote is True
    assert ruling.comparison["forgotten_labels"] == 0


def test_new_labels_are_reported_apart_and_hide_nothing() -> None:
    held, known = world(held_each=2)
    old = linear(LABELS[:6], range(6))
    # Confuses two of the six that the champion knows; knows six more.
    confused = linear(LABELS, [1, 0, *range(2, 12)])
    before = photos(known.hashes, known.labels, known.originals)
    ruling = judge(contender("v1", before, old), contender("v2", known, confused), held)
    assert ruling.promote is False
    comparison = ruling.comparison
    assert (comparison["photos"], comparison["labels"], comparison["lost"]) == (12, 6, 4)
    assert (comparison["new_labels"]["photos"], comparison["new_labels"]["labels"]) == (12, 6)
    assert comparison["new_labels"]["top1"] == {"champion": 1.0, "challenger": 1.0, "difference": 0.0}
    told = "\n".join(comparison_lines(comparison))
    assert "12 hold-out photos" in told and "6 labels that FCN and SVM have learnt since" in told
    assert comparison_lines(None) == []


def test_labels_that_the_challenger_forgets_count_against_it() -> None:
    held, known = world(held_each=2)
    vectors = known.originals.copy()
    vectors[len(held) :] = 0.0
    vectors[len(held) :, 500:512] = np.eye(12)  # the memory is of no help: what FCN forgets is lost
    known = photos(known.hashes, known.labels, vectors)
    ruling = judge(
        contender("v1", known, linear(LABELS, range(12))), contender("v2", known, linear(LABELS[:9], range(9))), held
    )
    assert ruling.promote is False
    assert (ruling.comparison["photos"], ruling.comparison["forgotten_labels"]) == (24, 3)


def test_a_champion_of_knn_alone_is_compared_on_every_label() -> None:
    held, known = world()
    ruling = judge(contender("v1", known), contender("v2", known, linear(LABELS, range(12))), held)
    assert ruling.promote is True
    assert (ruling.comparison["photos"], ruling.comparison["new_labels"]["photos"]) == (12, 0)


def test_what_either_has_seen_and_what_a_space_lacks_is_left_out_and_counted() -> None:
    held, known = world(held_each=2)
    fewer = known.subset(np.arange(1, len(known)))
    champion = replace(contender("v1", fewer), trained_on=frozenset({held[2].content_hash, held[3].content_hash}))
    challenger = replace(
        contender("v2", known), seen_by_backbone=frozenset({held[3].content_hash, held[5].content_hash})
    )
    comparison = judge(champion, challenger, held).comparison
    assert comparison["left_out"] == {"trained_on": 2, "seen_by_backbone": 1, "without_bottleneck": 1}
    assert comparison["photos"] == len(held) - 4


def test_models_of_two_spaces_are_judged_each_on_its_own_vectors() -> None:
    """The champion's space has the axes in another order; either model is lost in the other's."""
    held, known = world()
    turned = np.roll(np.arange(12), 5)
    elsewhere = known.originals.copy()
    elsewhere[:, :12] = elsewhere[:, turned]
    other = photos(known.hashes, known.labels, elsewhere)
    places = [int(np.flatnonzero(turned == n)[0]) for n in range(12)]
    champion = contender("v1", other, linear(LABELS, places))
    challenger = contender("v2", known, linear(LABELS, range(12)))
    ruling = judge(champion, challenger, held)
    assert (ruling.comparison["top1"]["champion"], ruling.comparison["top1"]["challenger"]) == (1.0, 1.0)
    assert ruling.promote is True


def test_judging_twice_gives_the_same_and_changes_no_input() -> None:
    held, known = world(held_each=2)
    before = known.originals.copy()
    first, second = (
        judge(contender("v1", known, linear(LABELS, range(12))), contender("v2", known), held) for _ in range(2)
    )
    assert first == second
    assert np.array_equal(known.originals, before)


def test_pairs_count_what_only_one_gets_right() -> None:
    held = [HeldPhoto(str(n), "a", n) for n in range(4)]
    pairs = Pairs.of(held, [["a"], ["a"], ["b"], []], [["a"], ["b", "a"], ["a"], []])
    assert (pairs.won, pairs.lost, len(pairs)) == (1, 1, 4)
    table = pairs.table()
    assert (table["top1"]["champion"], table["top5"]["challenger"]) == (0.5, 0.75)
