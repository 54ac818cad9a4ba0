"""The recognizer: the order of the stages, on a backbone without a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.bundle import Bundle
from models.classifiers.exact import ExactNeighbours
from models.classifiers.fcn import FcnClassifier
from models.classifiers.svm import SvmClassifier
from models.errors import BundleMismatch, UsageError
from models.recognizer import Recognizer
from models.values import Advice, Features, Photo, VerdictName, VoteState
from models.verdict import VerdictSettings
from models.vote import VoteSettings
from tests.contracts.fake_backbone import FakeBackbone

HUES = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200), "grey": (120, 120, 120)}
HUES |= {"teal": (10, 160, 160), "gold": (220, 180, 20), "pink": (240, 130, 180), "new": (90, 10, 160)}


def photo(hue: str, shift: int = 0) -> Photo:
    """A photo of a block of colour, each hue in a place of its own on a dark table."""
    pixels = np.full((320, 320, 3), 20, np.uint8)
    row, column = divmod(list(HUES).index(hue), 3)
    pixels[20 + 100 * row + shift : 110 + 100 * row, 10 + 100 * column : 100 + 100 * column] = HUES[hue]
    advice = (Advice("dark", "more light"),) if hue == "blue" else ()
    return Photo(pixels, f"{hue:0>64}", "png", 320, 320, advice)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """Knows all hues; ``new`` is known to k-NN alone."""
    backbone = FakeBackbone()
    bundle = Bundle(
        version="v7",
        space=backbone.space,
        weights="fake",
        created_at="2026-01-01T00:00:00+00:00",
        fcn=None,
        svm=None,
        types=None,
        vote=replace(VoteSettings.prior(), calibrated=True),
        verdict=replace(VerdictSettings.prior(), calibrated=True),
        metrics={},
        manifest_sha256="0" * 64,
    )
    bare = Recognizer(bundle, backbone, ExactNeighbours(np.zeros((0, 2048), np.float32), []))
    shots = [(hue, bare.features(photo(hue, shift)).vector) for hue in HUES for shift in (0, 6, 12)]
    vectors, labels = np.stack([vector for _, vector in shots]), [hue for hue, _ in shots]
    taught = [i for i, label in enumerate(labels) if label != "new"]
    names = sorted(set(HUES) - {"new"})
    means = np.stack([vectors[[i for i in taught if labels[i] == name]].mean(axis=0) for name in names], axis=1)
    svm = SvmClassifier(means, np.full(len(names), -0.5, np.float32), names)
    fcn = FcnClassifier(20 * means, np.zeros(len(names), np.float32), names)
    return Recognizer(replace(bundle, fcn=fcn, svm=svm), backbone, ExactNeighbours(vectors, labels))


def with_bundle(recognizer: Recognizer, bundle: Bundle) -> Recognizer:
    """The same with another bundle."""
    empty = ExactNeighbours(np.zeros((0, 2048), np.float32), [])
    return Recognizer(bundle, recognizer.backbone, empty)


@pytest.mark.parametrize("hue", sorted(set(HUES) - {"new"}))
def test_a_photo_is_answered_with_its_product_first(recognizer: Recognizer, hue: str) -> None:
    answer = recognizer.recognize(photo(hue, 4), decode_ms=12.5)
    labels = [candidate.label for candidate in answer.ranking.candidates]
    assert labels[0] == hue
    assert len(labels) == len(set(labels)) == 5
    assert answer.advice == photo(hue).advice
    assert (answer.model_version, answer.weights, answer.calibrated) == ("v7", "fake", True)
    assert answer.timings_ms["decode"] == 12.5
    parts = sum(answer.timings_ms[name] for name in ("decode", "network", "classify"))
    assert answer.timings_ms["total"] == pytest.approx(parts)


def test_a_new_product_is_among_the_candidates_and_each_shows_what_the_three_say(recognizer: Recognizer) -> None:
    candidates = {c.label: c for c in recognizer.recognize(photo("new", 4)).ranking.candidates}
    assert candidates["new"].votes["knn"].rank == 1
    assert all(set(c.votes) == {"fcn", "knn", "svm"} for c in candidates.values())
    states = {name: vote.state for name, vote in candidates["new"].votes.items()}
    assert states == {"fcn": VoteState.LABEL_UNKNOWN, "knn": VoteState.RANKED, "svm": VoteState.LABEL_UNKNOWN}


def test_what_has_left_the_catalogue_is_masked_before_each_top_five_and_before_the_verdict(
    recognizer: Recognizer,
) -> None:
    asked: list[frozenset[str]] = []
    all_named = recognizer.predict(recognizer.features(photo("red", 4)))
    gone = frozenset(scored.label for scored in all_named[0].ranked[:2])
    assert "red" in gone

    def withdrawn(named: frozenset[str]) -> frozenset[str]:
        asked.append(named)
        return gone & named  # nothing is known before it is asked about

    answer = recognizer.recognize(photo("red", 4), withdrawn=withdrawn)
    labels = [candidate.label for candidate in answer.ranking.candidates]
    assert len(labels) == 5 and not gone & set(labels)
    assert asked[0] == frozenset() and gone <= asked[1]
    assert not asked[-1] & gone
    everyone = recognizer.predict(recognizer.features(photo("red", 4)), without=gone)
    assert {p.classifier: len(p.ranked) for p in everyone if p.classifier != "knn"} == {"fcn": 5, "svm": 5}
    assert not gone & {scored.label for p in everyone for scored in p.ranked}
    assert sum(scored.score for p in everyone if p.classifier == "fcn" for scored in p.ranked) > 0.99


def test_narrowed_to_a_category_the_verdict_asks_nothing_of_what_has_left_outside_it(recognizer: Recognizer) -> None:
    within = frozenset({"red", "green", "blue"})
    asked: list[frozenset[str]] = []

    def withdrawn(named: frozenset[str]) -> frozenset[str]:
        asked.append(named)
        return named - within

    answer = recognizer.recognize(photo("green", 4), within=within, withdrawn=withdrawn)
    assert asked[1] > within, "the labels of the whole catalogue are asked about too"
    assert asked[-1] == within
    assert [c.label for c in answer.ranking.candidates][:1] == ["green"]
    assert {c.label for c in answer.ranking.candidates} == within


def test_another_space_is_refused_with_what_to_load(recognizer: Recognizer) -> None:
    with pytest.raises(BundleMismatch, match="load the backbone of the bundle's space"):
        with_bundle(recognizer, replace(recognizer.bundle, space="elsewhere"))


def test_features_of_another_space_are_refused(recognizer: Recognizer) -> None:
    features = recognizer.features(photo("red"))
    assert features.space == recognizer.space == "fake-space"
    with pytest.raises(BundleMismatch, match="elsewhere"):
        recognizer.predict(Features(features.vector, "elsewhere"))


@pytest.mark.parametrize("top_k", [0, -1, 21])
def test_top_k_outside_1_to_20_is_refused(recognizer: Recognizer, top_k: int) -> None:
    with pytest.raises(UsageError, match=f"got {top_k}"):
        recognizer.recognize(photo("red"), top_k=top_k)


@pytest.mark.parametrize("top_k", [1, 3, 5, 8, 20])
def test_top_k_candidates_come_or_all_there_are_and_the_verdict_does_not_depend_on_it(
    recognizer: Recognizer, top_k: int
) -> None:
    answer, usual = recognizer.recognize(photo("gold"), top_k=top_k), recognizer.recognize(photo("gold"))
    assert len(answer.ranking.candidates) == min(top_k, len(HUES))
    assert answer.ranking.candidates[0].label == usual.ranking.candidates[0].label
    assert answer.ranking.candidates[0].score == pytest.approx(usual.ranking.candidates[0].score, abs=1e-6)
    assert answer.verdict is usual.verdict


def test_narrowed_to_a_category_five_remain_and_nothing_else_is_named(recognizer: Recognizer) -> None:
    category = frozenset(HUES) - {"red", "pink", "gold"}
    found = {c.label for c in recognizer.recognize(photo("red"), within=category).ranking.candidates}
    assert len(found) == 5
    assert found == category


@pytest.mark.parametrize("top_k", [6, 8, 20])
def test_more_candidates_are_appended_behind_the_same_first_five(recognizer: Recognizer, top_k: int) -> None:
    for hue in HUES:
        more = recognizer.recognize(photo(hue, 4), top_k=top_k).ranking.candidates
        usual = recognizer.recognize(photo(hue, 4)).ranking.candidates
        assert [(c.label, c.score) for c in more[:5]] == [(c.label, c.score) for c in usual]
        scores = [c.score for c in more]
        assert scores == sorted(scores, reverse=True)
        assert len({c.label for c in more}) == len(more)


def test_a_category_of_one_label_does_not_make_every_photo_a_known_product(recognizer: Recognizer) -> None:
    """Within the category the classifiers have no choice but to agree; the verdict must not take that for proof."""
    answer = recognizer.recognize(photo("red", 4), within=frozenset({"teal"}))
    assert [candidate.label for candidate in answer.ranking.candidates] == ["teal"]
    assert answer.verdict is not VerdictName.KNOWN
    right = recognizer.recognize(photo("red", 4), within=frozenset({"red", "teal"}))
    assert right.verdict is recognizer.recognize(photo("red", 4)).verdict


def test_an_empty_category_gives_no_candidates_and_unknown(recognizer: Recognizer) -> None:
    answer = recognizer.recognize(photo("red"), within=frozenset())
    assert answer.ranking.candidates == ()
    assert answer.verdict is VerdictName.UNKNOWN


def test_known_since_says_when_fcn_and_svm_learned_a_label(recognizer: Recognizer) -> None:
    then = recognizer.bundle.created_at
    assert recognizer.known_since("red") == {"fcn": then, "svm": then}
    assert recognizer.known_since("new") == {"fcn": None, "svm": None}
    knn_only = with_bundle(recognizer, replace(recognizer.bundle, fcn=None, svm=None))
    assert knn_only.known_since("red") == {"fcn": None, "svm": None}


@pytest.mark.parametrize(("vote", "verdict", "both"), [(True, True, True), (True, False, False), (False, True, False)])
def test_calibrated_means_vote_and_verdict_both(recognizer: Recognizer, vote: bool, verdict: bool, both: bool) -> None:
    bundle = replace(
        recognizer.bundle,
        vote=replace(recognizer.bundle.vote, calibrated=vote),
        verdict=replace(recognizer.bundle.verdict, calibrated=verdict),
    )
    assert with_bundle(recognizer, bundle).calibrated is both


def test_with_nothing_in_memory_and_nothing_trained_there_is_no_candidate(recognizer: Recognizer) -> None:
    bare = with_bundle(recognizer, replace(recognizer.bundle, fcn=None, svm=None))
    answer = bare.recognize(photo("red"))
    assert answer.ranking.candidates == ()
    assert answer.verdict is VerdictName.UNKNOWN


def test_the_svm_it_serves_is_the_bundles(recognizer: Recognizer) -> None:
    assert isinstance(recognizer.bundle.svm, SvmClassifier)
    predictions = recognizer.predict(recognizer.features(photo("teal")))
    assert [p.classifier for p in predictions] == ["fcn", "knn", "svm"]


def test_a_category_does_not_make_a_strangers_photo_known(recognizer: Recognizer) -> None:
    """In a category of one label every model is certain of it; the verdict asks the whole catalogue."""
    sure = replace(recognizer.bundle, verdict=replace(VerdictSettings.prior(), low=0.0, high=0.0))
    accepting = Recognizer(sure, recognizer.backbone, recognizer._classifiers[1].neighbours)  # type: ignore[attr-defined]
    inside = accepting.recognize(photo("red", 4), within=frozenset({"red"}))
    assert [c.label for c in inside.ranking.candidates] == ["red"]
    assert inside.verdict is VerdictName.KNOWN
    outside = accepting.recognize(photo("red", 4), within=frozenset({"blue"}))
    assert [c.label for c in outside.ranking.candidates] == ["blue"]
    assert outside.verdict is VerdictName.UNSURE
    assert accepting.recognize(photo("red", 4), within=frozenset()).verdict is VerdictName.UNKNOWN


def test_asking_for_more_candidates_changes_neither_the_first_five_nor_the_verdict(recognizer: Recognizer) -> None:
    for hue in HUES:
        few, many = (recognizer.recognize(photo(hue, 4), top_k=k) for k in (5, 8))
        assert [c.label for c in many.ranking.candidates][:5] == [c.label for c in few.ranking.candidates]
        assert few.verdict is many.verdict
        scores = [c.score for c in many.ranking.candidates]
        assert scores == sorted(scores, reverse=True)
        assert len({c.label for c in many.ranking.candidates}) == 8


@pytest.mark.parametrize("hue", sorted(HUES))
def test_an_explained_answer_shows_where_the_product_is(recognizer: Recognizer, hue: str) -> None:
    answer = recognizer.recognize(photo(hue, 4), explain=True)
    first = answer.ranking.candidates[0].label
    assert first == hue
    assert set(answer.heat_maps) == {candidate.label for candidate in answer.ranking.candidates}
    heat = answer.heat_maps[hue]
    assert heat.classifier == ("knn" if hue == "new" else "fcn")
    row, column = divmod(list(HUES).index(hue), 3)
    x, y = heat.peak
    assert 10 + 100 * column <= 320 * x <= 100 + 100 * column
    assert 20 + 100 * row <= 320 * y <= 110 + 100 * row


def test_an_answer_is_the_same_with_and_without_an_explanation(recognizer: Recognizer) -> None:
    plain, explained = recognizer.recognize(photo("teal")), recognizer.recognize(photo("teal"), explain=True)
    assert plain.ranking == explained.ranking and plain.verdict == explained.verdict
    assert plain.heat_maps == {}


def test_without_an_fcn_the_svm_explains_and_a_forgotten_label_has_no_map(recognizer: Recognizer) -> None:
    without_fcn = with_bundle(recognizer, replace(recognizer.bundle, fcn=None))
    answer = without_fcn.recognize(photo("gold"), explain=True)
    assert {heat.classifier for heat in answer.heat_maps.values()} == {"svm"}
    look = recognizer.backbone.extract_with_maps([photo("gold").pixels[:299, :299]])
    assert without_fcn._heat_map("new", look[0][0], look[1][0]) is None
