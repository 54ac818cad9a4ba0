"""Measuring a served model on photos with known answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from models.errors import PhotoError
from models.photo import PhotoLimits, read_photo
from models.recognizer import Recognizer
from models.training.crossfit import Judged
from models.training.fit.vote import single
from models.training.measures import (
    expected_calibration_error,
    summary,
    verdict_rates,
    without_nan,
)
from models.training.reports.tables import VotedPhoto
from models.values import CLASSIFIER_NAMES, Prediction, VerdictName

LEAKED_COSINE = 0.995
"""Cosine to a catalogue photo's bottleneck from which a photo counts as that very photo."""


@dataclass(frozen=True, slots=True)
class PhotoCase:
    """One photo to measure on; label None: a foreign product."""

    path: Path
    label: str | None


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """One photo's outcome."""

    case: PhotoCase
    predictions: tuple[Prediction, ...]
    named: list[str]
    confidence: float
    verdict: VerdictName
    latency_ms: float
    leaked: bool


@dataclass(slots=True, eq=False)
class Evaluation:
    """result: the JSON object of ``evaluate --json``. known: the known photos, for the report's pictures."""

    result: dict[str, Any]
    known: list[VotedPhoto] = field(default_factory=list)


def evaluate(
    cases: Iterable[PhotoCase],
    recognizer: Recognizer,
    *,
    limits: PhotoLimits,
    catalogue_hashes: frozenset[str],
    seen_by_backbone: frozenset[str] = frozenset(),
    within: frozenset[str] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Recognise every photo one after the other, as the service does.

    catalogue_hashes: content hashes of the reference photos, by which leaked photos are noticed (also
    by ``LEAKED_COSINE``). seen_by_backbone: content hashes the weights were trained on, which leak as well.
    Leaked photos are counted, and stay in the figures: the caller must say so.
    within: the labels that may be named, as in serving. progress: called with the photos done so far.
    Photos that cannot be read are listed under ``unreadable`` and counted nowhere else. A measure without
    photos to count, or of a classifier this model lacks, is null.
    """
    taught = catalogue_hashes | seen_by_backbone
    seen: list[_Seen] = []
    unreadable: list[dict[str, str]] = []
    for done, case in enumerate(cases, start=1):
        try:
            seen.append(_look(case, recognizer, limits, taught, within))
        except (PhotoError, OSError) as error:
            unreadable.append({"path": str(case.path), "reason": str(error)})
        progress(done)
    return Evaluation(_result(seen, unreadable, recognizer), [_voted(photo) for photo in seen if photo.case.label])


def _look(
    case: PhotoCase,
    recognizer: Recognizer,
    limits: PhotoLimits,
    taught: frozenset[str],
    within: frozenset[str] | None,
) -> _Seen:
    data = case.path.read_bytes()
    started = time.perf_counter()
    photo = read_photo(data, limits)
    predictions = recognizer.predict(recognizer.features(photo), within)
    ranking, verdict = recognizer.judge(predictions)
    latency_ms = (time.perf_counter() - started) * 1000.0
    nearest = next((p.ranked[0].score for p in predictions if p.classifier == "knn" and p.ranked), 0.0)
    return _Seen(
        case,
        tuple(predictions),
        [candidate.label for candidate in ranking.candidates],
        ranking.candidates[0].score if ranking.candidates else 0.0,
        verdict,
        latency_ms,
        photo.content_hash in taught or nearest >= LEAKED_COSINE,
    )


def _result(seen: Sequence[_Seen], unreadable: list[dict[str, str]], recognizer: Recognizer) -> dict[str, Any]:
    known = [photo for photo in seen if photo.case.label is not None]
    foreign = [photo for photo in seen if photo.case.label is None]
    truth = [photo.case.label or "" for photo in known]
    right = [photo.named[:1] == [photo.case.label] for photo in known]
    times = np.array([photo.latency_ms for photo in seen]) if seen else np.array([np.nan])
    result: dict[str, Any] = {
        "photos": len(seen),
        "known_photos": len(known),
        "foreign_photos": len(foreign),
        "leaked_photos": sum(photo.leaked for photo in seen),
    }
    judging = {prediction.classifier for photo in known for prediction in photo.predictions}
    for name in CLASSIFIER_NAMES:
        if name in judging:
            result[name] = without_nan(summary([single(name)(photo.predictions) for photo in known], truth))
        else:  # this model has no such classifier, which is not 0 %
            result[name] = without_nan(summary([], []))
    result["vote"] = without_nan(summary([photo.named for photo in known], truth))
    rates = verdict_rates([p.verdict for p in known], right, [p.verdict for p in foreign])
    ece = expected_calibration_error([p.confidence for p in known], right)
    result |= {
        "verdict": without_nan(rates),
        "calibration": {**without_nan({"ece": ece}), "calibrated": recognizer.calibrated},
        "latency_ms": without_nan({"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}),
        "memory_mb": psutil.Process().memory_full_info().pss / 2**20,
        "model_version": recognizer.version,
        "weights": recognizer.weights,
        "unreadable": unreadable,
    }
    return result


def _voted(photo: _Seen) -> VotedPhoto:
    ranked = {name: single(name)(photo.predictions) for name in CLASSIFIER_NAMES} | {"vote": photo.named}
    judged = Judged(str(photo.case.path), photo.case.label, 0, photo.predictions)
    return VotedPhoto(judged, ranked, photo.confidence)
