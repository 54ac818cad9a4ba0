"""What a source's own category (``mall_category``) says of a product's type, and how far the source is trusted.

Malls name and fill their categories each in its own way. What a mall's category means is counted on the catalogue: how
often its products are of each type. That is evidence beside name and picture, by Bayes' rule:

    log P(type | name, picture, mall) = log P(type | name, picture) + trust (log P(type | mall) - log P(type)) + const.

A source many of whose products are hard to tell gets less trust (seed 001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleDamaged
from models.multimodal.names import normalise

SMOOTHING: Final = 5.0
"""Products of the whole catalogue's mixture that are added to each mall category's own."""

Float64 = NDArray[np.float64]


def mall_key(source: str | None, mall_category: str | None) -> str | None:
    """What a mall category is counted under; None where the row names none."""
    named = normalise(mall_category or "")
    return f"{normalise(source or '')}|{named}" if named else None


@dataclass(frozen=True, slots=True, eq=False)
class Malls:
    """What was counted.

    keys: mall key -> row of ``counts``. counts: float64 (k, answers), products of each type; prior: (answers,), their
    shares in the whole catalogue, positive. trust: source (normalised) -> 0..1; others get ``usual``.
    """

    keys: Mapping[str, int]
    counts: Float64
    prior: Float64
    trust: Mapping[str, float] = field(default_factory=dict)
    usual: float = 0.0

    @classmethod
    def nothing(cls, answers: int) -> Malls:
        """Of a catalogue whose rows name no mall category."""
        return cls({}, np.zeros((0, answers)), np.full(answers, 1.0 / max(answers, 1)))

    def trust_of(self, source: str | None) -> float:
        """0..1."""
        return self.trust.get(normalise(source or ""), self.usual)

    def evidence(self, keys: Sequence[str | None]) -> Float64:
        """log P(type | mall) - log P(type), float64 (n, answers), before trust; 0 where nothing is known."""
        found = np.zeros((len(keys), len(self.prior)))
        for row, key in enumerate(keys):
            place = None if key is None else self.keys.get(key)
            if place is not None:
                shares = self.counts[place] + SMOOTHING * self.prior
                found[row] = np.log(shares / shares.sum()) - np.log(self.prior)
        return found

    def added(self, sources: Sequence[str | None], mall_categories: Sequence[str | None]) -> Float64:
        """What is added to the log-probabilities of n products: float64 (n, answers)."""
        keys = [mall_key(source, named) for source, named in zip(sources, mall_categories, strict=True)]
        trust = np.array([self.trust_of(source) for source in sources])
        return self.evidence(keys) * trust[:, None]

    def to_json(self) -> dict[str, Any]:
        """Plain data but for the arrays, which are saved beside it."""
        return {"keys": sorted(self.keys, key=lambda k: self.keys[k]), "trust": dict(self.trust), "usual": self.usual}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], counts: Float64, prior: Float64) -> Malls:
        """Read what ``to_json`` wrote. :raise BundleDamaged: it does not fit the arrays."""
        try:
            keys = {str(key): row for row, key in enumerate(data["keys"])}
            trust = {str(source): float(value) for source, value in data["trust"].items()}
            malls = cls(keys, counts, prior, trust, float(data["usual"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleDamaged(f"the text model's sources are damaged ({error}); train again") from error
        if counts.shape != (len(keys), len(prior)) or not (prior > 0).all():
            raise BundleDamaged("the text model's counts of mall categories do not fit; train again")
        return malls
