"""Fitting and measuring the duplicate model on planted duplicates: another photo variant and a reworded name.

Natural twins (listings predicted to be one product anyway) are left out: nobody knows whether they are duplicates.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve

from models.multimodal.matching import EVIDENCE, Evidence, Logistic, MatchModel, logistic_parts
from models.multimodal.names import normalise, stem
from models.multimodal.shared import TextEncoder
from models.training.shared.data import Bools, Ints
from models.training.shared.measures import ranked_precision
from models.values import Float32

PRECISION: Final = 0.95
"""Share of the pairs that are called one product which shall be one, on planted duplicates."""

LEAST_PLANTED: Final = 30
"""Planted duplicates that fitting needs."""

_NEAR: Final = 20
_STRICT: Final = 1.0 - 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Listings as the duplicate model sees them. vectors: float32 (n, 2048), bottlenecks. names: n, in words.

    said: float32 (n, d), the names in the shared space. groups: int (n,), predicted products.
    """

    vectors: Float32
    names: Sequence[str]
    said: Float32
    groups: Ints

    @classmethod
    def of(cls, vectors: Float32, names: Sequence[str], text: TextEncoder, groups: Ints) -> Side:
        """Encode the names."""
        return cls(vectors, names, text.encode(names), groups)

    def __len__(self) -> int:
        return len(self.names)


def word_rarity(names: Sequence[str]) -> tuple[dict[str, float], float]:
    """(stem -> log(n / names that have it) + 1, the same for a word that one name has)."""
    counts = Counter(word for name in names for word in {stem(word) for word in normalise(name).split()})
    n = max(1, len(names))
    return {word: math.log(n / count) + 1.0 for word, count in counts.items() if count > 1}, math.log(n) + 1.0


class WordOverlap:
    """The weighted share of common words, for all pairs of two sides at once; equals ``MatchModel.words``."""

    def __init__(self, rarity: Mapping[str, float], most_rare: float) -> None:
        self._rarity = rarity
        self._most_rare = most_rare

    def __call__(self, one: Sequence[str], other: Sequence[str]) -> Float32:
        """float32 (n, m) in 0..1."""
        column: dict[str, int] = {}
        sets = [[{stem(w) for w in normalise(name).split()} for name in names] for names in (one, other)]
        for words in (*sets[0], *sets[1]):
            for word in words:
                column.setdefault(word, len(column))
        weight = np.array([self._rarity.get(word, self._most_rare) for word in column], np.float32)
        a, b = (self._matrix(words, column) for words in sets)
        common = np.asarray((a.multiply(weight).tocsr() @ b.T).todense(), dtype=np.float32)
        either = (a @ weight)[:, None] + (b @ weight)[None, :] - common
        found: Float32 = np.divide(common, either, out=np.zeros_like(common), where=either > 0)
        return found

    @staticmethod
    def _matrix(sets: Sequence[set[str]], column: Mapping[str, int]) -> Any:
        rows = [row for row, words in enumerate(sets) for _ in words]
        columns = [column[word] for words in sets for word in sorted(words)]
        shape = (len(sets), max(1, len(column)))
        return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)


def likenesses(planted: Side, gallery: Side, overlap: WordOverlap) -> dict[str, Float32]:
    """float32 (n, m) for each of photo, name and words: every planted listing against every one of the gallery."""
    return {
        "photo": planted.vectors @ gallery.vectors.T,
        "name": planted.said @ gallery.said.T,
        "words": overlap(planted.names, gallery.names),
    }


def fit_match(planted: Side, gallery: Side, sources: Ints, names: Sequence[str]) -> MatchModel | None:
    """Learn what tells a planted duplicate from others like it.

    sources: int (n,), of which listing of the gallery each planted one is a duplicate. names: all of the catalogue,
    for how rare words are. None where fewer than ``LEAST_PLANTED`` were planted.
    """
    if len(planted) < LEAST_PLANTED:
        return None
    rarity, most_rare = word_rarity(names)
    told = likenesses(planted, gallery, WordOverlap(rarity, most_rare))
    kept = _kept(planted, gallery, sources)
    models: dict[Evidence, Logistic] = {}
    thresholds: dict[Evidence, float] = {}
    for evidence, columns in EVIDENCE.items():
        near = np.zeros(kept.shape, dtype=bool)
        for name in columns:
            np.put_along_axis(near, np.argsort(-told[name], axis=1, kind="stable")[:, :_NEAR], True, axis=1)
        near[np.arange(len(planted)), sources] = True
        rows, others = np.nonzero(near & kept)
        parts = np.stack([told[name][rows, others] for name in columns], axis=1)
        models[evidence], thresholds[evidence] = _fitted(parts, others == sources[rows])
    return MatchModel(models, thresholds, rarity, most_rare)


def _kept(planted: Side, gallery: Side, sources: Ints) -> Bools:
    """bool (n, m): pairs that count; natural twins do not."""
    kept: Bools = planted.groups[:, None] != gallery.groups[None, :]
    kept[np.arange(len(planted)), sources] = True
    return kept


def _fitted(parts: Float32, truth: Bools) -> tuple[Logistic, float]:
    found = LogisticRegression(C=100.0, max_iter=2000).fit(logistic_parts(parts), truth)
    model = Logistic(tuple(float(w) for w in found.coef_[0]), float(found.intercept_[0]))
    precision, _, thresholds = precision_recall_curve(truth, model(parts))
    enough = np.flatnonzero(precision[:-1] >= PRECISION)
    return model, float(thresholds[enough[0]]) if len(enough) else _STRICT


def duplicate_measures(model: MatchModel, planted: Side, gallery: Side, sources: Ints) -> dict[str, Any]:
    """``{planted, pairs, both|photo|name: {average_precision, precision, recall}}`` over all pairs; precision and
    recall at the model's threshold."""
    told = likenesses(planted, gallery, WordOverlap(model.rarity, model.most_rare))
    kept = _kept(planted, gallery, sources)
    rows, others = np.nonzero(kept)
    truth = others == sources[rows]
    result: dict[str, Any] = {"planted": len(planted), "pairs": len(rows)}
    for evidence in model.models:
        parts = np.stack([told[name][rows, others] for name in EVIDENCE[evidence]], axis=1)
        p = model.probability(evidence, parts)
        called = p >= model.thresholds[evidence]
        result[evidence] = {
            "average_precision": ranked_precision(truth, p.astype(np.float32)),
            "precision": float(truth[called].mean()) if called.any() else None,
            "recall": float(called[truth].mean()),
        }
    return result
