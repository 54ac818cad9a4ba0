"""What training measures, as plain data: seed 004's Table 3, the comparison of rules, rejection rates.

Everything fitted on judged photos (vote, verdict) is fitted on the other folds for these tables, so no
photo is measured by a setting that saw it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.inspection import JudgedPhotos
from models.training.crossfit import CrossFit, Judged
from models.training.fit.verdict import fit_verdict
from models.training.fit.vote import Rule, fit_vote, rules, single
from models.training.measures import (
    expected_calibration_error,
    paired_difference,
    paired_interval,
    spread,
    summary,
    verdict_rates,
    without_nan,
)
from models.values import CLASSIFIER_NAMES, VerdictName
from models.verdict import Verdict
from models.vote import Vote

_CURVE_POINTS = 41


@dataclass(frozen=True, slots=True)
class VotedPhoto:
    """One judged photo as each rule ranks it; confidence is the vote's first score."""

    photo: Judged
    ranked: dict[str, list[str]]
    confidence: float

    @property
    def truth(self) -> str:
        """The true label of a known photo."""
        assert self.photo.truth is not None
        return self.photo.truth


def voted_photos(
    known: Sequence[Judged], folds: int, seen_by_backbone: frozenset[str] = frozenset()
) -> list[VotedPhoto]:
    """Every known photo under every rule, the vote fitted on the other folds' photos that the backbone has not seen."""
    result: list[VotedPhoto] = []
    for fold in range(folds):
        own = [photo for photo in known if photo.fold == fold]
        if not own:
            continue
        others = [p for p in known if p.fold != fold and p.content_hash not in seen_by_backbone]
        settings = fit_vote(others)
        vote, every = Vote(settings), rules(settings)
        for photo in own:
            candidates = vote.merge(photo.predictions).candidates
            ranked = {name: rule(photo.predictions) for name, rule in every.items()}
            result.append(VotedPhoto(photo, ranked, candidates[0].score if candidates else 0.0))
    return result


def judged_photos(photos: Sequence[VotedPhoto]) -> JudgedPhotos | None:
    """What the vote and each fitted classifier named first, for people to look into; None without a photo."""
    if not photos:
        return None
    rules = tuple(rule for rule in ("vote", *CLASSIFIER_NAMES) if rule in _compared(photos))
    firsts = [[next(iter(photo.ranked[rule]), None) for rule in rules] for photo in photos]
    labels = sorted({photo.truth for photo in photos} | {name for row in firsts for name in row if name is not None})
    place = {label: number for number, label in enumerate(labels)}
    return JudgedPhotos(
        labels=tuple(labels),
        rules=rules,
        hashes=np.array([list(bytes.fromhex(photo.photo.content_hash)) for photo in photos], dtype=np.uint8),
        truth=np.array([place[photo.truth] for photo in photos], dtype=np.int32),
        # What was not named is the place after the last.
        named=np.array([[len(place) if n is None else place[n] for n in row] for row in firsts], dtype=np.int32),
        confidence=np.array([photo.confidence for photo in photos], dtype=np.float32),
    )


def table3(photos: Sequence[VotedPhoto], fit: CrossFit) -> dict[str, Any]:
    """Seed 004's Table 3: per classifier and vote mean and spread over folds, and fitting seconds.

    A classifier that no fold had photos enough to fit has no row.
    """
    if not photos:
        return {}
    table: dict[str, Any] = {}
    for name in [rule for rule in _compared(photos) if rule in (*CLASSIFIER_NAMES, "vote")]:
        by_fold = [summary([p.ranked[name] for p in f], [p.truth for p in f]) for f in _folds(photos)]
        table[name] = {measure: spread([row[measure] for row in by_fold]) for measure in by_fold[0]}
        if fit.seconds.get(name):
            table[name]["fit_seconds"] = spread(fit.seconds[name])
    sure = [p.confidence for p in photos]
    right = [p.ranked["vote"][:1] == [p.truth] for p in photos]
    table["calibration"] = {"ece": expected_calibration_error(sure, right), "photos": len(photos)}
    return table


def rules_table(photos: Sequence[VotedPhoto]) -> dict[str, Any]:
    """Every rule's Top-1 and Top-5 over the folds, and the vote's paired difference to each.

    ``vote_holds``: the vote's mean is not more than one paired standard error below the best single
    classifier's, at Top-1 and at Top-5.
    """
    if not photos:
        return {}
    folds = _folds(photos)
    scores = {
        rule: [summary([p.ranked[rule] for p in fold], [p.truth for p in fold]) for fold in folds]
        for rule in _compared(photos)
    }
    table: dict[str, Any] = {}
    for rule, rows in scores.items():
        table[rule] = {measure: spread([row[measure] for row in rows]) for measure in ("top1", "top5")}
        for measure, k in (("top1", 1), ("top5", 5)):
            ours, theirs = [row[measure] for row in scores["vote"]], [row[measure] for row in rows]
            table[rule][f"vote_minus_{measure}"] = {
                **paired_difference(ours, theirs),
                "interval_95": paired_interval(_hits(photos, "vote", k), _hits(photos, rule, k)),
            }
    table["vote_holds"] = {measure: _holds(table, measure) for measure in ("top1", "top5")}
    return table


def _holds(table: dict[str, Any], measure: str) -> bool:
    best = max((name for name in CLASSIFIER_NAMES if name in table), key=lambda name: table[name][measure]["mean"])
    gap = table[best][f"vote_minus_{measure}"]
    slack = 0.0 if np.isnan(gap["standard_error"]) else gap["standard_error"]  # one fold has no spread
    return bool(gap["mean"] >= -slack - 1e-12)


