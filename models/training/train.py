"""Training as a whole: cross-fit, fit vote and verdict, measure, refit on everything but the hold-out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from models.attributes.types import TypeModel
from models.classifiers.base import Classifier
from models.classifiers.exact import ExactNeighbours
from models.classifiers.fcn import FcnClassifier
from models.classifiers.knn import KnnClassifier
from models.classifiers.svm import SvmClassifier
from models.errors import NotEnoughData
from models.inspection import JudgedPhotos
from models.training.care.confusions import Answered
from models.training.care.findings import data_care
from models.training.care.teaching import Cared, take_care
from models.training.crossfit import (
    LEAST_PHOTOS_TO_TRAIN,
    CrossFit,
    CrossFitSettings,
    Judged,
    cross_fit,
    predict_all,
)
from models.training.data import TrainingPhotos, trainable_labels
from models.training.fit.fcn import fit_fcn
from models.training.fit.svm import fit_svm
from models.training.fit.types import fit_types
from models.training.fit.verdict import fit_verdict
from models.training.fit.vote import fit_vote
from models.training.measures import expected_calibration_error, macro_f1, summary, top_k
from models.training.reports.tables import (
    VotedPhoto,
    augmentation_table,
    judged_photos,
    new_label_table,
    rules_table,
    table3,
    verdict_table,
    voted_photos,
)
from models.training.splits import Split
from models.values import Float32
from models.verdict import VerdictSettings
from models.vote import Vote, VoteSettings

Progress = Callable[[str], None]

_TYPE_PARTS = 5

BLAS_THREADS = 1
"""Threads of linear algebra in fitting, but for the SVM's large products. OpenBLAS waits actively: two threads that
share a core factorise a matrix 34 times slower than one (docs/decisions/0006-svm-solver.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The fitted parts of a bundle and everything measured on the way.

    seen_by_backbone: as in ``TrainingData``; ``fit`` holds such photos too. photos: what was trained on, hold-out
    included, for the report's map of bottlenecks; None draws none. judged: what was named for each photo that the
    backbone has not seen; None where nothing was judged.
    """

    fcn: FcnClassifier | None
    svm: SvmClassifier | None
    types: TypeModel | None
    vote: VoteSettings
    verdict: VerdictSettings
    metrics: dict[str, Any]
    fit: CrossFit
    seen_by_backbone: frozenset[str] = frozenset()
    photos: TrainingPhotos | None = None
    judged: JudgedPhotos | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What to train on.

    photos: every catalogue photo, hold-out included. types: the given type of each photo's product or
    None, n. far_foreign: float32 (m, 2048). seen_by_backbone: content hashes the weights were trained
    on; such photos fit neither vote nor verdict, and no figure counts them but ``table3_with_seen``, which
    says what they would make of it, and the gain of augmentation, a difference.
    """

    photos: TrainingPhotos
    types: Sequence[str | None]
    split: Split
    far_foreign: Float32
    seen_by_backbone: frozenset[str] = field(default_factory=frozenset)


def train(
    data: TrainingData, settings: CrossFitSettings | None = None, progress: Progress = lambda line: None
) -> Trained:
    """Train all parts.

    :raise NotEnoughData: no photos.
    """
    settings = settings or CrossFitSettings()
    if not len(data.photos):
        raise NotEnoughData("the catalogue holds no photo; import one with `python -m app catalog import DIR`")
    with threadpool_limits(BLAS_THREADS, user_api="blas"):
        return _train(data, settings, progress)


def _train(data: TrainingData, settings: CrossFitSettings, progress: Progress) -> Trained:
    started = time.perf_counter()
    fit = cross_fit(data.photos, data.split, data.far_foreign, settings, progress)
    known, new, foreign, far = (
        [photo for photo in group if photo.content_hash not in data.seen_by_backbone]
        for group in (fit.known, fit.new, fit.foreign, fit.far)
    )
    progress("vote and verdict")
    vote = fit_vote(known)
    verdict = fit_verdict(known, new, [*foreign, *far], Vote(vote))
    progress("without augmentation, for comparison")
    plain = _without_variants(data, settings)
    progress("final fit")
    cared = _taught(data, settings)
    fcn, svm, seconds = _final(data, cared.photos, fit, settings)
    voted = voted_photos(known, data.split.folds)
    metrics = _metrics(data, fit, plain, (known, new, foreign, far), voted)
    progress("data care")
    metrics["data_care"] = data_care(data.photos, _answered(voted), cared, settings.care)
    metrics["data"]["labels_trained"] = len(fcn.known) if fcn is not None else 0
    metrics["hold_out"] = _hold_out(data, fcn, svm, Vote(vote))
    metrics["seconds"] = {**seconds, "total": time.perf_counter() - started}
    metrics["settings"] = {"vote": vote.to_json(), "verdict": verdict.to_json()}
    metrics["c"] = {"folds": fit.c, "final": _final_c(fit)}
    types, metrics["types"] = _types(data)
    judged = judged_photos(voted)
    return Trained(fcn, svm, types, vote, verdict, metrics, fit, data.seen_by_backbone, data.photos, judged)


def _answered(voted: Sequence[VotedPhoto]) -> list[Answered]:
    return [Answered(p.photo.content_hash, p.truth, next(iter(p.ranked["vote"]), None)) for p in voted]


def _metrics(
    data: TrainingData,
    fit: CrossFit,
    plain: CrossFit | None,
    groups: tuple[list[Judged], ...],
    photos: Sequence[VotedPhoto],
) -> dict[str, Any]:
    known, new, foreign, far = groups
    seen = data.seen_by_backbone & set(data.photos.hashes)
    everything = voted_photos(fit.known, data.split.folds, seen) if seen else []
    labels = data.photos.labels
    return {
        "data": {
            "photos": len(data.photos),
            "labels": len(set(labels)),
            "variants": int(data.photos.variants.shape[1]),
            "scenes": len({place.scene for place in data.split.places.values()}),
            "folds": data.split.folds,
            "hold_out_photos": len(data.split.role("hold_out")),
            "seen_by_backbone": len(seen),
        },
        "table3": table3(photos, fit),
        "table3_with_seen": table3(everything, fit),
        "rules": rules_table(photos),
        "new_labels": new_label_table(known, new, data.split.folds),
        "verdict": verdict_table((known, new, foreign, far), data.split.folds),
        "augmentation": augmentation_table(fit, plain),
    }


def _without_variants(data: TrainingData, settings: CrossFitSettings) -> CrossFit | None:
    """The same folds fitted on originals alone; None where there were no variants to leave out."""
    photos = data.photos
    if not photos.variants.shape[1]:
        return None
    bare = TrainingPhotos(photos.hashes, photos.labels, photos.originals, photos.variants[:, :0])
    return cross_fit(bare, data.split, data.far_foreign[:0], replace(settings, hide_labels=False))


def _taught(data: TrainingData, settings: CrossFitSettings) -> Cared:
    """What the published FCN and SVM learn: labels with photos enough, outside the hold-out, with care."""
    photos = _developed(data)
    taught = trainable_labels(photos.labels, LEAST_PHOTOS_TO_TRAIN)
    photos = photos.subset(np.array([i for i, label in enumerate(photos.labels) if label in taught], np.intp))
    return take_care(photos, settings.care, settings.seed)


def _final(
    data: TrainingData, photos: TrainingPhotos, fit: CrossFit, settings: CrossFitSettings
) -> tuple[FcnClassifier | None, SvmClassifier | None, dict[str, float]]:
    """Fit on ``photos``, as long and as hard as the folds found best.

    Without early stopping (the paper's setting) there was nothing to find: its steps are done as they are.
    """
    if len(set(photos.labels)) < 2 or not fit.steps:
        return None, None, {"fcn": 0.0, "svm": 0.0}
    augmented = photos.augmented()
    grown = data.split.folds / (data.split.folds - 1) / 0.9
    stops = settings.fcn.patience > 0
    steps = round(float(np.median(fit.steps)) * grown) if stops else settings.fcn.max_steps
    started = time.perf_counter()
    fcn = fit_fcn(augmented, None, replace(settings.fcn, max_steps=steps, patience=0)).model
    middle = time.perf_counter()
    svm = fit_svm(*augmented, _final_c(fit) or 1.0)
    return fcn, svm, {"fcn": middle - started, "svm": time.perf_counter() - middle}


def _final_c(fit: CrossFit) -> float | None:
    """The median of the folds' C, the lower one of an even number."""
    return sorted(fit.c)[(len(fit.c) - 1) // 2] if fit.c else None


def _developed(data: TrainingData) -> TrainingPhotos:
    """All photos outside the hold-out."""
    places = data.split.places
    chosen = [i for i, h in enumerate(data.photos.hashes) if places[h].role != "hold_out"]
    return data.photos.subset(np.array(chosen, dtype=np.intp))


def _hold_out(data: TrainingData, fcn: FcnClassifier | None, svm: SvmClassifier | None, vote: Vote) -> dict[str, Any]:
    """Top-1, Top-5 and macro-F1 of the final classifiers on the frozen photos that nothing, nor the backbone, has seen.

    ``seen_by_backbone`` frozen photos are left out: they were in the weights before this split was made.
    """
    frozen = [i for i, h in enumerate(data.photos.hashes) if data.split.places[h].role == "hold_out"]
    chosen = [i for i in frozen if data.photos.hashes[i] not in data.seen_by_backbone]
    held = data.photos.subset(np.array(chosen, dtype=np.intp))
    result: dict[str, Any] = {"photos": len(held), "seen_by_backbone": len(frozen) - len(held)}
    if not len(held):
        return result
    memory = ExactNeighbours(*_developed(data).plain())
    models: list[Classifier] = [KnnClassifier(memory)]
    models += [model for model in (fcn, svm) if model is not None]
    rows = predict_all(models, held.originals)
    truth = list(held.labels)
    for column, model in enumerate(sorted(models, key=lambda model: model.name)):
        result[model.name] = summary([[s.label for s in row[column].ranked] for row in rows], truth)
    result["vote"] = summary([[c.label for c in vote.merge(row).candidates] for row in rows], truth)
    return result


def _types(data: TrainingData) -> tuple[TypeModel | None, dict[str, Any]]:
    """(the type model, what it is worth); None where too few types are given. The hold-out teaches it nothing."""
    places = data.split.places
    taught = [i for i, h in enumerate(data.photos.hashes) if data.types[i] and places[h].role != "hold_out"]
    model = _fit_types(data, taught)
    return (model, _type_accuracy(data, taught)) if model.types else (None, {"labels": 0})


def _fit_types(data: TrainingData, chosen: Sequence[int]) -> TypeModel:
    return fit_types(
        data.photos.originals[list(chosen)],
        [data.types[i] or "" for i in chosen],
        groups=[data.photos.labels[i] for i in chosen],
    )


def _type_accuracy(data: TrainingData, taught: Sequence[int]) -> dict[str, Any]:
    """Accuracy, macro-F1 and ECE on the labels of one fifth, whose photos the measured model did not see.

    Labels rather than photos are left out, since a type is predicted for products whose row gives none.
    """
    names = sorted({data.photos.labels[i] for i in taught})
    np.random.default_rng(0).shuffle(names)
    left_out = set(names[::_TYPE_PARTS])
    model = _fit_types(data, [i for i in taught if data.photos.labels[i] not in left_out])
    if not model.types:
        return {"labels": 0}
    rows: dict[str, list[int]] = {}
    for i in taught:
        if data.photos.labels[i] in left_out:
            rows.setdefault(data.photos.labels[i], []).append(i)
    guesses = [model.predict_product(data.photos.originals[own]) for own in rows.values()]
    truth = [data.types[own[0]] or "" for own in rows.values()]
    named = [[guess.type] if guess else [] for guess in guesses]
    sure = [guess.confidence if guess else 0.0 for guess in guesses]
    right = [row == [true] for row, true in zip(named, truth, strict=True)]
    return {
        "labels": len(truth),
        "accuracy": top_k(named, truth, 1),
        "macro_f1": macro_f1(named, truth),
        "ece": expected_calibration_error(sure, right),
    }
