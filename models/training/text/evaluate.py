"""Measuring a text model on rows with known types: by name, by masked name, by picture, by both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from models.multimodal.classifier import TYPE, CategoryClassifier, Listing
from models.multimodal.names import CategoryWords
from models.training.measures import expected_calibration_error, without_nan
from models.training.text.rows import Codes, TextRows, codes_of

LEAST_TRAINING_ROWS: Final = 10
"""Training rows from which a type counts in macro-F1."""

INPUTS: Final = ("name", "name_masked", "image", "fused", "fused_masked")

_BATCH: Final = 4096

Float64 = NDArray[np.float64]


def evaluate_text(
    classifier: CategoryClassifier, words: CategoryWords, counts: Mapping[str, int], rows: TextRows
) -> dict[str, Any]:
    """``{rows, with_image, name|name_masked|image|fused|fused_masked: {accuracy, top5, macro_f1}, calibration: {ece,
    threshold, precision, answered}}``.

    rows: those whose type is not given are left out. The five inputs are compared on the same rows: those with a
    picture. Where none has one, the inputs that read names are measured on all rows, and the picture is null. The
    calibration is that of all rows, each with what it has. counts: training rows a type; see ``LEAST_TRAINING_ROWS``.
    """
    rows = rows.subset(np.flatnonzero([kind is not None for kind in rows.types]))
    shown = np.flatnonzero(rows.has_image)
    compared = rows.subset(shown) if len(shown) else rows
    result: dict[str, Any] = {"rows": len(rows), "with_image": len(shown)}
    for name in INPUTS:
        blind = not len(shown) and name == "image"
        told = None if blind else probabilities_of(classifier, shown_as(compared, name, words))
        result[name] = (
            dict.fromkeys(("accuracy", "top5", "macro_f1"))
            if told is None
            else without_nan(measures(told, classifier.answers[TYPE], compared.types, counts))
        )
    result["calibration"] = without_nan(calibration_of(classifier, rows))
    return result


def shown_as(rows: TextRows, kind: str, words: CategoryWords) -> Listing:
    """The rows with only what one of ``INPUTS`` shows. What the source says of the category is left out throughout."""
    n = len(rows)
    names = ("",) * n if kind == "image" else rows.names
    if kind.endswith("_masked"):
        names = tuple(words.mask(name) for name in names)
    has_image = np.zeros(n, bool) if kind in ("name", "name_masked") else rows.has_image
    return Listing(names, rows.vectors(np.arange(n)), has_image, (None,) * n, (None,) * n)


def as_served(rows: TextRows) -> Listing:
    """The rows with everything they have."""
    images = rows.vectors(np.arange(len(rows)))
    return Listing(rows.names, images, rows.has_image, rows.sources, rows.mall_categories)


def probabilities_of(classifier: CategoryClassifier, listing: Listing) -> Float64:
    """Probabilities of the types, float64 (n, answers), a part at a time."""
    parts = []
    for start in range(0, len(listing), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(listing)))
        parts.append(classifier.probabilities(listing.subset(rows))[TYPE])
    return np.concatenate(parts) if parts else np.zeros((0, len(classifier.answers[TYPE])))


def measures(
    probabilities: Float64, answers: tuple[str, ...], truth: tuple[str | None, ...], counts: Mapping[str, int]
) -> dict[str, float]:
    """Accuracy, Top-5 and macro-F1, 0..1, NaN without rows. A type that the classifier cannot name is missed."""
    codes = codes_of(truth, answers)
    if not len(codes):
        return dict.fromkeys(("accuracy", "top5", "macro_f1"), float("nan"))
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    return {
        "accuracy": float((order[:, 0] == codes).mean()),
        "top5": float((order == codes[:, None]).any(axis=1).mean()),
        "macro_f1": macro_f1_of(order[:, 0], codes, answers, counts),
    }


def macro_f1_of(named: Codes, codes: Codes, answers: tuple[str, ...], counts: Mapping[str, int]) -> float:
    """F1 averaged over the types that occur among the rows and had enough training rows; NaN where none is such."""
    counted = [c for c in np.unique(codes) if c >= 0 and counts.get(answers[c], 0) >= LEAST_TRAINING_ROWS]
    if not counted:
        return float("nan")
    return float(f1_score(codes, named, labels=counted, average="macro", zero_division=0))


def calibration_of(classifier: CategoryClassifier, rows: TextRows) -> dict[str, float]:
    """ECE, the default threshold, and precision and share of what lies above it; NaN without rows."""
    threshold = classifier.calibration.threshold
    told = probabilities_of(classifier, as_served(rows))
    if not len(told):
        return {"ece": float("nan"), "threshold": threshold, "precision": float("nan"), "answered": float("nan")}
    sure = told.max(axis=1)
    right = told.argmax(axis=1) == codes_of(rows.types, classifier.answers[TYPE])
    answered = sure >= threshold
    return {
        "ece": expected_calibration_error(sure.tolist(), right.tolist()),
        "threshold": threshold,
        "precision": float(right[answered].mean()) if answered.any() else float("nan"),
        "answered": float(answered.mean()),
    }
