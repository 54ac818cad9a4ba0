"""Which listings are learned together: each variant of the contrastive training draws its batches in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import numpy as np

from models.training.shared.data import Bools, Ints

_CATEGORIES_A_BATCH: Final = 12


class Variant(StrEnum):
    """How listings of one product are dealt with (seed 002, e-CLIP).

    PLAIN: each listing is its own product, as in CLIP. FILTERED: one listing a product is learned, the others left
    out. SOFT: all are learned; the n in a batch share the target, 1/n each. HARD: as SOFT, and after a warm-up a batch
    comes from few categories, so that its negatives are hard.
    """

    PLAIN = "plain"
    FILTERED = "filtered"
    SOFT = "soft"
    HARD = "hard"


class BatchMaker:
    """Draws batches of listings, epoch after epoch.

    rows: int (n,), what is learned. groups, categories: int, by listing. size: listings a batch.
    """

    def __init__(
        self, rows: Ints, groups: Ints, categories: Ints, variant: Variant, size: int, random: np.random.Generator
    ) -> None:
        self._rows = rows
        self._groups = groups
        self._categories = categories
        self._variant = variant
        self._random = random
        self._size = min(size, len(rows))

    @property
    def steps(self) -> int:
        """Batches an epoch, of all rows; FILTERED does as many, so that variants learn equally long."""
        return max(1, round(len(self._rows) / self._size)) if self._size else 0

    def epoch(self, *, hard: bool) -> Iterator[Ints]:
        """Batches of one epoch. hard: whether the warm-up of HARD is over; others take no notice."""
        for _ in range(self.steps):
            if self._variant is Variant.HARD and hard:
                yield self._of_few_categories()
            elif self._variant is Variant.FILTERED:
                yield self._one_a_group()
            else:
                yield self._random.choice(self._rows, self._size, replace=False)

    def _one_a_group(self) -> Ints:
        """Distinct products. Which listing stands for a product is decided once: the others are left out."""
        firsts = np.unique(self._groups[self._rows], return_index=True)[1]
        return self._rows[self._random.choice(firsts, min(self._size, len(firsts)), replace=False)]

    def _of_few_categories(self) -> Ints:
        """Half of the batch from a dozen categories, drawn by their size; half from anywhere.

        A batch of one category alone would unlearn the differences between categories.
        """
        own = self._categories[self._rows]
        seeds = self._random.choice(own, _CATEGORIES_A_BATCH)
        inside = np.flatnonzero(np.isin(own, seeds))
        near = self._random.choice(inside, min(self._size // 2, len(inside)), replace=False)
        others = np.setdiff1d(np.arange(len(self._rows)), near, assume_unique=True)
        far = self._random.choice(others, min(self._size - len(near), len(others)), replace=False)
        return self._rows[np.concatenate([near, far])]


def name_targets(groups: Ints, variant: Variant) -> Bools:
    """bool (b, b): which names belong to which listings of a batch. groups: int (b,)."""
    if variant is Variant.PLAIN:
        return np.eye(len(groups), dtype=bool)
    same: Bools = groups[:, None] == groups[None, :]
    return same
