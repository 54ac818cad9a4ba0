"""Fitting the restricted class on what the operator has marked, with its threshold at a chosen recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from models.multimodal.restricted import RECALL, RECALLS, RestrictedModel
from models.values import Float32

LEAST_MARKED: Final = 20
"""Products marked as restricted, and as many marked as not, that fitting needs."""

_FOLDS: Final = 5
_NOT_RUN: Final = (
    f"not run: fewer than {LEAST_MARKED} products have `restricted` true, or fewer than {LEAST_MARKED} have it false"
)


def fit_restricted(names: Float32, photos: Float32, marks: Sequence[bool | None]) -> RestrictedModel | None:
    """Learn the class; None where too few products are marked.

    names, photos: float32 (n, d), see ``RestrictedModel``. marks: n of the column ``restricted``; unmarked rows teach
    nothing. The thresholds come from predictions across folds, so that they hold for products not yet seen.
    """
    known = [i for i, mark in enumerate(marks) if mark is not None]
    truth = np.array([bool(marks[i]) for i in known], dtype=bool)
    if min(int(truth.sum()), int((~truth).sum())) < LEAST_MARKED:
        return None
    parts = np.concatenate([names[known], photos[known]], axis=1)
    model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=2000)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    unseen = cross_val_predict(model, parts, truth, cv=folds, method="predict_proba")[:, 1]
    model.fit(parts, truth)
    weights = np.asarray(model.coef_[0], dtype=np.float32)
    return RestrictedModel(weights, float(model.intercept_[0]), _thresholds(unseen[truth]))


def _thresholds(restricted: NDArray[np.float64]) -> dict[float, float]:
    """Flagging from the i-th lowest of n restricted products on flags n - i of them."""
    lowest = np.sort(restricted)
    return {recall: float(lowest[int(np.floor((1.0 - recall) * len(lowest) + 1e-9))]) for recall in RECALLS}


def recalibrated(
    model: RestrictedModel | None, names: Float32, photos: Float32, marks: Sequence[bool | None]
) -> RestrictedModel | None:
    """The model with thresholds from products that neither it nor the encoders learned from.

    Encoders place what they learned from more clearly than what they did not; thresholds from the former find fewer
    restricted products than asked for. Where fewer than ``LEAST_MARKED`` of these are restricted, the model stays.
    """
    truth = np.array([mark is True for mark in marks], dtype=bool)
    if model is None or truth.sum() < LEAST_MARKED:
        return model
    return replace(model, thresholds=_thresholds(model.probability(names[truth], photos[truth])))


def restricted_measures(
    model: RestrictedModel | None, names: Float32, photos: Float32, marks: Sequence[bool | None], recall: float = RECALL
) -> dict[str, Any]:
    """``{state: "run", asked_recall, products, restricted, recall, precision, flagged}`` on held-out products, or
    ``{state: "not run: ..."}``."""
    known = [i for i, mark in enumerate(marks) if mark is not None]
    truth = np.array([bool(marks[i]) for i in known], dtype=bool)
    if model is None or not truth.any():
        return {"state": _NOT_RUN}
    flagged = model.probability(names[known], photos[known]) >= model.thresholds[recall]
    return {
        "state": "run",
        "asked_recall": recall,
        "products": len(known),
        "restricted": int(truth.sum()),
        "flagged": int(flagged.sum()),
        "recall": float(flagged[truth].mean()),
        "precision": float(truth[flagged].mean()) if flagged.any() else None,
    }
