"""The form of a product: its fields, and the way from them to the catalogue's columns and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from flask import request

from app.errors import FieldProblem
from app.services.catalogue.rows import COLUMNS, RawRecord, check_row

TEXTS: Final = tuple(name for name in COLUMNS if name not in ("sku", "currency", "available", "restricted"))
"""Columns with a field for text. The currency is the installation's."""

EMPTY: Final[dict[str, str]] = {"available": "true"}
"""The form of a new product."""


def form_values() -> dict[str, str]:
    """The fields as they came; a box that was not ticked sends nothing and is "false"."""
    values = {name: request.form.get(name, "") for name in (*TEXTS, "restricted")}
    values["available"] = "true" if request.form.get("available") == "true" else "false"
    return values


def asked_columns(values: Mapping[str, str]) -> bytes:
    """The JSON object that ``ProductEditor.put`` takes; empty fields are unknown."""
    return json.dumps({name: value or None for name, value in values.items()}).encode()


def values_of(columns: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a product as the catalogue has it."""
    return {name: _text(columns.get(name)) for name in (*TEXTS, "available", "restricted")}


def doubts_about(columns: Mapping[str, Any], currency: str) -> tuple[FieldProblem, ...]:
    """What the catalogue has taken and looks wrong all the same."""
    values = {name: _text(value) for name, value in columns.items() if value is not None}
    doubts = check_row(RawRecord(0, values), currency)[2]
    return tuple(FieldProblem(doubt.field or "", doubt.reason, doubt.value) for doubt in doubts)


def by_field(problems: Iterable[FieldProblem]) -> dict[str, list[str]]:
    """Reasons by the field they belong to; "" for the form as a whole."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        found.setdefault(problem.field, []).append(problem.reason)
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
