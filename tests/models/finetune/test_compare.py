"""The comparison of two sets of weights: figures, intervals over scenes, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from models.classifiers.fcn import FcnClassifier
from models.training.finetune.compare import (
    Answers,
    _drawn_figures,
    answer,
    compare,
    fit_probe,
    outcome,
    table_lines,
)
from models.training.finetune.photos import ChosenPhotos
from models.training.measures import summary
from tests.models.finetune.world import UnreadablePhoto
from tests.models.synthetic import make_photos

PROBE = FcnClassifier(np.zeros((2048, 2), np.float32), np.zeros(2, np.float32), ["a", "b"])
TRUTH = list("aabbccdd") * 5


def photos(truth: list[str], scenes: list[int], *, seen_before: int = 0) -> ChosenPhotos:
    judged = tuple(UnreadablePhoto(f"{i:064x}", label) for i, label in enumerate(truth))
    return ChosenPhotos((), (), judged, np.array(scenes, dtype=np.intp), seen_before)


def answers(first: list[str]) -> Answers:
    """The same first labels by both classifiers, ``d`` second."""
    ranked = [[label, "d"] if label != "d" else ["d"] for label in first]
    return Answers({"probe": ranked, "knn": ranked}, PROBE)


def wrong(*places: int) -> list[str]:
    """The truth, but for these photos."""
    return ["c" if i in places and label != "c" else label for i, label in enumerate(TRUTH)]


def test_equal_answers_differ_by_nothing() -> None:
    found = compare(answers(wrong(0, 1)), answers(wrong(0, 1)), photos(TRUTH, list(range(40))))
    for measure in ("top1", "top5", "macro_f1"):
        assert found["knn"]["difference"][measure] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert outcome(found) == "no difference shown"


def test_figures_are_the_projects_measures_and_differences_are_after_minus_before() -> None:
    before, after = answers(wrong(*range(0, 40, 2))), answers(wrong(0))
    found = compare(before, after, photos(TRUTH, list(range(40)), seen_before=3))
    assert found["probe"]["before"] == summary(before.ranked["probe"], TRUTH)
    assert found["probe"]["after"] == summary(after.ranked["probe"], TRUTH)
    gap = found["probe"]["difference"]["top1"]
    assert gap["mean"] == pytest.approx(found["probe"]["after"]["top1"] - found["probe"]["before"]["top1"])
    assert 0 < gap["low"] < gap["mean"] < gap["high"] < 1
    assert outcome(found) == "better"
    assert outcome(compare(after, before, photos(TRUTH, list(range(40))))) == "worse"
    assert (found["photos"], found["scenes"], found["labels"], found["seen_before"]) == (40, 40, 4, 3)


def test_photos_of_one_scene_count_together() -> None:
    """Ten wrong photos of ten scenes say more than ten of one scene."""
    before, after = answers(wrong(*range(8))), answers(TRUTH)
    apart = compare(before, after, photos(TRUTH, list(range(40))))["probe"]["difference"]["top1"]
    together = compare(before, after, photos(TRUTH, [i // 8 for i in range(40)]))["probe"]["difference"]["top1"]
    assert apart["mean"] == together["mean"]
    assert together["high"] - together["low"] > 1.5 * (apart["high"] - apart["low"])


def test_a_draw_of_every_photo_once_gives_the_measures_themselves() -> None:
    ranked = [[label] for label in wrong(0, 3, 9)]
    ranked[5] = ["nobody's label"]
    ranked[6] = []
    figures = _drawn_figures(ranked, TRUTH, np.ones((1, 40)))[0]
    assert dict(zip(("top1", "top5", "macro_f1"), figures, strict=True)) == pytest.approx(summary(ranked, TRUTH))


def test_a_draw_weighs_photos_as_if_they_were_repeated() -> None:
    ranked, weights = [[label] for label in wrong(0, 3, 9, 20)], np.arange(40) % 3
    repeated = [i for i in range(40) for _ in range(weights[i])]
    expected = summary([ranked[i] for i in repeated], [TRUTH[i] for i in repeated])
    figures = _drawn_figures(ranked, TRUTH, weights[None].astype(float))[0]
    assert dict(zip(("top1", "top5", "macro_f1"), figures, strict=True)) == pytest.approx(expected)


def test_one_scene_gives_no_interval_and_no_photo_no_figures() -> None:
    single = compare(answers(wrong(0)), answers(TRUTH), photos(TRUTH, [7] * 40))
    assert single["probe"]["difference"]["top1"] == {"mean": pytest.approx(1 / 40), "low": None, "high": None}
    assert outcome(single) == "not measured"
    assert "+2.5" in table_lines(single)[2]
    none = compare(Answers({"probe": [], "knn": []}, PROBE), Answers({"probe": [], "knn": []}, PROBE), photos([], []))
    assert (none["probe"], none["knn"], none["photos"]) == (None, None, 0)
    assert outcome(none) == "not measured"
    assert table_lines(none) == ["no calibration or test photo is left to compare on: the gain is unknown"]


def test_the_table_shows_both_classifiers_with_intervals() -> None:
    found = compare(answers(wrong(*range(0, 40, 2))), answers(TRUTH), photos(TRUTH, list(range(40))))
    lines = table_lines(found)
    assert lines[0].startswith("40 photos of 40 scenes")
    assert [line.split()[0] for line in lines[2:]] == ["softmax"] * 3 + ["k-NN"] * 3
    assert all("(+" in line and "to +" in line for line in lines[2:])


def test_answers_are_fitted_on_the_taught_photos_alone() -> None:
    made, _ = make_photos({label: [1] * 12 for label in "abc"}, spread=0.5)
    listed = [UnreadablePhoto(h, label) for h, label in zip(made.hashes, made.labels, strict=True)]
    taught, choosing, judged = (list(range(start, 36, 3)) for start in range(3))
    chosen = ChosenPhotos(
        tuple(listed[i] for i in taught),
        tuple(listed[i] for i in choosing),
        tuple(listed[i] for i in judged),
        np.arange(len(judged)),
        0,
    )
    vectors = made.originals[[*taught, *choosing, *judged]]
    found = answer(chosen, vectors)
    assert found.probe.labels == ("a", "b", "c")
    for ranked in found.ranked.values():
        assert [len(names) for names in ranked] == [3] * len(judged)
        assert summary(ranked, [photo.label for photo in chosen.judged])["top1"] == 1.0


def test_without_validation_photos_the_probe_takes_a_fixed_strength() -> None:
    made, _ = make_photos({label: [1] * 5 for label in "ab"})
    assert fit_probe(made.plain(), (made.originals[:0], [])).labels == ("a", "b")
