"""Two models on the same photos, compared pair by pair: the figures, the exact test and the interval."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.training.measures import top_k, without_nan

LEAST_GROUP_PHOTOS: Final = 20
"""Photos a group needs for a bound of its own."""

_Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class HeldPhoto:
    """A photo of the hold-out. groups: the categories it counts for, with those above them."""

    content_hash: str
    label: str
    scene: int
    groups: tuple[str, ...] = ()


def plain_table(
    photos: Sequence[HeldPhoto], before: Sequence[Sequence[str]], after: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """``{photos, labels, top1, top5}``: each measure as champion, challenger and difference; None without photos.

    before, after: labels that each named for each photo, best first.
    """
    truth = [photo.label for photo in photos]
    table: dict[str, Any] = {"photos": len(truth), "labels": len(set(truth))}
    for name, k in (("top1", 1), ("top5", 5)):
        first, second = top_k(before, truth, k), top_k(after, truth, k)
        table[name] = without_nan({"champion": first, "challenger": second, "difference": second - first})
    return table


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """What both models made of the compared photos.

    before, after: bool (n,), whether the champion's and the challenger's first label is right. ranked: the labels that
    each named, best first.
    """

    photos: Sequence[HeldPhoto]
    before: NDArray[np.bool_]
    after: NDArray[np.bool_]
    ranked: tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]]

    @classmethod
    def of(cls, photos: Sequence[HeldPhoto], before: Sequence[Sequence[str]], after: Sequence[Sequence[str]]) -> Pairs:
        """before, after: labels named for each photo, best first."""
        right = [
            np.array([list(names[:1]) == [photo.label] for photo, names in zip(photos, ranked, strict=True)], bool)
            for ranked in (before, after)
        ]
        return cls(photos, right[0], right[1], (before, after))

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def won(self) -> int:
        """Photos that only the challenger gets right."""
        return int((self.after & ~self.before).sum())

    @property
    def lost(self) -> int:
        """Photos that only the champion gets right."""
        return int((self.before & ~self.after).sum())

    def scene_gains(self) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Net gain and number of photos of each scene."""
        scenes = np.array([photo.scene for photo in self.photos], dtype=np.int_)
        names, codes = np.unique(scenes, return_inverse=True)
        gain = self.after.astype(np.int_) - self.before.astype(np.int_)
        gains = np.zeros(len(names), dtype=np.int_)
        np.add.at(gains, codes, gain)
        return gains, np.bincount(codes, minlength=len(names))

    def table(self) -> dict[str, Any]:
        """Top-1 and Top-5 of both, the photos won and lost, and the test."""
        gains, sizes = self.scene_gains()
        low, high = paired_scene_interval(gains, sizes)
        measures = plain_table(self.photos, *self.ranked)
        top1 = {**measures["top1"], "low": low, "high": high}
        return {
            **measures,
            "scenes": len(sizes),
            "top1": top1,
            "won": self.won,
            "lost": self.lost,
            "p_worse": sign_flip_p(gains),
        }

    def groups(self, max_drop: float) -> list[dict[str, Any]]:
        """A row for each group with enough photos, by name."""
        members: dict[str, list[int]] = defaultdict(list)
        for row, photo in enumerate(self.photos):
            for group in photo.groups:
                members[group].append(row)
        found = []
        for group in sorted(name for name, rows in members.items() if len(rows) >= LEAST_GROUP_PHOTOS):
            rows = members[group]
            before, after = int(self.before[rows].sum()), int(self.after[rows].sum())
            found.append(
                {
                    "group": group,
                    "photos": len(rows),
                    "champion": before / len(rows),
                    "challenger": after / len(rows),
                    "difference": (after - before) / len(rows),
                    "too_low": before - after > max_drop * len(rows),
                }
            )
        return found


def sign_flip_p(gains: NDArray[np.int_]) -> float:
    """Probability of a total as low as this one or lower, were each scene's gain as likely its opposite; exact.

    gains: net gain of each scene. 1.0 where none differs.
    """
    sizes = np.abs(gains[gains != 0])
    total = int(sizes.sum())
    # positive[t]: probability that the scenes drawn positive have t photos in all; the sum is then 2 t - total.
    positive = np.zeros(total + 1)
    positive[0] = 1.0
    for size in sizes:
        positive[size:] = 0.5 * (positive[size:] + positive[: total + 1 - size])
        positive[:size] *= 0.5
    reached = (int(gains.sum()) + total) // 2
    return float(min(1.0, positive[: reached + 1].sum()))


def paired_scene_interval(gains: NDArray[np.int_], sizes: NDArray[np.int_]) -> tuple[float | None, float | None]:
    """95 % interval of the difference of two shares over the same photos, scenes being drawn as a whole.

    Wald's interval with half a photo added to each of the four outcomes (Agresti and Min, Statistics in Medicine 24,
    2005), so that it has a width where no photo differs; the variance is that of scene totals.
    gains, sizes: net gain and photos of each scene. (None, None) without photos.
    """
    count = int(sizes.sum())
    if not count:
        return None, None
    grown = count + 2
    difference = float(gains.sum()) / grown
    spread = float(((gains - difference * sizes) ** 2).sum()) + 1.0
    half = _Z * math.sqrt(spread) / grown
    return max(-1.0, difference - half), min(1.0, difference + half)
