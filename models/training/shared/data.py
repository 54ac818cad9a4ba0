"""What the shared space learns from: products in words, their bottlenecks, and which listings are one product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from models.errors import UsageError
from models.multimodal.names import normalise, stem
from models.multimodal.seasons import season_of
from models.values import BOTTLENECK_SIZE, Float32

SLOTS: Final = ("large", "medium", "small", "type", "colour", "brand", "season")
"""What a row says beside its name: three levels of the category, and four columns. ``small`` is the last level."""

KINDS: Final = ("large", "medium", "small", "type")
"""Those of the slots that say what a product is; a caption names one of them at most."""

SAME_PHOTO_COSINE: Final = 0.99
"""Cosine of two bottlenecks above which two photos of one type count as the same product's.

Stricter than a twin's 0.985 (``models.training.care.twins``): studio photos of plain goods come that near."""

_BLOCK: Final = 1024

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Listing:
    """One product of the catalogue in words. group, gtin: what the shop itself says of listings that are one product.

    category: a path, ``Apparel > Topwear > Shirts``. month: 1..12 of ``listed_at``. restricted: the operator's flag.
    season: as the catalogue calls it; by the month where it does not.
    """

    sku: str
    name: str | None = None
    category: str | None = None
    type: str | None = None
    colour: str | None = None
    brand: str | None = None
    month: int | None = None
    group: str | None = None
    gtin: str | None = None
    restricted: bool | None = None
    season: str | None = None

    def slots(self) -> Mapping[str, str]:
        """Slot -> normalised words, of those that are known."""
        levels = [] if self.category is None else [normalise(part) for part in self.category.split(">")]
        levels = [level for level in levels if level]
        told = dict(zip(SLOTS, levels[:2], strict=False)) if len(levels) > 1 else {}
        if levels:
            told["small"] = levels[-1]
        season = self.season or (None if self.month is None else season_of(self.month))
        for slot, value in (("type", self.type), ("colour", self.colour), ("brand", self.brand), ("season", season)):
            if value is not None and normalise(value):
                told[slot] = normalise(value)
        return told

    def words(self) -> list[str]:
        """The words of the normalised name; of a listing without one, of its brand, colour and type."""
        named = normalise(self.name or "").split()
        return named or normalise(" ".join(part for part in (self.brand, self.colour, self.type) if part)).split()


@dataclass(frozen=True, slots=True, eq=False)
class SharedData:
    """Listings and photos.

    listings: n. photo_rows: int (m,), whose listing a photo is. vectors: float32 (m, 2048) bottlenecks, unit length.
    hashes: m content hashes. groups: int (n,), equal for listings that are predicted to be one product.
    """

    listings: Sequence[Listing]
    photo_rows: Ints
    vectors: Float32
    hashes: Sequence[str]
    groups: Ints

    def __len__(self) -> int:
        return len(self.listings)

    def photos_of(self, rows: Ints) -> Ints:
        """Numbers of the photos of these listings, in the order of the photos."""
        wanted = np.zeros(len(self), dtype=bool)
        wanted[rows] = True
        return np.flatnonzero(wanted[self.photo_rows])

    def first_photos(self) -> Ints:
        """int (n,): each listing's first photo, -1 where it has none."""
        found = np.full(len(self), -1, dtype=np.int64)
        found[self.photo_rows[::-1]] = np.arange(len(self.photo_rows))[::-1]
        return found


def shared_data(
    listings: Sequence[Listing], photo_rows: Sequence[int], vectors: Float32, hashes: Sequence[str]
) -> SharedData:
    """Listings and photos, with the groups predicted.

    :raise UsageError: numbers of rows, vectors and hashes that differ, or a photo of no listing.
    """
    rows = np.asarray(photo_rows, dtype=np.int64)
    if vectors.shape != (len(rows), BOTTLENECK_SIZE) or len(hashes) != len(rows):
        raise UsageError(
            f"{len(rows)} photos came with vectors {vectors.shape} and {len(hashes)} hashes; expected as many of each, "
            f"and {BOTTLENECK_SIZE} values a vector"
        )
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(listings):
        raise UsageError(f"photos of listings {rows.min()}..{rows.max()} came with {len(listings)} listings")
    return SharedData(listings, rows, vectors, hashes, same_product_groups(listings, rows, vectors, hashes))


