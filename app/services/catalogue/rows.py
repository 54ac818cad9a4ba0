"""A raw record of the table -> a typed ``ProductRow``, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.services.catalogue import fields as parse

MAX_SHOWN = 200
"""Characters of a bad value that a problem repeats."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing that is wrong, and where.

    line: 1-based line of the table where the row starts; None where no row is concerned.
    field: column, ``images`` for a photo; value: what was there, cut to ``MAX_SHOWN`` characters.
    """

    line: int | None
    sku: str | None
    field: str | None
    value: str | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """The same as a plain mapping, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        place = [f"line {self.line}"] if self.line is not None else []
        place += [f"sku {self.sku}"] if self.sku else []
        what = " ".join(part for part in (self.field, repr(self.value) if self.value is not None else "") if part)
        return f"{', '.join(place) or 'catalogue'}: {what + ' ' if what else ''}{self.reason}"


@dataclass(frozen=True, slots=True)
class ProductRow:
    """One valid row. None means that the catalogue does not say."""

    line: int
    sku: str
    name: str | None = None
    brand: str | None = None
    category: str | None = None
    type: str | None = None
    colour: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    description: str | None = None
    source: str | None = None
    group: str | None = None
    gtin: str | None = None
    url: str | None = None
    available: bool = True
    mall_category: str | None = None
    listed_at: datetime | None = None
    catalogue_id: str | None = None
    restricted: bool | None = None
    season: str | None = None


COLUMNS: tuple[str, ...] = tuple(item.name for item in fields(ProductRow) if item.name != "line")
REQUIRED_COLUMNS = ("sku",)


def _text(name: str) -> Callable[[str], str]:
    return lambda value: parse.parse_text(value, parse.MAX_LENGTH[name])


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    **{name: _text(name) for name in ("name", "brand", "type", "colour", "season", "source", "gtin")},
    **{name: _text(name) for name in ("mall_category", "catalogue_id", "group")},
    "sku": parse.parse_sku,
    "description": lambda value: parse.parse_description(value, parse.MAX_LENGTH["description"]),
    "category": parse.parse_category,
    "price": parse.parse_price,
    "currency": parse.parse_currency,
    "url": parse.parse_url,
    "available": parse.parse_boolean,
    "restricted": parse.parse_boolean,
    "listed_at": parse.parse_listed_at,
}


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A row as read: ``values`` are cell texts by column, empty ones left out."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """The valid rows in file order, what is wrong with the others, and doubts about valid ones.

    refused: skus of bad rows, as far as they could be read; their photos are left alone.
    """

    rows: tuple[ProductRow, ...]
    problems: tuple[RowProblem, ...]
    warnings: tuple[RowProblem, ...]
    refused: frozenset[str]


def shown(value: str) -> str:
    """A value fit for a message: cut, and without lone surrogates or NUL, which the database stores nowhere."""
    cut = value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "…"
    return cut.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def check_rows(records: Iterable[RawRecord], currency: str) -> CheckedRows:
    """Check every record, and the rows against each other.

    currency: the installation's one currency; a row's own must equal it.
    Of two rows with one sku the first stands and the second is a problem.
    """
    rows: dict[str, ProductRow] = {}
    problems: list[RowProblem] = []
    warnings: list[RowProblem] = []
    refused: set[str] = set()
    for record in records:
        row, found, doubts = check_row(record, currency)
        warnings += doubts
        if row is not None and row.sku in rows:
            reason = f"is already on line {rows[row.sku].line}; every sku may be listed once"
            found = [RowProblem(record.line, row.sku, "sku", row.sku, reason)]
            row = None
        if row is not None:
            rows[row.sku] = row
        else:
            problems += found
            refused.update(problem.sku for problem in found if problem.sku)
    warnings += _group_doubts(rows)
    return CheckedRows(tuple(rows.values()), tuple(problems), tuple(warnings), frozenset(refused - rows.keys()))


def check_row(record: RawRecord, currency: str) -> tuple[ProductRow | None, list[RowProblem], list[RowProblem]]:
    """(row or None, what is wrong, doubts); a row with anything wrong is None."""
    values: dict[str, Any] = {}
    wrong: list[tuple[str, str, str]] = []
    for name, text in record.values.items():
        if name not in _PARSERS:
            continue
        try:
            parse.reject_control_characters(text, lines=name != "sku")
            values[name] = _PARSERS[name](text)
        except ValueError as reason:
            wrong.append((name, text, str(reason)))
    named_currency = values.pop("currency", None)
    if named_currency not in (None, currency):
        foreign = f"is not this shop's currency; it sells in {currency} only (setting PICKTURE_CURRENCY)"
        wrong.append(("currency", named_currency, foreign))
    sku = values.get("sku")
    problems = [RowProblem(record.line, sku, name, shown(text), reason) for name, text, reason in wrong]
    if "sku" not in record.values:
        problems.append(RowProblem(record.line, None, "sku", None, "is missing; every row needs its own sku"))
    doubts = []
    doubt = parse.gtin_doubt(values["gtin"]) if "gtin" in values else None
    if doubt:
        doubts.append(RowProblem(record.line, sku, "gtin", values["gtin"], doubt))
    if problems:
        return None, problems, doubts
    values["currency"] = currency if "price" in values else None
    return ProductRow(line=record.line, **values), [], doubts


def _group_doubts(rows: Mapping[str, ProductRow]) -> list[RowProblem]:
    """Groups named like the sku of a product outside them: both would be one label."""
    doubts = []
    for row in rows.values():
        other = rows.get(row.group) if row.group else None
        if other is not None and other.group != row.group:
            reason = f"is also the sku on line {other.line}, which is not in this group; they will be one label"
            doubts.append(RowProblem(row.line, row.sku, "group", row.group, reason))
    return doubts
