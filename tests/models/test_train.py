"""Training as a whole: what is fitted on what, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import models.training.train as training
from models.errors import NotEnoughData
from models.training.crossfit import CrossFit, CrossFitSettings
from models.training.data import TrainingPhotos
from models.training.fit.fcn import FcnFit, FcnSettings
from models.training.fit.vote import fit_platt, fit_vote, rank_sum
from models.training.measures import summary
from models.training.reports.tables import augmentation_table, new_label_table, rules_table, table3, voted_photos
from models.training.splits import make_split
from models.training.train import Trained, TrainingData, _final, _hold_out, _taught, train
from models.verdict import VerdictSettings
from models.vote import Vote, VoteSettings, platt
from tests.models.conftest import FOLDS, Run
from tests.models.synthetic import judged, make_photos, says, strangers


def test_the_final_models_know_every_label_with_three_photos_outside_the_hold_out(run: Run) -> None:
    trained = run.trained
    assert trained.fcn is not None and trained.svm is not None
    assert trained.fcn.known == trained.svm.known == set(run.data.photos.labels) - {"tiny"}
    assert trained.metrics["data"]["labels_trained"] == 13
    assert trained.metrics["data"]["labels"] == 14


def test_table_3_has_the_three_classifiers_and_the_vote_with_spread_and_times(run: Run) -> None:
    table = run.trained.metrics["table3"]
    assert set(table) == {"fcn", "knn", "svm", "vote", "calibration"}
    for name in ("fcn", "knn", "svm", "vote"):
        for measure in ("top1", "top5", "macro_f1"):
            assert 0.3 < table[name][measure]["mean"] <= 1.0
            assert table[name][measure]["std"] >= 0.0
        assert table[name]["top5"]["mean"] >= table[name]["top1"]["mean"]
    assert table["fcn"]["fit_seconds"]["mean"] > 0
    assert "fit_seconds" not in table["knn"]


def test_table_3_is_what_the_judged_photos_say(run: Run) -> None:
    known = [p for p in run.trained.fit.known if p.content_hash not in run.data.seen_by_backbone]
    folds = []
    for fold in range(FOLDS):
        own = [p for p in known if p.fold == fold]
        lists = [[s.label for q in p.predictions if q.classifier == "svm" for s in q.ranked] for p in own]
        folds.append(summary(lists, [p.truth or "" for p in own])["top1"])
    assert run.trained.metrics["table3"]["svm"]["top1"]["mean"] == pytest.approx(np.mean(folds))


def test_photos_the_backbone_saw_fit_and_measure_nothing_but_a_table_of_their_own(run: Run) -> None:
    metrics, known = run.trained.metrics, run.trained.fit.known
    seen = [p for p in known if p.content_hash in run.data.seen_by_backbone]
    assert len(seen) == metrics["data"]["seen_by_backbone"] == 4
    assert metrics["table3"]["calibration"]["photos"] == len(known) - 4
    assert metrics["verdict"]["photos"]["known"] == len(known) - 4
    flattered = metrics["table3_with_seen"]
    assert flattered["calibration"]["photos"] == len(known)
    assert set(flattered) == set(metrics["table3"])
    folds = [[p for p in known if p.fold == fold] for fold in range(FOLDS)]
    right = [np.mean([q.rank(p.truth or "") == 1 for p in own for q in p.predictions[1:2]]) for own in folds]
    assert flattered["knn"]["top1"]["mean"] == pytest.approx(np.mean(right))


def test_every_rule_is_compared_with_the_vote_by_paired_differences(run: Run) -> None:
    rules = run.trained.metrics["rules"]
    assert {"fcn", "knn", "svm", "vote", "rank_sum", "equal_weights", "majority_first", "support_only"} < set(rules)
    for name, row in rules.items():
        if name == "vote_holds":
            assert set(row) == {"top1", "top5"}
            continue
        gap = rules["vote"]["top1"]["mean"] - row["top1"]["mean"]
        assert row["vote_minus_top1"]["mean"] == pytest.approx(gap)
        low, high = row["vote_minus_top1"]["interval_95"]
        assert low <= high
    assert rules["vote"]["vote_minus_top5"]["interval_95"] == (0.0, 0.0)


def test_the_hold_out_is_measured_on_models_that_never_saw_it(run: Run) -> None:
    hold_out = run.trained.metrics["hold_out"]
    assert hold_out["photos"] == len(run.data.split.role("hold_out")) == run.trained.metrics["data"]["hold_out_photos"]
    assert set(hold_out) == {"photos", "seen_by_backbone", "fcn", "knn", "svm", "vote"}
    assert hold_out["seen_by_backbone"] == 0
    assert hold_out["vote"]["top5"] > 0.5


def test_rejection_is_measured_near_and_far_apart(run: Run) -> None:
    verdict = run.trained.metrics["verdict"]
    near = sum(p.content_hash not in run.data.seen_by_backbone for p in run.trained.fit.foreign)
    assert verdict["photos"]["near"] == near
    assert verdict["photos"]["far"] == 60
    assert verdict["all"]["false_accept"] * (60 + near) == pytest.approx(
        verdict["near"]["false_accept"] * near + verdict["far"]["false_accept"] * 60
    )
    assert verdict["new"]["false_accept"] is None
    assert 0 < verdict["new"]["wrong_known"] < 1


def test_what_augmentation_gains_is_the_difference_over_the_same_folds(run: Run) -> None:
    table = run.trained.metrics["augmentation"]
    assert set(table) == {"fcn", "svm"}
    for row in table.values():
        expected = row["top1"]["with"]["mean"] - row["top1"]["without"]["mean"]
        assert row["top1"]["gain"]["mean"] == pytest.approx(expected)
    plain = run.fits[-FOLDS:]
    assert all(fitted.training.variants.shape[1] == 0 for fitted in plain)
    assert all(fitted.training.variants.shape[1] == 1 for fitted in run.fits[:-FOLDS])


def test_types_are_learned_from_products_that_have_one(run: Run) -> None:
    types = run.trained.types
    assert types is not None
    assert set(types.types) == {name for name in run.data.types if name}


def test_the_final_fit_does_as_many_steps_as_the_folds_found_best_or_the_papers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[FcnSettings] = []
    taught: list[Any] = []
    real = training.fit_fcn

    def recorded(photos: Any, validation: Any, settings: FcnSettings) -> FcnFit:
        asked.append(settings)
        taught.append(photos)
        return real(photos, validation, replace(settings, max_steps=1))

    monkeypatch.setattr(training, "fit_fcn", recorded)
    found = CrossFit(steps=[100, 300, 200], c=[1.0, 10.0])
    with threadpool_limits(1, user_api="blas"):
        for fcn in (FcnSettings(patience=5), FcnSettings.paper()):
            settings = CrossFitSettings(fcn=fcn)
            _final(run.data, _taught(run.data, settings).photos, found, settings)
    assert (asked[0].max_steps, asked[0].patience) == (round(200 * 2 / 0.9), 0)
    assert (asked[1].max_steps, asked[1].patience) == (1_000_000, 0)
    held = set(run.data.split.role("hold_out"))
    vectors = {v.tobytes() for v in taught[0][0]}
    for h, label, original in zip(
        run.data.photos.hashes, run.data.photos.labels, run.data.photos.originals, strict=True
    ):
        assert (original.tobytes() in vectors) == (h not in held and label != "tiny")


@pytest.fixture(scope="module")
def knn_only() -> Iterator[tuple[TrainingData, Trained]]:
    """A shop with two photos a product: no label is large enough for FCN and SVM."""
    photos, scenes = make_photos({f"l{i:02}": [1, 1] for i in range(30)}, variants=1)
    split = make_split(photos.hashes, photos.labels, scenes, folds=2)
    data = TrainingData(photos, [None] * len(photos), split, strangers(10))
    yield data, train(data)


def test_a_shop_with_two_photos_a_product_is_served_by_knn_alone(knn_only: tuple[TrainingData, Trained]) -> None:
    data, trained = knn_only
    assert (trained.fcn, trained.svm, trained.types) == (None, None, None)
    assert trained.vote == VoteSettings.prior()
    assert trained.verdict == VerdictSettings.prior()
    metrics = trained.metrics
    assert metrics["data"]["labels_trained"] == 0
    assert metrics["hold_out"] == {"photos": 0, "seen_by_backbone": 0}
    assert metrics["table3_with_seen"] == {}
    assert metrics["data"]["photos"] == len(data.photos) == 60


def test_a_classifier_that_was_never_fitted_has_no_row_rather_than_0_percent(
    knn_only: tuple[TrainingData, Trained],
) -> None:
    metrics = knn_only[1].metrics
    assert set(metrics["table3"]) == {"knn", "vote", "calibration"}
    assert not {"fcn", "svm"} & set(metrics["rules"])
    assert metrics["table3"]["vote"]["top1"]["mean"] == metrics["table3"]["knn"]["top1"]["mean"]
    assert metrics["rules"]["vote_holds"] == {"top1": True, "top5": True}
    assert metrics["augmentation"] == {}


def test_where_the_backbone_has_seen_nearly_all_photos_vote_and_verdict_are_the_prior() -> None:
    photos, scenes = make_photos({f"l{i:03}": [1, 1] for i in range(100)})
    split = make_split(photos.hashes, photos.labels, scenes, folds=2)
    for unseen in (0, 20, 99, 100):
        seen = frozenset(photos.hashes[unseen:])
        trained = train(TrainingData(photos, [None] * 200, split, strangers(100), seen))
        metrics = trained.metrics
        judged_photos = metrics["verdict"]["photos"]
        assert trained.vote.calibrated == (unseen >= 100)
        assert trained.verdict.calibrated == (unseen >= 100)
        assert judged_photos["known"] == unseen
        assert metrics["data"]["seen_by_backbone"] == 200 - unseen
        assert metrics["table3"].get("calibration", {"photos": 0})["photos"] == unseen
        assert metrics["table3_with_seen"]["calibration"]["photos"] == 200


def test_hold_out_photos_that_the_backbone_saw_are_left_out_of_its_figures() -> None:
    photos, scenes = make_photos({f"l{i}": [1] * 5 for i in range(6)})
    split = make_split(photos.hashes, photos.labels, scenes, folds=2)
    held = split.role("hold_out")
    assert len(held) == 6
    for seen in (held[:2], held):
        data = TrainingData(photos, [None] * 30, split, strangers(0), frozenset(seen))
        hold_out = _hold_out(data, None, None, Vote(VoteSettings.prior()))
        assert (hold_out["photos"], hold_out["seen_by_backbone"]) == (6 - len(seen), len(seen))
        assert ("knn" in hold_out) == (len(seen) < 6)


def test_no_label_with_two_scenes_leaves_the_tables_empty() -> None:
    photos, scenes = make_photos({f"l{i}": [2] for i in range(6)})
    split = make_split(photos.hashes, photos.labels, scenes, folds=2)
    metrics = train(TrainingData(photos, [None] * 12, split, strangers(4))).metrics
    assert (metrics["table3"], metrics["rules"]) == ({}, {})
    assert metrics["new_labels"] == {"photos": 0}
    assert metrics["verdict"]["all"]["false_reject"] is None
    assert metrics["verdict"]["photos"] == {"known": 0, "new": 0, "near": 12, "far": 4}


def test_no_photos_at_all_is_said() -> None:
    photos, _ = make_photos({"a": [1, 1]})
    none = TrainingPhotos((), (), photos.originals[:0], photos.variants[:0])
    with pytest.raises(NotEnoughData, match="catalog import"):
        train(TrainingData(none, [], make_split([], [], np.zeros(0, np.intp)), strangers(0)))


def test_a_vote_that_equals_the_best_classifier_holds_with_a_single_fold_too() -> None:
    photos = [judged("a", 0, says("knn", {"a": 0.9, "b": 0.1}), name=str(i)) for i in range(3)]
    assert rules_table(voted_photos(photos, 1))["vote_holds"] == {"top1": True, "top5": True}
    assert table3([], CrossFit()) == rules_table([]) == augmentation_table(CrossFit(), None) == {}


def test_new_labels_are_measured_against_plain_knn() -> None:
    new = [judged("n", 0, says("fcn", {"a": 0.9, "b": 0.1}, "ab"), says("knn", {"n": 0.9, "a": 0.4})) for _ in range(2)]
    new.append(judged("m", 0, says("fcn", {"a": 0.9, "b": 0.1}, "ab"), says("knn", {"b": 0.9, "a": 0.4})))
    row = new_label_table([], new, 1)
    assert row["photos"] == 3
    assert row["knn"]["top5"] == row["vote"]["top5"] == pytest.approx(2 / 3)
    assert row["top5_ratio"] == 1.0


def lists_for(truth: str, rng: np.random.Generator, *, svm_right: float) -> Any:
    """FCN and k-NN right half of the time, the SVM as often as told; nobody sure."""

    def ranked(right: float, top: float) -> dict[str, float]:
        others = [label for label in "abcdefg" if label != truth]
        rng.shuffle(others)
        order = [truth, *others] if rng.random() < right else [others[0], truth, *others[1:]]
        return {label: top - 0.1 * place for place, label in enumerate(order[:5])}

    return (
        says("fcn", ranked(0.5, 0.5), "abcdefg"),
        says("knn", ranked(0.5, 0.9)),
        says("svm", ranked(svm_right, 0.5), "abcdefg"),
    )


def test_fitting_gives_the_classifier_that_is_right_most_often_the_largest_weight() -> None:
    rng = np.random.default_rng(3)
    photos = [judged(t, 0, *lists_for(t, rng, svm_right=0.9), name=str(i)) for i in range(60) for t in "abcdefg"]
    settings = fit_vote(photos)
    assert settings.calibrated
    assert sum(settings.weights.values()) == pytest.approx(1.0)
    assert max(settings.weights, key=lambda name: settings.weights[name]) == "svm"
    assert min(settings.weights.values()) > 0
    assert VoteSettings.from_json(settings.to_json()) == settings


def test_below_100_photos_or_5_labels_the_vote_is_the_prior_and_says_so() -> None:
    rng = np.random.default_rng(4)
    photos = [judged(t, 0, *lists_for(t, rng, svm_right=0.9), name=str(i)) for i in range(30) for t in "abcde"]
    assert fit_vote(photos).calibrated
    assert fit_vote(photos[:99]) == VoteSettings.prior()
    assert fit_vote([p for p in photos if p.truth != "a"]) == VoteSettings.prior()
    assert fit_vote([]) == VoteSettings.prior()


def test_platt_recovers_how_sure_one_may_be() -> None:
    """Supports that promise more than they keep are drawn down; a larger support never means less."""
    rng = np.random.default_rng(5)
    support = rng.uniform(0.05, 0.95, 4000)
    right = rng.random(4000) < support**2
    slope, intercept = fit_platt(support, right)
    assert slope > 0
    for value in (0.3, 0.6, 0.9):
        assert platt(value, slope, intercept) == pytest.approx(value**2, abs=0.06)
    assert fit_platt(np.array([]), np.array([], dtype=bool)) == (pytest.approx(1.0), pytest.approx(0.0))


def test_rank_sum_counts_five_points_for_a_first_place_and_breaks_ties_by_label() -> None:
    lists = (says("fcn", {"b": 0.9, "a": 0.1}), says("knn", {"a": 0.9, "b": 0.1}), says("svm", {"c": 1.0}))
    assert rank_sum(lists) == ["a", "b", "c"]
    assert rank_sum([]) == []
