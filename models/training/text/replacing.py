"""Two trained category classifiers on rows that neither has seen."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.multimodal.classifier import TYPE, CategoryClassifier
from models.training.replacing import paired
from models.training.text.evaluate import as_served, probabilities_of
from models.training.text.rows import UNKNOWN, TextRows, codes_of


def compare_classifiers(
    before: CategoryClassifier, after: CategoryClassifier, rows: TextRows, held: Collection[str]
) -> dict[str, dict[str, Any]]:
    """``{"types": paired}`` (``models.training.replacing``): how many types each names rightly, with all a row has.

    before, after: the trials of the model in use and of the newer one. held: skus that neither trial has learned from;
    of ``rows`` only these are asked about, and of these only those that give a type.
    """
    wanted = frozenset(held)
    asked = [i for i, sku in enumerate(rows.skus) if sku in wanted and rows.types[i] is not None]
    chosen = rows.subset(np.array(asked, dtype=np.intp))
    return {"types": paired(_right(before, chosen), _right(after, chosen), chosen.labels)}


def _right(classifier: CategoryClassifier, rows: TextRows) -> NDArray[np.int_]:
    """1 where the first type named is the row's, else 0: int (n,)."""
    if not len(rows):
        return np.zeros(0, np.int_)
    codes = codes_of(rows.types, classifier.answers[TYPE])
    named = probabilities_of(classifier, as_served(rows)).argmax(axis=1)
    return ((named == codes) & (codes != UNKNOWN)).astype(np.int_)