def _compared(photos: Sequence[VotedPhoto]) -> list[str]:
    """The rules by name, without classifiers that were never fitted: they named nothing, which is not 0 %."""
    judging = {prediction.classifier for photo in photos for prediction in photo.photo.predictions}
    return [rule for rule in photos[0].ranked if rule in judging or rule not in CLASSIFIER_NAMES]


def _hits(photos: Sequence[VotedPhoto], rule: str, k: int) -> np.ndarray:
    return np.array([p.truth in p.ranked[rule][:k] for p in photos])


def new_label_table(known: Sequence[Judged], new: Sequence[Judged], folds: int) -> dict[str, Any]:
    """Photos of labels that FCN and SVM do not know: the vote against plain k-NN.

    ``top5_ratio``: the vote's Top-5 over k-NN's (issue: at least 0.9).
    """
    if not new:
        return {"photos": 0}
    plain: list[list[str]] = []
    merged: list[list[str]] = []
    truth: list[str] = []
    for fold in range(folds):
        vote = Vote(fit_vote([photo for photo in known if photo.fold != fold]))
        for photo in (p for p in new if p.fold == fold):
            plain.append(single("knn")(photo.predictions))
            merged.append([c.label for c in vote.merge(photo.predictions).candidates])
            truth.append(photo.truth or "")
    knn, vote_row = summary(plain, truth), summary(merged, truth)
    ratio = vote_row["top5"] / knn["top5"] if knn["top5"] else float("nan")
    return {"photos": len(truth), "knn": knn, "vote": vote_row, **without_nan({"top5_ratio": ratio})}


Groups = tuple[Sequence[Judged], Sequence[Judged], Sequence[Judged], Sequence[Judged]]


def verdict_table(groups: Groups, folds: int) -> dict[str, Any]:
    """Rejection rates, each fold judged by a verdict fitted on the others.

    groups: known, new, near-foreign and far-foreign photos. Rates for all foreign together, and for
    near, far and new apart.
    """
    verdicts: dict[str, list[VerdictName]] = defaultdict(list)
    beliefs: dict[str, list[float]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    calibrated = True
    for fold in range(folds):
        others = [[p for p in group if p.fold != fold] for group in groups]
        vote = Vote(fit_vote(others[0]))
        settings = fit_verdict(others[0], others[1], [*others[2], *others[3]], vote)
        calibrated = calibrated and settings.calibrated
        judge = Verdict(settings)
        for name, group in zip(("known", "new", "near", "far"), groups, strict=True):
            for photo in (p for p in group if p.fold == fold):
                ranking = vote.merge(photo.predictions)
                verdicts[name].append(judge.judge(photo.predictions, ranking))
                beliefs[name].append(judge.probability(photo.predictions, ranking))
                right[name].append(bool(ranking.candidates) and ranking.candidates[0].label == photo.truth)
    table: dict[str, Any] = {"calibrated": calibrated}
    foreign = {"all": verdicts["near"] + verdicts["far"], "near": verdicts["near"], "far": verdicts["far"]}
    for name, strangers in foreign.items():
        table[name] = without_nan(verdict_rates(verdicts["known"], right["known"], strangers))
    table["new"] = without_nan(verdict_rates(verdicts["new"], right["new"], []))
    table["photos"] = {name: len(verdicts[name]) for name in ("known", "new", "near", "far")}
    table["curve"] = rejection_curve(beliefs["known"], beliefs["near"], beliefs["far"])
    return table


def rejection_curve(known: Sequence[float], near: Sequence[float], far: Sequence[float]) -> dict[str, list[float]]:
    """What a single threshold would do: ``false_reject`` against ``near`` and ``far``, their false accepts.

    known, near, far: the verdict's probabilities of "in the catalogue". A point each at the thresholds that reject
    0, 2.5, 5 ... 100 % of the known photos; empty lists where there are no known photos, or none of a kind.
    """
    if not len(known):
        return {"false_reject": [], "near": [], "far": []}
    thresholds = np.append(np.quantile(known, np.linspace(0.0, 1.0, _CURVE_POINTS)[:-1]), np.inf)
    curve = {"false_reject": [float(np.mean(np.array(known) < t)) for t in thresholds]}
    for name, beliefs in (("near", near), ("far", far)):
        curve[name] = [float(np.mean(np.array(beliefs) >= t)) for t in thresholds] if len(beliefs) else []
    return curve


def augmentation_table(fit: CrossFit, plain: CrossFit | None) -> dict[str, Any]:
    """FCN and SVM with and without the variants, over the same folds: what augmentation gains."""
    if plain is None or not fit.known:
        return {}
    table: dict[str, Any] = {}
    fitted = {prediction.classifier for photo in plain.known for prediction in photo.predictions}
    for name in [name for name in ("fcn", "svm") if name in fitted]:
        with_, without = (_fold_scores(part.known, single(name)) for part in (fit, plain))
        table[name] = {
            measure: {
                "with": spread([row[measure] for row in with_]),
                "without": spread([row[measure] for row in without]),
                "gain": paired_difference([row[measure] for row in with_], [row[measure] for row in without]),
            }
            for measure in ("top1", "top5")
        }
    return table


def _fold_scores(photos: Sequence[Judged], rule: Rule) -> list[dict[str, float]]:
    by_fold: dict[int, list[Judged]] = defaultdict(list)
    for photo in photos:
        by_fold[photo.fold].append(photo)
    return [
        summary([rule(p.predictions) for p in by_fold[fold]], [p.truth or "" for p in by_fold[fold]])
        for fold in sorted(by_fold)
    ]


def _folds(photos: Sequence[VotedPhoto]) -> list[list[VotedPhoto]]:
    by_fold: dict[int, list[VotedPhoto]] = defaultdict(list)
    for photo in photos:
        by_fold[photo.photo.fold].append(photo)
    return [by_fold[fold] for fold in sorted(by_fold)]
