"""Types that cannot be told apart, catch-all types, and words that mislead: what to merge, split or stop.

All of it is proposed from rows that taught nothing, and decided by people.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from models.multimodal.calibration import Float64
from models.multimodal.classifier import TYPE, CategoryClassifier, Listing
from models.multimodal.names import CategoryWords, words
from models.multimodal.stop_words import category_of
from models.training.care.confusions import Answered, confusable_labels
from models.training.text.evaluate import probabilities_of
from models.training.text.rows import TextRows, codes_of

MERGE_SHARE: Final = 0.25
"""Of the smaller type's rows: from this share taken for the other one on, merging the two is proposed."""

LEAST_ROWS: Final = 10
CATCH_ALL_SPREAD: Final = 4
"""A type whose rows are taken for as many others, without being known for what they are in half of the cases."""

LEAST_WORD_ROWS: Final = 8
MOST_WORD_ROWS: Final = 40
"""Names of a category and word that are asked about again; more would tell hardly more."""

STOP_GAIN: Final = 0.02
"""Mean probability that the true type gains where a word is left out, from which on the word is proposed."""

_SHOWN: Final = 30
_NAMES_OF_CATCH_ALLS: Final = frozenset(("misc", "miscellaneous", "other", "others", "etc", "기타", "general"))


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Two types that are taken for each other. advice: ``merge`` or ``describe`` (what tells them apart is missing)."""

    first: str
    second: str
    mistakes: int
    share: float
    advice: str


@dataclass(frozen=True, slots=True)
class CatchAll:
    """A type without a common look or name: its rows are taken for many others. Advice: split it, or move its rows."""

    type: str
    rows: int
    right: float
    taken_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopWord:
    """A word that misleads in a category's names. gain: mean probability of the true type without it, less with it."""

    category: str
    word: str
    rows: int
    gain: float


def category_report(classifier: CategoryClassifier, rows: TextRows, category_words: CategoryWords) -> dict[str, Any]:
    """``{ambiguous, catch_all, stop_words}`` as plain values, the most telling first.

    rows: that taught nothing, with known types.
    """
    known = rows.subset(np.flatnonzero([kind is not None for kind in rows.types]))
    listing = Listing(
        known.names, known.vectors(np.arange(len(known))), known.has_image, known.sources, known.mall_categories
    )
    told = probabilities_of(classifier, listing)
    named = [classifier.answers[TYPE][place] for place in told.argmax(axis=1)] if len(told) else []
    truth = [str(kind) for kind in known.types]
    return {
        "ambiguous": [asdict(pair) for pair in ambiguous_types(known.skus, truth, named)[:_SHOWN]],
        "catch_all": [asdict(kind) for kind in catch_all_types(truth, named)[:_SHOWN]],
        "stop_words": [asdict(word) for word in stop_words(classifier, known, told, category_words)[:_SHOWN]],
    }


def ambiguous_types(skus: Sequence[str], truth: Sequence[str], named: Sequence[str]) -> list[Ambiguous]:
    """Pairs with at least two mistakes, the most often confused share first."""
    answered = [Answered(sku, true, told) for sku, true, told in zip(skus, truth, named, strict=True)]
    found = []
    for pair in confusable_labels(answered):
        smaller = max(1, min(pair.first_photos, pair.second_photos))
        share = min(1.0, pair.count / smaller)
        found.append(
            Ambiguous(pair.first, pair.second, pair.count, share, "merge" if share >= MERGE_SHARE else "describe")
        )
    return sorted(found, key=lambda pair: (-pair.share, -pair.mistakes, pair.first, pair.second))


def catch_all_types(truth: Sequence[str], named: Sequence[str]) -> list[CatchAll]:
    """Types with rows enough that are rarely known for what they are and taken for many others, or named so."""
    taken: dict[str, Counter[str]] = defaultdict(Counter)
    for true, told in zip(truth, named, strict=True):
        taken[true][told] += 1
    found = []
    for kind, counts in taken.items():
        right = counts[kind] / counts.total()
        others = [other for other, _ in counts.most_common() if other != kind]
        scattered = counts.total() >= LEAST_ROWS and right < 0.5 and len(others) >= CATCH_ALL_SPREAD
        if scattered or _NAMES_OF_CATCH_ALLS & set(words(kind)):
            found.append(CatchAll(kind, counts.total(), right, tuple(others[:5])))
    return sorted(found, key=lambda kind: (kind.right, -kind.rows, kind.type))


def stop_words(
    classifier: CategoryClassifier, rows: TextRows, told: Float64, category_words: CategoryWords
) -> list[StopWord]:
    """Words that several names of a category hold and that make its true types less likely.

    Each is left out of each name once and the classifier asked again. told: its probabilities with the word. Words of
    category names are not proposed: that they mislead means that the category is wrong.
    """
    codes = codes_of(rows.types, classifier.answers[TYPE])
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, (name, category) in enumerate(zip(rows.names, rows.categories, strict=True)):
        for word in set(words(name)):
            if codes[row] >= 0 and category_words.mask(word):
                places[category_of(category), word].append(row)
    frequent = {key: found for key, found in places.items() if len(found) >= LEAST_WORD_ROWS}
    doubtful = {key: found for key, found in frequent.items() if _mistaken(told, codes, found)}
    return _misleading(classifier, rows, told, doubtful)


def _mistaken(told: Float64, codes: Any, found: Sequence[int]) -> bool:
    """Whether the true types of the rows are less than certain on average: else no word can be in the way."""
    return float(told[found, codes[found]].mean()) < 1.0 - STOP_GAIN


def _misleading(
    classifier: CategoryClassifier,
    rows: TextRows,
    told: Float64,
    places: Mapping[tuple[str, str], Sequence[int]],
) -> list[StopWord]:
    codes = codes_of(rows.types, classifier.answers[TYPE])
    asked = [(key, row) for key, found in sorted(places.items()) for row in found[:MOST_WORD_ROWS]]
    if not asked:
        return []
    names = tuple(" ".join(w for w in words(rows.names[row]) if w != word) for (_, word), row in asked)
    chosen = np.array([row for _, row in asked])
    some = rows.subset(chosen)
    listing = Listing(names, some.vectors(np.arange(len(some))), some.has_image, some.sources, some.mall_categories)
    without = probabilities_of(classifier, listing)[np.arange(len(chosen)), codes[chosen]]
    gains: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (key, row), probability in zip(asked, without, strict=True):
        gains[key].append(float(probability - told[row, codes[row]]))
    found = [
        StopWord(category, word, len(values), float(np.mean(values)))
        for (category, word), values in gains.items()
        if float(np.mean(values)) >= STOP_GAIN
    ]
    return sorted(found, key=lambda word: (-word.gain * word.rows, word.category, word.word))
