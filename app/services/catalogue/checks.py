"""What a catalogue lacks for recognition and recommendation, and the same photo under several products."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from sqlalchemy import distinct, func, select
from sqlalchemy.orm import Session

from app.store.tables import Brand, Image, Product

MIN_ORIGINALS = 20
"""Photos a label should have before variants are made (KIEE 69(7), 2020, section on the training data)."""

IMBALANCE = 5.0
"""Most over median photos a label from which imbalance is a finding."""

SHOWN = 20
"""Examples a finding lists; counts are complete."""

_COLUMNS = {
    "name": Product.name,
    "brand": Product.brand_id,
    "category": Product.category_id,
    "type": Product.type,
    "colour": Product.colour,
    "season": Product.season,
    "price": Product.price,
    "description": Product.description,
    "gtin": Product.gtin,
    "listed_at": Product.listed_at,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to mend. examples: at most ``SHOWN`` of ``count``."""

    code: str
    count: int
    message: str
    advice: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LintReport:
    """The state of the catalogue. missing: column -> products without a value."""

    products: int
    labels: int
    photos: int
    missing: dict[str, int]
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SharedPhoto:
    """One photo content under several products. same_label: all of them are one label (harmless)."""

    content_hash: str
    skus: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def same_label(self) -> bool:
        """Whether recognition treats these products as one anyway."""
        return len(self.labels) == 1

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self) | {"same_label": self.same_label}


def lint(session: Session) -> LintReport:
    """Check what is in the database; changes nothing."""
    products = session.scalar(select(func.count()).select_from(Product)) or 0
    labels = session.scalar(select(func.count(distinct(Product.label)))) or 0
    photos = session.scalar(select(func.count()).select_from(Image)) or 0
    filled = session.execute(select(*(func.count(column) for column in _COLUMNS.values()))).one()
    missing = {name: products - count for name, count in zip(_COLUMNS, filled, strict=True)}
    findings = [
        _without_photos(session),
        _few_photos(session),
        _imbalance(session),
        _shared_photos(session),
        _brand_spellings(session),
        _unknown(session, "price", "give a price: a price filter leaves these products out"),
        _unknown(session, "type", "give a type, or train: it is then predicted from the photos"),
        _unknown(session, "colour", "give a colour, or add photos: it is then predicted from them"),
        _near_empty(session),
    ]
    return LintReport(products, labels, photos, missing, tuple(item for item in findings if item.count))


def _finding(code: str, examples: Iterable[str], message: str, advice: str) -> Finding:
    found = list(examples)
    return Finding(code, len(found), message, advice, tuple(found[:SHOWN]))


def _without_photos(session: Session) -> Finding:
    has_photo = select(Image.id).where(Image.product_id == Product.id).exists()
    skus = session.scalars(select(Product.sku).where(~has_photo).order_by(Product.sku))
    return _finding("no_photo", skus, "products without a photo cannot be recognised", "add photos to images/<sku>/")


def _few_photos(session: Session) -> Finding:
    count = func.count(distinct(Image.content_hash))
    rows = session.execute(
        select(Product.label, count)
        .join(Image, Image.product_id == Product.id)
        .group_by(Product.label)
        .having(count < MIN_ORIGINALS)
        .order_by(count, Product.label)
    )
    return _finding(
        "few_photos",
        (f"{label} ({number})" for label, number in rows),
        f"labels with fewer than {MIN_ORIGINALS} photos",
        "photograph them from other sides, at other places and in other light",
    )


def _imbalance(session: Session) -> Finding:
    """Labels with at least ``IMBALANCE`` times the median number of photos, most first."""
    count = func.count(distinct(Image.content_hash))
    rows = session.execute(
        select(Product.label, count)
        .join(Image, Image.product_id == Product.id)
        .group_by(Product.label)
        .order_by(count.desc(), Product.label)
    ).all()
    usual = median(number for _, number in rows) if rows else 0
    return _finding(
        "imbalance",
        (f"{label} ({number})" for label, number in rows if number >= IMBALANCE * usual),
        f"labels with {IMBALANCE:g} times as many photos as usual ({usual:g}) or more",
        "answers are drawn towards them: photograph the labels that have few",
    )


def _shared_photos(session: Session) -> Finding:
    shared = [photo for photo in find_duplicates(session) if not photo.same_label]
    return _finding(
        "shared_photo",
        (", ".join(photo.skus[:5]) for photo in shared),
        "photos that several labels share, so that they cannot be told apart by it",
        "keep the photo at the right product, or give products that look alike one group",
    )


def _brand_spellings(session: Session) -> Finding:
    names: dict[str, list[str]] = {}
    for name in session.scalars(select(Brand.name).order_by(Brand.name)):
        names.setdefault(_skeleton(name), []).append(name)
    twins = (" / ".join(group) for group in names.values() if len(group) > 1)
    return _finding("brand_spelling", twins, "brands that differ in spelling only", "write each brand one way")


def _skeleton(name: str) -> str:
    """Letters and digits alone, without accents: ``Reid & Taylor`` and ``Reid&Taylor`` are alike."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    kept = "".join(character for character in decomposed if character.isalnum())
    return unicodedata.normalize("NFC", kept) or name


def _unknown(session: Session, field: str, advice: str) -> Finding:
    unknown = {
        "price": Product.price.is_(None),
        "type": Product.effective_type_key.is_(None),
        "colour": Product.effective_colour_key.is_(None),
    }[field]
    skus = session.scalars(select(Product.sku).where(unknown).order_by(Product.sku))
    what = "without a price" if field == "price" else f"whose {field} is neither given nor predicted"
    return _finding(f"no_{field}", skus, f"products {what}", advice)


def _near_empty(session: Session) -> Finding:
    said = (Product.name, Product.brand_id, Product.category_id, Product.type, Product.price)
    skus = session.scalars(select(Product.sku).where(func.num_nonnulls(*said) <= 1).order_by(Product.sku))
    return _finding(
        "near_empty",
        skus,
        "products of which at most one of name, brand, category, type and price is known",
        "fill in the row, or take it out",
    )


def find_duplicates(session: Session) -> list[SharedPhoto]:
    """Photos whose very content belongs to several products, most products first, then by hash."""
    skus = func.array_agg(distinct(Product.sku))
    labels = func.array_agg(distinct(Product.label))
    rows = session.execute(
        select(Image.content_hash, skus, labels)
        .join(Product, Product.id == Image.product_id)
        .group_by(Image.content_hash)
        .having(func.count(distinct(Product.id)) > 1)
        .order_by(func.count(distinct(Product.id)).desc(), Image.content_hash)
    )
    return [SharedPhoto(content_hash, tuple(sorted(a)), tuple(sorted(b))) for content_hash, a, b in rows]
