"""Naming the class of an item by its distance to members of each class, and the seed's two open readings of that.

A class is as far away as the mean of its K members is (``centroid``). Shown beside it: as they are on average
(``mean``), as the nearest of them (``nearest``), and as the mean of all members (``by_class_means``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.multimodal.modalities import FusionEmbedding, class_means
from models.values import Float32

Ints = NDArray[np.intp]
Rule = Literal["mean", "nearest", "centroid"]

RANGES: Final[dict[str, int]] = {"known": 30, "mixed": 51, "all": 100}
"""Classes 0-29, of which the network has seen items; 0-50, as the seed calls them, 51; and all."""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Embedded items: those to ask about and those to find. labels: intp, members' ascending."""

    embedding: FusionEmbedding
    queries: Float32
    query_labels: Ints
    members: Float32
    member_labels: Ints

    @property
    def classes(self) -> int:
        """How many classes the members have: 0, 1, 2 ..."""
        return int(self.member_labels[-1]) + 1


@dataclass(frozen=True, slots=True)
class Found:
    """Shares in 0..1 of queries whose class is the nearest, and among the five nearest."""

    top1: float
    top5: float


def by_members(gallery: Gallery, k: int, rng: np.random.Generator) -> dict[Rule, dict[str, Found]]:
    """Search by ``k`` members of each class, drawn at random with replacement, so that ``k`` may exceed the class."""
    own = [np.flatnonzero(gallery.member_labels == code) for code in range(gallery.classes)]
    drawn = [rng.choice(rows, k) for rows in own]
    apart = _class_distances(gallery, gallery.queries, drawn)
    return {rule: _by_range(distances, gallery.query_labels) for rule, distances in apart.items()}


def by_members_in_all(gallery: Gallery, k: int, rng: np.random.Generator) -> dict[Rule, dict[str, Found]]:
    """The other reading of K: ``k`` members in all, whatever their classes; a class without any cannot be named."""
    found: dict[Rule, dict[str, Found]] = {"centroid": {}, "mean": {}, "nearest": {}}
    for name, count in RANGES.items():
        inside = np.flatnonzero(gallery.member_labels < count)
        drawn = rng.choice(inside, k)
        own = [drawn[gallery.member_labels[drawn] == code] for code in range(count)]
        asked = gallery.query_labels < count
        apart = _class_distances(gallery, gallery.queries[asked], own)
        for rule, distances in apart.items():
            found[rule][name] = _found(distances, gallery.query_labels[asked])
    return found


def by_class_means(gallery: Gallery) -> dict[str, Found]:
    """Search by one prototype a class, the mean of all its members."""
    means, _ = class_means(gallery.members, gallery.member_labels, gallery.embedding.metric)
    return _by_range(gallery.embedding.distances(gallery.queries, means), gallery.query_labels)


def _class_distances(gallery: Gallery, queries: Float32, drawn: Sequence[Ints]) -> dict[Rule, Float32]:
    """Distances of queries to classes, float32 (q, classes), from the drawn rows of each class (repeats count)."""
    means, nearest, centroids = np.full((3, len(queries), len(drawn)), np.inf, np.float32)
    embedding = gallery.embedding
    for code, rows in enumerate(drawn):
        if len(rows):
            distinct, counts = np.unique(rows, return_counts=True)
            apart = embedding.distances(queries, gallery.members[distinct])
            means[:, code] = apart @ (counts / len(rows)).astype(np.float32)
            nearest[:, code] = apart.min(axis=1)
            centre, _ = class_means(gallery.members[rows], np.zeros(len(rows), np.intp), embedding.metric)
            centroids[:, code] = embedding.distances(queries, centre)[:, 0]
    return {"mean": means, "nearest": nearest, "centroid": centroids}


def _by_range(distances: Float32, labels: Ints) -> dict[str, Found]:
    return {name: _found(distances[labels < count, :count], labels[labels < count]) for name, count in RANGES.items()}


def _found(distances: Float32, labels: Ints) -> Found:
    """Equal distances are ordered by class; a class at infinity is not found."""
    own = distances[np.arange(len(labels)), labels][:, None]
    before = (distances < own) | ((distances == own) & (np.arange(distances.shape[1]) < labels[:, None]))
    rank = np.where(np.isfinite(own[:, 0]), before.sum(axis=1), distances.shape[1])
    return Found(float((rank < 1).mean()), float((rank < 5).mean()))
