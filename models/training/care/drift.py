"""Whether what shoppers search for has changed: the last month against the time before.

The population stability index compares two distributions over the same bins: PSI = sum (p - q) ln(p / q). Usual
bounds: below 0.1 no change worth a look, up to 0.25 some, above that a large one (Siddiqi, "Credit Risk Scorecards",
2006). Two samples of one distribution give a PSI about (1/n + 1/m) times a chi-square of one degree of freedom less
than there are bins (Yurdakul, "Statistical Properties of Population Stability Index", 2018): few queries alone reach
0.25, so a change must exceed the 99 % quantile of that, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

SOME: Final = 0.1
LARGE: Final = 0.25
CONFIDENCE: Final = 0.99
BINS: Final = 10
MOST_CATEGORIES: Final = 20
LEAST_QUERIES: Final = 50
"""Queries a period needs before it is compared."""

_LEAST_SHARE: Final = 1e-3
"""An empty bin counts as this share, so that one photo in it is no infinite change."""

NOTHING: Final = "(none)"
OTHER: Final = "(other)"

Level = Literal["none", "some", "large"]


@dataclass(frozen=True, slots=True)
class QueryFact:
    """One search. score: the first candidate's, nearest: the likeness (cosine) of the nearest reference photo; None
    where there was no candidate, or k-NN named none of them. category: as the shopper narrowed it."""

    verdict: str
    score: float | None
    nearest: float | None
    category: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One property in both periods.

    psi: population stability index. bound: what chance alone exceeds once in a hundred times. shares: bin -> (share
    before, share now), 0..1.
    """

    name: str
    psi: float
    bound: float
    level: Level
    shares: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Drift:
    """before, now: queries of each period; changes: none where either has fewer than ``LEAST_QUERIES``."""

    before: int
    now: int
    changes: tuple[Change, ...]

    @property
    def worst(self) -> Level:
        """The largest level among the changes."""
        levels: tuple[Level, ...] = ("none", "some", "large")
        return max((change.level for change in self.changes), key=levels.index, default="none")


def compare_queries(before: Sequence[QueryFact], now: Sequence[QueryFact]) -> Drift:
    """Verdicts, first scores, nearest likenesses and categories of two periods."""
    if min(len(before), len(now)) < LEAST_QUERIES:
        return Drift(len(before), len(now), ())
    changes = [
        _categorical("verdict", [q.verdict for q in before], [q.verdict for q in now]),
        _continuous("score", [q.score for q in before], [q.score for q in now]),
        _continuous("nearest", [q.nearest for q in before], [q.nearest for q in now]),
        _categorical("category", [q.category or NOTHING for q in before], [q.category or NOTHING for q in now]),
    ]
    return Drift(len(before), len(now), tuple(change for change in changes if change is not None))


def stability_index(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """PSI of two counts (bins,) over the same bins, each with a sum above 0."""
    p, q = (np.maximum(counts / counts.sum(), _LEAST_SHARE) for counts in (before, now))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def chance_bound(n: int, m: int, bins: int) -> float:
    """The PSI that two samples of one distribution, of n and m values, exceed in 1 of 100 cases."""
    return float(chi2.ppf(CONFIDENCE, max(bins - 1, 1)) * (1.0 / n + 1.0 / m))


def level(psi: float, bound: float) -> Level:
    """``none`` below 0.1 or within chance, ``some`` up to 0.25, ``large`` above."""
    if psi < SOME or psi <= bound:
        return "none"
    return "large" if psi > LARGE else "some"


def _change(name: str, bins: Sequence[str], before: NDArray[np.float64], now: NDArray[np.float64]) -> Change:
    psi = stability_index(before, now)
    bound = chance_bound(int(before.sum()), int(now.sum()), len(bins))
    shares = zip(bins, before / before.sum(), now / now.sum(), strict=True)
    return Change(name, psi, bound, level(psi, bound), {bin_: (float(a), float(b)) for bin_, a, b in shares})


def _categorical(name: str, before: Sequence[str], now: Sequence[str]) -> Change:
    """The most frequent values of both periods together; the rest is one bin."""
    total = Counter(before) + Counter(now)
    kept = [value for value, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES]]
    bins = [*kept, OTHER] if len(total) > len(kept) else kept
    counted = []
    for values in (before, now):
        counts = Counter(value if value in kept else OTHER for value in values)
        counted.append(np.array([counts[value] for value in bins], dtype=float))
    return _change(name, bins, *counted)


def _continuous(name: str, before: Sequence[float | None], now: Sequence[float | None]) -> Change | None:
    """Tenths of the earlier period; None where too few queries have the value."""
    old, new = (np.array([v for v in values if v is not None], dtype=float) for values in (before, now))
    if min(len(old), len(new)) < LEAST_QUERIES:
        return None
    edges = np.unique(np.quantile(old, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1) for v in (old, new)]
    names = [f"< {edges[0]:.3f}", *(f"{a:.3f} - {b:.3f}" for a, b in pairwise(edges))]
    return _change(name, [*names, f">= {edges[-1]:.3f}"], *(c.astype(float) for c in counts))
