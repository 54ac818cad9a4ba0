"""Listings that are probably one product, by photo and name, and their clusters; reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.words import ServedWords, photos_of, words_of
from app.store.shared_vectors import WordsRow
from app.store.shared_vectors import words_of as rows_of
from app.store.tables import Product
from models.multimodal.matching import Evidence, clusters
from models.multimodal.shared import SHARED_SIZE
from models.values import BOTTLENECK_SIZE, Float32

_NEAR: Final = 20
"""Products compared with each: the nearest in the shared space."""

_BLOCK: Final = 1024
_AT_A_TIME: Final = 1000
_NOT_TRAINED: Final = "not run: no shared space of words and photos; `python -m app text train` makes one"
_NOT_FITTED: Final = "not run: the last `python -m app text train` had too few photos to learn duplicates from"


@dataclass(frozen=True, slots=True)
class Alike:
    """Listings that are probably one product.

    probability: of the least certain of the pairs that link them. evidence: what was compared, of all pairs.
    same_label: recognition treats them as one anyway.
    """

    skus: tuple[str, ...]
    labels: tuple[str, ...]
    probability: float
    evidence: tuple[str, ...]
    pairs: int

    @property
    def same_label(self) -> bool:
        """Whether recognition treats these products as one anyway."""
        return len(self.labels) == 1

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self) | {"same_label": self.same_label}


@dataclass(frozen=True, slots=True)
class AlikeReport:
    """state: ``run``, or why it was not. version: of the shared space. clusters: largest first."""

    state: str
    version: str | None = None
    products: int = 0
    pairs: int = 0
    clusters: tuple[Alike, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {**asdict(self), "clusters": [cluster.as_dict() for cluster in self.clusters]}


@dataclass(frozen=True, slots=True, eq=False)
class _Listings:
    """The catalogue in the shared space. bottlenecks: float32 (n, 2048), a product's first photo, zeros for none.

    names, places: float32 (n, d).
    """

    rows: Sequence[WordsRow]
    skus: Sequence[str]
    labels: Sequence[str]
    bottlenecks: Float32
    names: Float32
    places: Float32


def find_alike(session: Session, served: ServedWords | None) -> AlikeReport:
    """Compare every product with its neighbours in the shared space. Changes nothing."""
    if served is None:
        return AlikeReport(_NOT_TRAINED)
    if served.bundle.match is None:
        return AlikeReport(_NOT_FITTED, served.bundle.version)
    listings = _read(session, served)
    a, b, p, evidence = _matched(listings, served)
    linked: dict[int, list[int]] = {}
    groups = clusters(len(listings.rows), list(zip(a, b, strict=True)))
    cluster_of = {row: number for number, group in enumerate(groups) for row in group}
    for pair, row in enumerate(a):
        linked.setdefault(cluster_of[row], []).append(pair)
    found = tuple(
        Alike(
            tuple(listings.skus[row] for row in group),
            tuple(sorted({listings.labels[row] for row in group})),
            min(p[pair] for pair in linked[number]),
            tuple(sorted({evidence[pair] for pair in linked[number]})),
            len(linked[number]),
        )
        for number, group in enumerate(groups)
    )
    return AlikeReport("run", served.bundle.version, len(listings.rows), len(a), found)


def _read(session: Session, served: ServedWords) -> _Listings:
    told = session.execute(select(Product.id, Product.sku, Product.label).order_by(Product.id)).all()
    shared = served.bundle.shared
    rows: list[WordsRow] = []
    bottlenecks = np.zeros((len(told), BOTTLENECK_SIZE), np.float32)
    looks = np.zeros((len(told), SHARED_SIZE), np.float32)
    for start in range(0, len(told), _AT_A_TIME):
        part = rows_of(session, served.space_id, [row.id for row in told[start : start + _AT_A_TIME]])
        photos = photos_of(session, served.space_id, part)
        for place, row in enumerate(part, start=start):
            if row.product_id in photos:
                bottlenecks[place] = photos[row.product_id][0]
                looks[place] = shared.look(photos[row.product_id])
        rows += part
    places = shared.place([words_of(row).text() for row in rows], looks)
    names = shared.text.encode([row.name or "" for row in rows])
    return _Listings(rows, [row.sku for row in told], [row.label for row in told], bottlenecks, names, places)


def _matched(listings: _Listings, served: ServedWords) -> tuple[list[int], list[int], list[float], list[Evidence]]:
    """Pairs (a < b) that the duplicate model calls one product, with their probability and what it rests on."""
    match = served.bundle.match
    assert match is not None
    one, other = _neighbours(listings.places)
    names = [row.name or "" for row in listings.rows]
    has_photo, has_name = (np.asarray(v.any(axis=1), dtype=bool) for v in (listings.bottlenecks, listings.names))
    found: tuple[list[int], list[int], list[float], list[Evidence]] = ([], [], [], [])
    photo, name = has_photo[one] & has_photo[other], has_name[one] & has_name[other]
    chosen: tuple[tuple[Evidence, Any], ...] = (
        ("both", photo & name), ("photo", photo & ~name), ("name", name & ~photo)
    )  # fmt: skip
    for evidence, where in chosen:
        a, b = one[where], other[where]
        if evidence not in match.models or not len(a):
            continue
        parts = [] if evidence == "name" else [_cosines(listings.bottlenecks, a, b)]
        if evidence != "photo":
            words = [match.words(names[i], names[j]) for i, j in zip(a.tolist(), b.tolist(), strict=True)]
            parts += [_cosines(listings.names, a, b), np.array(words, np.float32)]
        p = match.probability(evidence, np.stack(parts, axis=1))
        called = np.flatnonzero(p >= match.thresholds[evidence])
        for values, further in zip(found, (a[called], b[called], p[called]), strict=False):
            values.extend(further.tolist())  # type: ignore[attr-defined]
        found[3].extend([evidence] * len(called))
    return found


def _cosines(vectors: Float32, a: Any, b: Any) -> Float32:
    """float32 (n,), a block at a time: all pairs' bottlenecks at once would not fit into memory."""
    parts = [
        np.einsum("ij,ij->i", vectors[a[start : start + _BLOCK]], vectors[b[start : start + _BLOCK]])
        for start in range(0, len(a), _BLOCK)
    ]
    return np.concatenate(parts).astype(np.float32)


def _neighbours(places: Float32) -> tuple[Any, Any]:
    """Distinct pairs (a < b) of each product and its ``_NEAR`` nearest; products that lie nowhere have none."""
    pairs: set[tuple[int, int]] = set()
    there = np.flatnonzero(places.any(axis=1))
    near = min(_NEAR + 1, len(there))
    for start in range(0, len(there), _BLOCK):
        mine = there[start : start + _BLOCK]
        scores = places[mine] @ places[there].T
        nearest = there[np.argpartition(-scores, near - 1, axis=1)[:, :near]]
        for row, others in zip(mine.tolist(), nearest.tolist(), strict=True):
            pairs.update((min(row, other), max(row, other)) for other in others if other != row)
    found = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
