"""The table of a catalogue folder -> raw records with their line numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.services.catalogue.errors import CatalogueError
from app.services.catalogue.rows import COLUMNS, REQUIRED_COLUMNS, RawRecord, RowProblem, shown
from app.store.text import clean

TABLE_NAMES = ("products.csv", "products.jsonl", "products.json")
MAX_TABLE_BYTES = 2 * 2**30
MAX_CELL = 1_000_000
"""Characters of one CSV cell before the file counts as broken (most likely an unclosed quote)."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as read; nothing in it has been checked but its form."""

    path: Path
    records: tuple[RawRecord, ...]
    problems: tuple[RowProblem, ...]
    warnings: tuple[RowProblem, ...]


def find_table(directory: Path) -> Path:
    """The one table of a catalogue folder.

    :raise CatalogueError: none, or several.
    """
    if not directory.is_dir():
        raise CatalogueError(f"{directory} is not a folder; expected one with products.csv and images/.")
    found = [directory / name for name in TABLE_NAMES if (directory / name).is_file()]
    if not found:
        raise CatalogueError(f"{directory} holds none of {', '.join(TABLE_NAMES)}; put the product table there.")
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise CatalogueError(f"{directory} holds {names}; keep one, so that it is clear which counts.")
    return found[0]


def read_table(directory: Path) -> Table:
    """Read ``products.csv`` (UTF-8 with or without BOM, commas) or ``products.jsonl``/``.json`` (lines).

    JSON: one object a line with the columns as keys.

    Rows of a wrong form are problems; cells are stripped, empty ones (and JSON null) left out.

    :raise CatalogueError: no table, not UTF-8, no usable header, an unclosed quote.
    """
    path = find_table(directory)
    text = _decode(path)
    return _read_csv(path, text) if path.suffix == ".csv" else _read_json_lines(path, text)


def _decode(path: Path) -> str:
    size_bytes = path.stat().st_size
    if size_bytes > MAX_TABLE_BYTES:
        raise CatalogueError(f"{path.name} has {size_bytes:,} bytes; at most {MAX_TABLE_BYTES:,} are read. Split it.")
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CatalogueError(f"{path.name} is UTF-16; save it as UTF-8 (in a spreadsheet: “CSV UTF-8”).")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CatalogueError(
            f"{path.name}, line {line}: byte 0x{data[error.start]:02X} is not UTF-8; save the file as UTF-8 "
            "(in a spreadsheet: “CSV UTF-8”)."
        ) from None


def _check_header(path: Path, names: list[str]) -> list[RowProblem]:
    """Warnings about unknown columns.

    :raise CatalogueError: a column twice, unnamed, or required and missing.
    """
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise CatalogueError(f"{path.name}: the header names {', '.join(twice)} twice; keep one of each.")
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    if missing:
        found = shown(", ".join(names)) or "nothing"
        raise CatalogueError(
            f"{path.name}: the header lacks {', '.join(missing)} (it has: {found}); "
            f"the first line must name the columns: {', '.join(COLUMNS)}."
        )
    if "" in names:
        raise CatalogueError(f"{path.name}: column {names.index('') + 1} of the header has no name; name or remove it.")
    return [_unknown_column(name, 1) for name in names if name not in COLUMNS]


def _unknown_column(name: str, line: int) -> RowProblem:
    close = "did you mean colour?" if name == "color" else "it is ignored"
    return RowProblem(line, None, shown(name), None, f"is not a known column; {close}")


def _read_csv(path: Path, text: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    limit = csv.field_size_limit(MAX_CELL)
    try:
        return _read_rows(path, reader)
    except csv.Error as error:
        raise CatalogueError(
            f"{path.name}, line {reader.line_num}: {error}. Check the quotes: a quote inside a quoted cell is doubled."
        ) from None
    finally:
        csv.field_size_limit(limit)


def _read_rows(path: Path, reader: Any) -> Table:
    header: list[str] = next((cells for cells in reader if any(cell.strip() for cell in cells)), [])
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise CatalogueError(f"{path.name}: the header {shown(header[0])!r} is not separated by commas; use commas.")
    names = [clean(cell).casefold() for cell in header]
    warnings = _check_header(path, names)
    records: list[RawRecord] = []
    problems: list[RowProblem] = []
    start = reader.line_num + 1
    for cells in reader:
        line, start = start, reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            reason = f"has {len(cells)} cells, the header {len(names)}; quote cells that hold a comma"
            problems.append(RowProblem(line, None, None, shown(",".join(cells)), reason))
            continue
        values = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}
        records.append(RawRecord(line, values))
    return Table(path, tuple(records), tuple(problems), tuple(warnings))


def _read_json_lines(path: Path, text: str) -> Table:
    records: list[RawRecord] = []
    problems: list[RowProblem] = []
    warnings: dict[str, RowProblem] = {}
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            values = _json_object(content)
        except (ValueError, RecursionError) as error:
            problems.append(RowProblem(line, None, None, shown(content.strip()), f"is not one JSON object: {error}"))
            continue
        sku = values.get("sku")
        cells, wrong = _json_cells(values, line, sku if isinstance(sku, str) else None)
        problems += wrong
        for name in cells.keys() - set(COLUMNS) - warnings.keys():
            warnings[name] = _unknown_column(name, line)
        if not wrong:
            records.append(RawRecord(line, cells))
    if not records and not problems:
        raise CatalogueError(f"{path.name} holds no rows; expected one JSON object a line.")
    return Table(path, tuple(records), tuple(problems), tuple(warnings.values()))


def read_json_record(content: str) -> tuple[RawRecord, tuple[RowProblem, ...]]:
    """One row given as a JSON object, with what is wrong with its form; an unknown column is wrong here.

    :raise CatalogueError: it is not one JSON object.
    """
    try:
        values = _json_object(content)
    except (ValueError, RecursionError) as error:
        raise CatalogueError(f"the product is not one JSON object: {error}") from None
    cells, wrong = _json_cells(values, 1, None)
    unknown = sorted(cells.keys() - set(COLUMNS))
    return RawRecord(1, cells), (*wrong, *(_unknown_column(name, 1) for name in unknown))


def _json_object(content: str) -> Mapping[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not a number")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice in it")
        return found

    value = json.loads(content, parse_float=Decimal, parse_constant=refuse, object_pairs_hook=unique)
    if not isinstance(value, dict):
        raise ValueError("expected {…} with the columns as keys")
    return value


def _json_cells(values: Mapping[str, Any], line: int, sku: str | None) -> tuple[dict[str, str], list[RowProblem]]:
    """Cell texts of an object; numbers and booleans as the CSV would write them."""
    cells: dict[str, str] = {}
    wrong: list[RowProblem] = []
    for key, value in values.items():
        name = clean(key).casefold()
        if value is None:
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, Decimal):
            # Written out, unless the exponent alone would make megabytes of it.
            text = f"{value:f}" if abs(value.adjusted()) < 40 else str(value)
        elif isinstance(value, int | str):
            text = str(value).strip()
        else:
            reason = "is a list or an object; expected text, a number, true, false or null"
            wrong.append(RowProblem(line, sku, shown(name), shown(json.dumps(value, default=str)), reason))
            continue
        if text:
            cells[name] = text
    return cells, wrong
