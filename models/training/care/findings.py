"""All findings about a catalogue's photos, as plain data for metrics and report: each with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from models.training.care.confusions import Answered, confusable_labels, size_effect
from models.training.care.drift import Drift
from models.training.care.teaching import Care, Cared, coded, suspects_among
from models.training.care.twins import twins_across
from models.training.data import TrainingPhotos

SHOWN: Final = 50
"""Entries a list holds; counts are complete."""

ADVICE: Final[Mapping[str, str]] = {
    "mislabels": "look at each photo: move it to the product it shows, or take it out",
    "confusable": "photograph what tells the two apart (label, lid, size), or give products that look alike one group",
    "twins": "keep the photo at the product it shows; where it shows both, crop it or take it out",
    "balance": "photograph the labels that have few; more photos of the others help little",
    "drift_verdict": "look at recent photos answered unsure or unknown: new products, or another way of taking photos",
    "drift_score": "confidence has shifted: measure on recent photos with known products, then retrain with them",
    "drift_nearest": "recent photos lie elsewhere than the catalogue's: add phone photos as they come in now",
    "drift_category": "other categories are searched now: add photos and products there first",
}

_CARE: Final[Mapping[Care, str]] = {
    Care.NONE: "FCN and SVM learned every photo under the label it bears",
    Care.LEAVE_OUT: "FCN and SVM did not learn photos whose label is probably wrong",
    Care.RELABEL: "FCN and SVM learned photos whose label is probably wrong under the label suggested",
    Care.SELFIE: "FCN and SVM learned refurbished labels where predictions were steady, and the clean photos",
}


def data_care(photos: TrainingPhotos, answered: Sequence[Answered], cared: Cared, care: Care) -> dict[str, Any]:
    """``{mislabels, confusable, twins, balance, training}``, lists worst first.

    photos: all of the catalogue, at least one. answered: those judged across folds. cared: what the final fit learned.
    """
    return {
        "mislabels": _mislabels(photos),
        "confusable": _confusable(answered),
        "twins": _twins(photos),
        "balance": _balance(photos, answered),
        "training": {
            "care": care.value,
            "did": _CARE[care],
            "photos": len(cared.photos),
            "left_out": len(cared.left_out),
            "relabelled": len(cared.relabelled),
        },
    }


def drift_findings(drift: Drift) -> dict[str, Any]:
    """``{before, now, level, changes: [{name, psi, bound, level, shares, advice}]}``."""
    changes = [{**asdict(change), "advice": ADVICE[f"drift_{change.name}"]} for change in drift.changes]
    return {"before": drift.before, "now": drift.now, "level": drift.worst, "changes": changes}


def _mislabels(photos: TrainingPhotos) -> dict[str, Any]:
    found = suspects_among(photos)
    names, _ = coded(photos)
    rows = zip(found.rows[:SHOWN], found.suggested[:SHOWN], found.margins[:SHOWN], strict=True)
    return {
        "count": len(found.rows),
        "noise": found.noise,
        "photos": [
            {
                "photo": photos.hashes[row],
                "label": photos.labels[row],
                "suggested": names[suggested],
                "margin": float(margin),
            }
            for row, suggested, margin in rows
        ],
        "advice": ADVICE["mislabels"],
    }


def _confusable(answered: Sequence[Answered]) -> dict[str, Any]:
    pairs = confusable_labels(answered)
    return {
        "count": len(pairs),
        "pairs": [{**asdict(pair), "count": pair.count} for pair in pairs[:SHOWN]],
        "advice": ADVICE["confusable"],
    }


def _twins(photos: TrainingPhotos) -> dict[str, Any]:
    count, pairs = twins_across(photos.originals, photos.labels, photos.hashes, SHOWN)
    return {"count": count, "pairs": [asdict(pair) for pair in pairs], "advice": ADVICE["twins"]}


def _balance(photos: TrainingPhotos, answered: Sequence[Answered]) -> dict[str, Any]:
    effect = size_effect(answered, photos.labels)
    return {
        **asdict(effect),
        "did": "every photo weighed the same in FCN and SVM; k-NN names each label once, by its nearest photo; "
        "folds and hold-out take the same share of each label, and macro-F1 counts each label the same",
        "advice": ADVICE["balance"],
    }
