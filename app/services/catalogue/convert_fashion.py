"""Fashion Product Images (Kaggle, P. Aggarwal; MIT) as a catalogue folder.

Laid out as the archive is: ``styles.csv`` (id, gender, masterCategory, subCategory, articleType, baseColour,
season, year, usage, productDisplayName) and ``images/<id>.jpg``.

    sku        id
    name       productDisplayName
    category   masterCategory > subCategory > articleType
    type       articleType
    colour     baseColour, nothing for NA
    brand      from the beginning of the name, see ``BrandFinder``
    listed_at  the first day of the season: Spring YEAR-03-01, Summer 06-01, Fall 09-01, Winter 12-01; nothing
               where year or season is missing
    images     images/<id>.jpg where there is one

All rows become products, also those without a photo: their names, categories and colours are data too.
``only_with_images`` leaves them out.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from app.services.catalogue.errors import SourceInvalid
from app.services.catalogue.fields import CATEGORY_SEPARATOR
from app.services.catalogue.writing import Conversion, SourcePhoto, write_catalogue
from app.store.text import clean, key

SOURCE_NAME = "Fashion Product Images"
COLUMNS = ("sku", "name", "brand", "category", "type", "colour", "source", "listed_at")
STYLE_COLUMNS = (
    "id",
    "gender",
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "season",
    "year",
    "usage",
    "productDisplayName",
)
SEASON_MONTHS: Mapping[str, str] = {
    "spring": "03",
    "summer": "06",
    "fall": "09",
    "autumn": "09",
    "winter": "12",
}

_AUDIENCE = re.compile(
    r"(?<=\s)(?:men|man|women|woman|boy|girl|kid|unisex|infant|adult|teen)(?:['’]?s['’]?)?(?=\s|$)",
    re.IGNORECASE,
)
_NOT_SAID = frozenset(("", "na", "n/a"))


class BrandFinder:
    """The brand at the beginning of a product's name.

    1. What stands before the first word for an audience (Men, Women, Boys, Girls, Kids, Unisex, ...) is a
       candidate, without colour words at its end: "Nike Blue Men ..." gives "Nike".
    2. A candidate that ``min_count`` names share is a brand; its most frequent spelling stands for all.
    3. A name begins with the longest brand that fits its first words, so names without an audience word
       ("Nike Sahara Team India Jersey") find theirs too.
    4. A rare candidate of at most two words without digits is taken as it is. Everything else stays unknown.
    """

    def __init__(self, names: Iterable[str], colours: Iterable[str], min_count: int = 3) -> None:
        self._colour_words = {key(word) for colour in colours for word in colour.split()} | {"&", "and"}
        spellings: dict[str, Counter[str]] = {}
        for name in names:
            candidate = self._candidate(name)
            if candidate:
                spellings.setdefault(key(candidate), Counter())[candidate] += 1
        self._brands = {
            candidate: max(counts, key=lambda spelling: (counts[spelling], spelling))
            for candidate, counts in spellings.items()
            if counts.total() >= min_count
        }
        self._longest = max((len(brand.split()) for brand in self._brands), default=0)

    def find(self, name: str) -> str | None:
        """The brand, or None where it is not certain enough."""
        words = clean(name).split()
        for count in range(min(self._longest, len(words)), 0, -1):
            brand = self._brands.get(key(" ".join(words[:count])))
            if brand is not None:
                return brand
        candidate = self._candidate(name)
        short = candidate is not None and len(candidate.split()) <= 2
        return candidate if short and candidate and not any(c.isdigit() for c in candidate) else None

    def _candidate(self, name: str) -> str | None:
        name = clean(name)
        found = _AUDIENCE.search(name)
        if found is None:
            return None
        words = name[: found.start()].split()
        while words and key(words[-1]) in self._colour_words:
            words.pop()
        return " ".join(words) or None


def convert_fashion(source: Path, out: Path, *, only_with_images: bool = False, progress: bool = False) -> Conversion:
    """Write the styles as products.

    :raise SourceInvalid: ``styles.csv`` is missing or not as expected.
    :raise CatalogueError: ``out`` is not empty.
    """
    styles = read_styles(source)
    images = {path.stem: path for path in (source / "images").glob("*.jpg")}
    finder = BrandFinder((style["productDisplayName"] for style in styles), (style["baseColour"] for style in styles))
    if only_with_images:
        styles = [style for style in styles if style["id"] in images]
    photos = [
        SourcePhoto(style["id"], images[style["id"]], images[style["id"]].name)
        for style in styles
        if style["id"] in images
    ]
    rows = (_row(style, finder) for style in styles)
    return write_catalogue(out, COLUMNS, rows, photos, progress=progress)


def read_styles(source: Path) -> list[dict[str, str]]:
    """The rows of ``styles.csv``. Some names of the official file hold bare commas: they are joined again.

    :raise SourceInvalid: missing, another header, a short row, or an id that is not a number.
    """
    path = source / "styles.csv"
    if not path.is_file():
        raise SourceInvalid(f"{path} is missing; SRC must be the folder that holds styles.csv and images/.")
    styles: list[dict[str, str]] = []
    last = len(STYLE_COLUMNS) - 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if tuple(header[: last + 1]) != STYLE_COLUMNS:
            raise SourceInvalid(f"{path} begins with {header}; expected {', '.join(STYLE_COLUMNS)}.")
        for cells in rows:
            if not cells:
                continue
            if len(cells) <= last or not cells[0].isdecimal():
                raise SourceInvalid(f"{path}, line {rows.line_num}: expected {last + 1} cells, the first a number.")
            joined: Sequence[str] = (*cells[:last], ",".join(cells[last:]).rstrip(","))
            styles.append(dict(zip(STYLE_COLUMNS, joined, strict=True)))
    return styles


def _row(style: Mapping[str, str], finder: BrandFinder) -> dict[str, str]:
    levels = (style["masterCategory"], style["subCategory"], style["articleType"])
    return {
        "sku": style["id"],
        "name": clean(style["productDisplayName"]),
        "brand": finder.find(style["productDisplayName"]) or "",
        "category": CATEGORY_SEPARATOR.join(clean(level) for level in levels if clean(level)),
        "type": _said(style["articleType"]),
        "colour": _said(style["baseColour"]),
        "source": SOURCE_NAME,
        "listed_at": _listed_at(style["year"], style["season"]),
    }


def _said(value: str) -> str:
    return "" if key(value) in _NOT_SAID else clean(value)


def _listed_at(year: str, season: str) -> str:
    month = SEASON_MONTHS.get(key(season))
    year = year.strip().removesuffix(".0")
    return f"{year}-{month}-01" if month and re.fullmatch(r"\d{4}", year) else ""
