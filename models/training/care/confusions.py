"""Which labels are taken for each other across folds, both ways, and how labels with few photos fare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

EXAMPLES: Final = 2
"""Photos shown of each way of a confusion."""

LEAST_CONFUSIONS: Final = 2
"""Mistakes from which two labels are called confusable: one may be chance."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A photo, its label, and the label that was named first by models that had not seen its scene (None: nothing)."""

    content_hash: str
    truth: str
    named: str | None


@dataclass(frozen=True, slots=True)
class Confusable:
    """Two labels that are mixed up; ``first`` is the one of which more photos are taken for the other.

    as_second: photos of first taken for second; as_first: of second taken for first. first_photos, second_photos:
    how many photos of each were asked about. first_examples, second_examples: content hashes of such mistakes; of a
    second that was never taken for the first, of photos that were named right, so that both can be shown.
    """

    first: str
    second: str
    as_second: int
    as_first: int
    first_photos: int
    second_photos: int
    first_examples: tuple[str, ...]
    second_examples: tuple[str, ...]

    @property
    def count(self) -> int:
        """Mistakes both ways."""
        return self.as_second + self.as_first


@dataclass(frozen=True, slots=True)
class SizeEffect:
    """Whether labels with few photos fare worse: Top-1 averaged over labels, of the smaller and the larger half.

    median: photos a label. smaller, larger: 0..1; None where no label of that half was asked about.
    """

    median: float
    smaller: float | None
    larger: float | None


def confusable_labels(answered: Sequence[Answered], least: int = LEAST_CONFUSIONS) -> list[Confusable]:
    """Pairs with at least ``least`` mistakes, most first, then by name."""
    wrong: dict[tuple[str, str], list[str]] = defaultdict(list)
    right: dict[str, list[str]] = defaultdict(list)
    asked: dict[str, int] = defaultdict(int)
    for photo in answered:
        asked[photo.truth] += 1
        if photo.named == photo.truth:
            right[photo.truth].append(photo.content_hash)
        if photo.named is not None and photo.named != photo.truth:
            wrong[photo.truth, photo.named].append(photo.content_hash)
    pairs = {tuple(sorted(pair)) for pair in wrong}
    found = [_pair(one, other, wrong, right, asked) for one, other in pairs]
    return sorted((p for p in found if p.count >= least), key=lambda p: (-p.count, p.first, p.second))


def _pair(
    one: str,
    other: str,
    wrong: Mapping[tuple[str, str], list[str]],
    right: Mapping[str, list[str]],
    asked: Mapping[str, int],
) -> Confusable:
    if len(wrong.get((other, one), ())) > len(wrong.get((one, other), ())):
        one, other = other, one
    there, back = sorted(wrong.get((one, other), ())), sorted(wrong.get((other, one), ()))
    return Confusable(
        one,
        other,
        len(there),
        len(back),
        asked.get(one, 0),
        asked.get(other, 0),
        tuple(there[:EXAMPLES]),
        tuple((back or sorted(right.get(other, ())))[:EXAMPLES]),
    )


def size_effect(answered: Sequence[Answered], labels: Sequence[str]) -> SizeEffect:
    """labels: of every photo of the catalogue, by which a label's size counts; it must not be empty."""
    names, counts = np.unique(np.array(labels, dtype=np.str_), return_counts=True)
    sizes = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    median = float(np.median(counts))
    right: dict[str, list[bool]] = defaultdict(list)
    for photo in answered:
        right[photo.truth].append(photo.named == photo.truth)

    def mean(small: bool) -> float | None:
        of = [float(np.mean(hits)) for label, hits in right.items() if (sizes.get(label, 0) < median) is small]
        return float(np.mean(of)) if of else None

    return SizeEffect(median, mean(True), mean(False))