def same_product_groups(listings: Sequence[Listing], photo_rows: Ints, vectors: Float32, hashes: Sequence[str]) -> Ints:
    """int (n,): listings that are predicted to be one product have one number; numbers are 0, 1, ... in order.

    One product: the same ``group``, the same ``gtin``, the same normalised name, the very same photo, or photos whose
    bottlenecks are nearer than ``SAME_PHOTO_COSINE`` with one type; and whatever that links.
    """
    links: list[tuple[int, int]] = []
    for keys in (
        [listing.group for listing in listings],
        [listing.gtin for listing in listings],
        [normalise(listing.name or "") for listing in listings],
    ):
        links += _equal(keys, range(len(listings)))
    links += _equal(hashes, photo_rows.tolist())
    links += _near(listings, photo_rows, vectors)
    a, b = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = csr_matrix((np.ones(len(a), dtype=bool), (a, b)), shape=(len(listings), len(listings)))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups, dtype=np.int64)


def _equal(keys: Sequence[str | None], rows: Sequence[int]) -> list[tuple[int, int]]:
    """A link from each row to the first one with the same key; empty keys link nothing."""
    first: dict[str, int] = {}
    return [(first.setdefault(key, row), row) for key, row in zip(keys, rows, strict=True) if key]


def _near(listings: Sequence[Listing], photo_rows: Ints, vectors: Float32) -> list[tuple[int, int]]:
    kinds = np.unique([normalise(listing.type or "") for listing in listings], return_inverse=True)[1]
    links: list[tuple[int, int]] = []
    for start in range(0, len(vectors), _BLOCK):
        a, b = np.nonzero(vectors[start : start + _BLOCK] @ vectors[start:].T > SAME_PHOTO_COSINE)
        one, other = photo_rows[start + a], photo_rows[start + b]
        kept = (one < other) & (kinds[one] == kinds[other])
        links += list(zip(one[kept].tolist(), other[kept].tolist(), strict=True))
    return links


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What is true of each listing, for telling which captions fit it.

    codes: int (n, len(SLOTS)), equal numbers for equal words, -1 where unknown. values: for each slot, its words by
    number. stems: csr bool (n, s), which word stems the names hold. stem_of: stem -> its column.
    """

    codes: Ints
    values: Mapping[str, Sequence[str]]
    stems: csr_matrix
    stem_of: Mapping[str, int]

    @classmethod
    def of(cls, listings: Sequence[Listing]) -> Facts:
        """Read the listings."""
        told = [listing.slots() for listing in listings]
        codes = np.full((len(listings), len(SLOTS)), -1, dtype=np.int64)
        values: dict[str, Sequence[str]] = {}
        for place, slot in enumerate(SLOTS):
            names = sorted({row[slot] for row in told if slot in row})
            number = {name: i for i, name in enumerate(names)}
            codes[:, place] = [number.get(row.get(slot, ""), -1) for row in told]
            values[slot] = names
        stem_of: dict[str, int] = {}
        rows, columns = [], []
        for row, listing in enumerate(listings):
            for word in {stem(word) for word in normalise(listing.name or "").split()}:
                rows.append(row)
                columns.append(stem_of.setdefault(word, len(stem_of)))
        shape = (len(listings), max(1, len(stem_of)))
        stems = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
        return cls(codes, values, stems, stem_of)

    def fits(self, rows: Ints, asked: Ints, wanted: csr_matrix) -> Bools:
        """bool (len(rows), m): whether each listing is what each of m captions says.

        asked: int (m, len(SLOTS)), the number wanted in a slot, -1 for any. wanted: csr (m, s), stems wanted.
        """
        fitting = np.asarray((self.stems[rows] @ wanted.T).todense()) >= np.asarray(wanted.sum(axis=1)).T
        codes = self.codes[rows]
        for place in range(len(SLOTS)):
            fitting &= (asked[None, :, place] < 0) | (codes[:, None, place] == asked[None, :, place])
        found: Bools = np.asarray(fitting, dtype=bool)
        return found
