"""What text training works on: the catalogue's rows with their names, what is known of them, and their bottlenecks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError
from models.multimodal.features import EncodedNames, NameFeatures
from models.multimodal.names import CategoryWords
from models.multimodal.seasons import season_of
from models.values import BOTTLENECK_SIZE, Float32

UNKNOWN: Final = -1
"""The code of a value that the row does not give, or that nobody taught."""

Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class TextRows:
    """n rows of a catalogue; None where a row does not say.

    labels: what keeps rows together in a split (variants of one product). months: "2012-06", when it was listed.
    image_rows: intp (n,), which row of ``images`` shows it, ``UNKNOWN`` for none. images: float32 (m, 2048), of unit
    length. given_seasons: as the catalogue calls them.
    """

    skus: tuple[str, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    brands: tuple[str | None, ...]
    types: tuple[str | None, ...]
    categories: tuple[str | None, ...]
    colours: tuple[str | None, ...]
    sources: tuple[str | None, ...]
    mall_categories: tuple[str | None, ...]
    months: tuple[str | None, ...]
    given_seasons: tuple[str | None, ...]
    image_rows: Codes
    images: Float32

    def __post_init__(self) -> None:
        n = len(self.skus)
        told = {f.name: len(getattr(self, f.name)) for f in fields(self) if f.name != "images"}
        if any(count != n for count in told.values()) or self.images.shape[1:] != (BOTTLENECK_SIZE,):
            raise UsageError(f"text rows disagree: {told}, images {self.images.shape}")

    def __len__(self) -> int:
        return len(self.skus)

    def subset(self, chosen: NDArray[np.intp]) -> TextRows:
        """The chosen rows, in that order; the images stay."""
        picked: dict[str, Any] = {
            f.name: tuple(getattr(self, f.name)[i] for i in chosen)
            for f in fields(self)
            if f.name not in ("image_rows", "images")
        }
        return replace(self, **picked, image_rows=self.image_rows[chosen])

    @property
    def has_image(self) -> NDArray[np.bool_]:
        """bool (n,)."""
        return np.asarray(self.image_rows != UNKNOWN)

    def vectors(self, chosen: NDArray[np.intp]) -> Float32:
        """Bottlenecks of the chosen rows, zero where there is none: float32 (m, 2048)."""
        rows = self.image_rows[chosen]
        found = np.zeros((len(rows), BOTTLENECK_SIZE), np.float32)
        shown = rows != UNKNOWN
        found[shown] = self.images[rows[shown]]
        return found

    def seasons(self) -> tuple[str | None, ...]:
        """Each row's, as the catalogue calls it; by the month it was listed in where no row gives one. A shop's own
        words and ours for the months are never mixed.
        """
        if any(season is not None for season in self.given_seasons):
            return self.given_seasons
        return tuple(None if month is None else season_of(int(month[5:7])) for month in self.months)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What is asked of the rows, as numbers. names: the answers of each head, sorted. codes: intp (n,) a head."""

    names: Mapping[str, tuple[str, ...]]
    codes: Mapping[str, Codes]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Rows as the network reads them. masked: the names without category words."""

    names: EncodedNames
    masked: EncodedNames
    rows: TextRows

    def __len__(self) -> int:
        return len(self.rows)


def encode_rows(rows: TextRows, features: NameFeatures, words: CategoryWords) -> Encoded:
    """The rows as the network reads them."""
    masked = [words.mask(name) for name in rows.names]
    return Encoded(features.encode(rows.names), features.encode(masked), rows)


def known_answers(values: Sequence[str | None], least: int) -> tuple[str, ...]:
    """The values that at least ``least`` rows give, sorted."""
    given = np.array([value for value in values if value is not None], dtype=np.str_)
    names, counts = np.unique(given, return_counts=True)
    return tuple(str(name) for name, count in zip(names, counts, strict=True) if count >= least)


def codes_of(values: Sequence[str | None], names: Sequence[str]) -> Codes:
    """Each value's place among ``names``, ``UNKNOWN`` where it has none."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([UNKNOWN if v is None else places.get(v, UNKNOWN) for v in values], dtype=np.intp)


def category_words(rows: TextRows) -> CategoryWords:
    """The words of all types and categories of the rows."""
    told: Iterable[str | None] = {*rows.types, *rows.categories}
    return CategoryWords(sorted(text for text in told if text is not None))
