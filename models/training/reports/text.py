"""The report of a text training: one HTML file for people; it loads and runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.explain import WordShare
from models.multimodal.classifier import TYPE, Listing
from models.training.reports.html import page_template
from models.training.text.evaluate import INPUTS, as_served, probabilities_of
from models.training.text.rows import TextRows
from models.training.text.train import TrainedText

Shares = Callable[[Listing, str], Sequence[WordShare]]
"""One product, a type -> what each word of its name adds to the type."""

_EXAMPLES: Final = 12


@dataclass(frozen=True, slots=True)
class ShownWord:
    """A word of a name. share: what the type's log-probability loses without it; weight: the same as -1..1 of the
    strongest word of the name, for its colour."""

    word: str
    share: float
    weight: float


@dataclass(frozen=True, slots=True)
class ExplainedName:
    """A product that taught nothing, with the type named for it and the words that say so."""

    sku: str
    words: tuple[ShownWord, ...]
    truth: str
    named: str
    confidence: float
    has_image: bool


def text_report(manifest: Mapping[str, Any], trained: TrainedText, rows: TextRows, shares: Shares) -> str:
    """The page. manifest: version, space, created_at. rows: that were trained on. shares: of ``trained.trial``."""
    hits, misses = explained_names(trained, rows, shares)
    return page_template("text.html.j2").render(
        manifest=manifest, metrics=trained.metrics, inputs=INPUTS, hits=hits, misses=misses
    )


def explained_names(
    trained: TrainedText, rows: TextRows, shares: Shares, count: int = _EXAMPLES
) -> tuple[list[ExplainedName], list[ExplainedName]]:
    """(products named rightly, each of another type; the surest mistakes), at most ``count`` of each, of the rows that
    the trial has not seen and that have a name and a type.
    """
    if trained.trial is None:
        return [], []
    held = frozenset(trained.held)
    chosen = [i for i, sku in enumerate(rows.skus) if sku in held and rows.names[i] and rows.types[i] is not None]
    asked = rows.subset(np.array(chosen, dtype=np.intp))
    if not len(asked):
        return [], []
    classifier, listing = trained.trial.classifier, as_served(asked)
    told = probabilities_of(classifier, listing)
    named = [classifier.answers[TYPE][place] for place in told.argmax(axis=1)]
    sure = told.max(axis=1)
    hits: dict[str, int] = {}
    for row in np.argsort(-sure, kind="stable").tolist():
        if named[row] == asked.types[row]:
            hits.setdefault(named[row], row)
    misses = [row for row in np.argsort(-sure, kind="stable").tolist() if named[row] != asked.types[row]]

    def explained(row: int) -> ExplainedName:
        words = shares(listing.subset(np.array([row])), named[row])
        image = bool(asked.has_image[row])
        return ExplainedName(asked.skus[row], _shown(words), str(asked.types[row]), named[row], float(sure[row]), image)

    return [explained(row) for row in list(hits.values())[:count]], [explained(row) for row in misses[:count]]


def _shown(words: Sequence[WordShare]) -> tuple[ShownWord, ...]:
    strongest = max((abs(word.share) for word in words), default=0.0) or 1.0
    return tuple(ShownWord(word.word, word.share, word.share / strongest) for word in words)
