"""Whether two listings are one product: by their photos, their names, or both.

A logistic model a kind of evidence ("both", "photo", "name"), over

    photo   the cosine of the two bottlenecks; of several photos, the nearest two
    name    the cosine of the two names in the shared space
    words   the words both names have, of those either has, each weighted by how rare it is (0..1)

and each of them squared away from its mean, for a boundary that bends. Fitted on planted duplicates
(``models.training.shared.matching``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from models.errors import BundleDamaged
from models.multimodal.names import normalise, stem
from models.values import Float32

Evidence = Literal["both", "photo", "name"]
EVIDENCE: Final[Mapping[Evidence, tuple[str, ...]]] = {
    "both": ("photo", "name", "words"),
    "photo": ("photo",),
    "name": ("name", "words"),
}
"""Which of the likenesses each model reads."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """p = 1 / (1 + exp(-(bias + sum of weights * parts))); parts: each likeness and its square."""

    weights: tuple[float, ...]
    bias: float

    def __call__(self, likenesses: Float32) -> Float64:
        """float64 (n,) in 0..1 of float32 (n, number of likenesses)."""
        parts = logistic_parts(likenesses)
        found: Float64 = 1.0 / (1.0 + np.exp(-np.clip(parts @ np.array(self.weights) + self.bias, -700, 700)))
        return found


def logistic_parts(likenesses: Float32) -> Float64:
    """float64 (n, 2 k) of float32 (n, k): the likenesses and their squares."""
    told = np.asarray(likenesses, dtype=np.float64)
    return np.concatenate([told, told**2], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class MatchModel:
    """models: one for each kind of evidence that could be fitted. thresholds: from which two listings are called one
    product, for the precision that training asked for. rarity: stem of a word -> how much it says, > 0; a word that
    is not in it says ``most_rare``."""

    models: Mapping[Evidence, Logistic]
    thresholds: Mapping[Evidence, float]
    rarity: Mapping[str, float]
    most_rare: float

    def words(self, one: str, other: str) -> float:
        """The weighted share of common words of two names, 0..1; 0 where neither has a word."""
        a, b = ({stem(word) for word in normalise(name).split()} for name in (one, other))
        either = sum(self.rarity.get(word, self.most_rare) for word in a | b)
        return sum(self.rarity.get(word, self.most_rare) for word in a & b) / either if either else 0.0

    def probability(self, evidence: Evidence, likenesses: Float32) -> Float64:
        """float64 (n,): how probably each pair is one product.

        likenesses: float32 (n, k), the columns as ``EVIDENCE`` names them.
        """
        return self.models[evidence](likenesses)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "models": {name: {"weights": list(m.weights), "bias": m.bias} for name, m in self.models.items()},
            "thresholds": dict(self.thresholds),
            "rarity": dict(self.rarity),
            "most_rare": self.most_rare,
        }

    @classmethod
    def from_json(cls, told: Any) -> MatchModel:
        """What ``to_json`` gave. :raise BundleDamaged: something else."""
        try:
            models = {
                name: Logistic(tuple(float(w) for w in told["models"][name]["weights"]), float(m["bias"]))
                for name, m in told["models"].items()
                if name in EVIDENCE
            }
            for name, model in models.items():
                if len(model.weights) != 2 * len(EVIDENCE[name]):
                    raise ValueError(f"{name} has {len(model.weights)} weights")
            thresholds = {name: float(told["thresholds"][name]) for name in models}
            rarity = {str(word): float(value) for word, value in told["rarity"].items()}
            most_rare = float(told["most_rare"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleDamaged(f"the duplicate model is damaged ({error}); run `text train` again") from error
        if not all(map(math.isfinite, (*thresholds.values(), *rarity.values(), most_rare))):
            raise BundleDamaged("the duplicate model holds NaN or infinity; run `text train` again")
        return cls(models, thresholds, rarity, most_rare)


def clusters(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Listings linked by pairs, directly or by way of others: groups of two or more, each sorted, largest first.

    count: listings there are. pairs: numbers below it.
    """
    if not pairs:
        return []
    a, b = np.array(pairs, dtype=np.int64).T
    graph = csr_matrix((np.ones(len(a), dtype=bool), (a, b)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    found: dict[int, list[int]] = {}
    for row in sorted({*a.tolist(), *b.tolist()}):
        found.setdefault(int(labels[row]), []).append(row)
    return sorted(found.values(), key=lambda group: (-len(group), group))
