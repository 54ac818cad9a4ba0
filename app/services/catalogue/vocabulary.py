"""Brands and the category tree: created where a row names a new one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.services.catalogue.fields import CATEGORY_SEPARATOR
from app.store.tables import Brand, Category
from app.store.text import key

BATCH = 5_000
"""Rows a statement, so that none grows without bound."""


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """``items`` in runs of at most ``BATCH``."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def among(column: Any, values: Iterable[str]) -> ColumnElement[bool]:
    """``column = ANY(values)``: one parameter, however many values."""
    found: ColumnElement[bool] = column == any_(literal(list(values), ARRAY(Text)))
    return found


def category_key(path: str | None) -> str | None:
    """``Category.path_key`` of a path."""
    return None if path is None else CATEGORY_SEPARATOR.join(key(part) for part in path.split(CATEGORY_SEPARATOR))


def ensure_brands(session: Session, brands: Iterable[str | None]) -> dict[str, int]:
    """Key -> id of every brand named; the first spelling of a new brand is kept."""
    names: dict[str, str] = {}
    for name in brands:
        if name is not None:
            names.setdefault(key(name), name)
    for part in chunks(sorted(names)):
        rows = [{"name": names[name_key], "name_key": name_key} for name_key in part]
        session.execute(insert(Brand).on_conflict_do_nothing(index_elements=[Brand.name_key]), rows)
    found: dict[str, int] = {}
    for part in chunks(sorted(names)):
        pairs = session.execute(select(Brand.name_key, Brand.id).where(among(Brand.name_key, part)))
        found.update((name_key, number) for name_key, number in pairs)
    return found


def ensure_categories(session: Session, paths: Iterable[str | None]) -> dict[str, int]:
    """Path key -> id of every category named and its ancestors, level by level."""
    levels: dict[int, dict[str, str]] = {}
    for path in sorted({path for path in paths if path is not None}):
        parts = path.split(CATEGORY_SEPARATOR)
        for depth in range(1, len(parts) + 1):
            above = CATEGORY_SEPARATOR.join(parts[:depth])
            levels.setdefault(depth, {}).setdefault(category_key(above) or "", above)
    found: dict[str, int] = {}
    for depth in sorted(levels):
        level = levels[depth]
        for part in chunks(sorted(level)):
            rows = [_category_row(path_key, level[path_key], depth, found) for path_key in part]
            session.execute(insert(Category).on_conflict_do_nothing(index_elements=[Category.path_key]), rows)
        for part in chunks(sorted(level)):
            pairs = session.execute(select(Category.path_key, Category.id).where(among(Category.path_key, part)))
            found.update((path_key, number) for path_key, number in pairs)
    return found


def _category_row(path_key: str, path: str, depth: int, found: Mapping[str, int]) -> dict[str, Any]:
    parent_key = path_key.rpartition(CATEGORY_SEPARATOR)[0]
    name = path.rpartition(CATEGORY_SEPARATOR)[2]
    parent = found[parent_key] if parent_key else None
    return {"parent_id": parent, "name": name, "path": path, "path_key": path_key, "depth": depth}
