"""Wrong labels: how well they are found, and what they cost with and without care.

Labels are flipped at random, each to any other one, in the photos that teach; the photos of a fold, from scenes that
teach nothing, are asked under their true labels. The weights must not have been trained on the photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.errors import NotEnoughData, UsageError
from models.training.care.confident import find_suspects, normalised_margins, precision_at_recall
from models.training.care.likelihood import leave_one_out
from models.training.care.selfie import SelfieSettings, refurbish
from models.training.care.teaching import Care, coded
from models.training.crossfit import CrossFitSettings, Judged, _fit_at, _with_memory
from models.training.data import TrainingPhotos
from models.training.experiments.folds import (
    RULES,
    Fold,
    ask,
    judged,
    places_of,
    plain_spread,
    scene_folds,
    trainable,
)
from models.training.fit.vote import fit_vote, single, voted
from models.training.measures import summary
from models.training.splits import Split
from models.training.train import BLAS_THREADS
from models.values import CLASSIFIER_NAMES

SHARES: Final[tuple[float, ...]] = (0.0, 0.1, 0.2, 0.4)
SEEDS: Final = 3
RECALL: Final = 0.5
SVM_C: Final = 3.0
"""One C for every way, so that ways differ by their photos alone: the best with wrong labels, and near it without."""

_MEASURES: Final = ("top1", "top5", "macro_f1")

Progress = Callable[[str], None]
Flipped = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """How well wrong labels were found, a figure a way of ranking, and among those suspected outright."""

    precision: dict[str, float]
    suspected: dict[str, float]


def measure_care(
    photos: TrainingPhotos,
    split: Split,
    shares: Sequence[float] = SHARES,
    seeds: int = SEEDS,
    settings: CrossFitSettings | None = None,
    progress: Progress = lambda line: None,
    *,
    seen: frozenset[str] = frozenset(),
) -> list[dict[str, Any]]:
    """A row a share of wrong labels.

    shares: of labels flipped, 0 <= share < 1; 0 is always measured, as that to which the others are compared. seeds:
    each flips other photos and asks another fold. settings: its ``care`` is varied.
    Returns ``{share, seeds, found, found_scenes, care: {way: {rule: {measure: {mean, std}}}}, kept: {way: {rule:
    {measure}}}}`` each. found: ``{precision: {way: {mean, std}}, suspected: {count, precision, recall}}``, with
    ``precision`` that at recall 0.5 of each ranking; found_scenes: the same where whole scenes are flipped. kept: how
    much of what wrong labels cost without care is avoided with it (1 = all; None where they cost nothing).
    :raise UsageError: a share outside 0..1, or a seed number below 1.
    :raise NotEnoughData: fewer than two labels, or no photo to ask. :raise SplitError: a photo has no place.
    """
    settings = replace(settings or CrossFitSettings(c_grid=(SVM_C,)), hide_labels=False)
    if seeds < 1 or any(not 0.0 <= share < 1.0 for share in shares):
        raise UsageError(f"expected seeds >= 1 and shares in 0..1, got {seeds} and {list(shares)}")
    if len(set(photos.labels)) < 2:
        raise NotEnoughData("flipping labels needs photos of at least two")
    folds = list(scene_folds(photos, split, settings.seed, seen))
    with threadpool_limits(BLAS_THREADS, user_api="blas"):
        rows = [
            _row(photos, split, folds, share, seeds, settings, progress) for share in sorted({0.0, *map(float, shares)})
        ]
    for row in rows:
        row["kept"] = _kept(row["care"], rows[0]["care"])
    return rows


def flip_labels(labels: Sequence[str], chosen: Flipped, seed: int) -> tuple[str, ...]:
    """The labels, the chosen ones each replaced by any other one that occurs, all equally likely."""
    names, codes = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
    steps = np.random.default_rng(seed).integers(1, len(names), len(labels))
    return tuple(str(name) for name in names[np.where(chosen, (codes + steps) % len(names), codes)])


def choose(groups: NDArray[np.int_], share: float, seed: int) -> Flipped:
    """bool (n,): whole groups at random, until ``share`` of the photos is chosen."""
    numbers, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(numbers))
    before = np.cumsum(sizes[order]) - sizes[order]
    taken = np.zeros(len(numbers), dtype=bool)
    taken[order[before < round(share * len(groups))]] = True
    return np.asarray(taken[places])


def _row(
    photos: TrainingPhotos,
    split: Split,
    folds: Sequence[Fold],
    share: float,
    seeds: int,
    settings: CrossFitSettings,
    progress: Progress,
) -> dict[str, Any]:
    places = places_of(photos, split)
    teaching = np.array([place.fold >= 0 for place in places])
    scenes = np.array([place.scene for place in places])
    single_photos = np.arange(len(photos))
    found: list[_Found] = []
    found_scenes: list[_Found] = []
    tables: list[dict[str, Any]] = []
    for seed in range(seeds):
        wrong = choose(single_photos, share, seed) & teaching
        flipped = replace(photos, labels=flip_labels(photos.labels, wrong, seed))
        rows = np.flatnonzero(teaching)
        if share:
            progress(f"{share:.0%} wrong, seed {seed + 1} of {seeds}: looking for them")
            found.append(_find(flipped.subset(rows), wrong[rows], seed))
            bursts = choose(scenes, share, seed) & teaching
            together = replace(photos, labels=_flip_scenes(photos.labels, scenes, bursts, seed))
            found_scenes.append(_find(together.subset(rows), bursts[rows], seed))
        fold = folds[seed % len(folds)]
        ways = {}
        for care in Care:
            progress(f"{share:.0%} wrong, seed {seed + 1} of {seeds}: care {care.value}")
            ways[care.value] = _ask(photos, flipped, split, fold, replace(settings, care=care, seed=seed))
        tables.append(ways)
    return {
        "share": share,
        "seeds": seeds,
        "found": _merge_found(found),
        "found_scenes": _merge_found(found_scenes),
        "care": {way: _merge([table[way] for table in tables]) for way in tables[0]},
    }


def _flip_scenes(labels: Sequence[str], scenes: NDArray[np.int_], chosen: Flipped, seed: int) -> tuple[str, ...]:
    """Whole scenes under one wrong label each, as where a folder was mixed up."""
    names = sorted(set(labels))
    numbers, places = np.unique(scenes, return_inverse=True)
    steps = np.random.default_rng(seed).integers(1, len(names), len(numbers))[places]
    codes = np.searchsorted(np.array(names, dtype=np.str_), np.array(labels, dtype=np.str_))
    return tuple(names[code] for code in np.where(chosen, (codes + steps) % len(names), codes))


def _find(photos: TrainingPhotos, wrong: Flipped, seed: int) -> _Found:
    """Both rankings over all teaching photos, and what confident learning suspects outright."""
    names, codes = coded(photos)
    probabilities = leave_one_out(photos.originals, codes, len(names))
    suspects = find_suspects(probabilities, codes)
    margins = np.argsort(normalised_margins(probabilities, codes), kind="stable")
    selfie = refurbish(photos.originals, codes, len(names), suspects.noise, SelfieSettings(seed=seed))
    losses = np.argsort(-selfie.losses, kind="stable")
    changed = selfie.labels != codes
    hits = wrong[suspects.rows]
    return _Found(
        {
            "confident": precision_at_recall(margins, wrong, RECALL),
            "selfie": precision_at_recall(losses, wrong, RECALL),
        },
        {
            "photos": float(len(hits)),
            "precision": float(hits.mean()) if len(hits) else float("nan"),
            "recall": float(hits.sum() / max(1, wrong.sum())),
            "noise": suspects.noise,
            "refurbished": float(changed.sum()),
            "refurbished_precision": float(wrong[changed].mean()) if changed.any() else float("nan"),
        },
    )


def _ask(
    photos: TrainingPhotos, flipped: TrainingPhotos, split: Split, fold: Fold, settings: CrossFitSettings
) -> dict[str, Any]:
    """Top-1, Top-5 and macro-F1 of each rule, fitted on flipped labels, on the fold's photos under their true ones.

    The k-NN memory holds every teaching photo under the label it bears, as the served one does. The vote is fitted on
    the validation photos, whose labels may be wrong as well.
    """
    learned = trainable(photos, split)
    fit = _fit_at(flipped.subset(fold.fitted), flipped.subset(fold.held), learned, settings)
    held = ask(_with_memory(fit, flipped.subset(fold.fitted)), flipped.originals[fold.held])
    vote = fit_vote(judged(flipped, fold.held, fold.number, held))
    predictions = ask(_with_memory(fit, flipped.subset(fold.training)), photos.originals[fold.asked])
    answered: list[Judged] = judged(photos, fold.asked, fold.number, predictions)
    judging = {prediction.classifier for prediction in answered[0].predictions}
    rules = {name: single(name) for name in CLASSIFIER_NAMES if name in judging} | {"vote": voted(vote)}
    truth = [photo.truth or "" for photo in answered]
    return {name: summary([rule(photo.predictions) for photo in answered], truth) for name, rule in rules.items()}


def _merge(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        rule: {measure: plain_spread([table[rule][measure] for table in tables]) for measure in _MEASURES}
        for rule in RULES
        if all(rule in table for table in tables)
    }


def _merge_found(found: Sequence[_Found]) -> dict[str, Any]:
    if not found:
        return {}
    return {
        "precision": {way: plain_spread([one.precision[way] for one in found]) for way in found[0].precision},
        "suspected": {name: plain_spread([one.suspected[name] for one in found]) for name in found[0].suspected},
    }


def _kept(ways: Mapping[str, Any], clean: Mapping[str, Any]) -> dict[str, Any]:
    """1 - (what is lost with care) / (what is lost without), against clean labels without care."""
    reference, without = clean[Care.NONE.value], ways[Care.NONE.value]
    result: dict[str, Any] = {}
    for way in (way for way in ways if way != Care.NONE.value):
        result[way] = {}
        for rule in ways[way]:
            result[way][rule] = {}
            for measure in _MEASURES:
                whole = reference[rule][measure]["mean"]
                lost = whole - without[rule][measure]["mean"]
                left = whole - ways[way][rule][measure]["mean"]
                result[way][rule][measure] = 1.0 - left / lost if lost > 0 else None
    return result
