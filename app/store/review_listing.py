"""Review items with the numbers by which they are flagged, counted when they are asked for.

What is doubtful in a pick by itself is stored with it (``ReviewItem.findings``). What is doubtful in a crowd of picks
changes with every pick, so it is counted here and never stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, any_, exists, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.orm import aliased

from app.store.review import ReviewState
from app.store.review_tables import ReviewedPhoto, ReviewItem
from app.store.tables import Image, Query

NEIGHBOURHOOD = timedelta(days=1)
"""Items of one address this near in time count as one crowd."""

LEAST_OF_A_LABEL = 3
"""Items of one installation and label below which its share says nothing."""

LEAST_DOUBTFUL = 3
"""Doubtful items of an installation below which nothing is said of the others."""


@dataclass(frozen=True, slots=True)
class CrowdLimits:
    """label_share: of a label's items; above it, one installation is flagged. installations: at one address."""

    label_share: float
    installations: int


@dataclass(frozen=True, slots=True)
class ReviewFilters:
    """Which items; None does not filter. flag: a code. is_flagged: with any flag, or without one."""

    state: ReviewState | None = None
    flag: str | None = None
    is_flagged: bool | None = None


@dataclass(frozen=True, slots=True)
class ReviewPosition:
    """Where a page of items ended, newest first."""

    created_at: datetime
    query_id: UUID


@dataclass(frozen=True, slots=True)
class Crowd:
    """What the other items say of one; every number counts the item itself.

    of_label: items of its label that are not discarded; of_label_here: those of them from its installation.
    of_installation: all items of its installation; doubtful: those of them that were discarded, given another label
        than the picked one, or are undecided and have findings.
    installations: installations at its address within a day. same_photo: items of other labels with its photo.
    """

    of_label: int
    of_label_here: int
    of_installation: int
    doubtful: int
    installations: int
    same_photo: int


@dataclass(frozen=True, slots=True, eq=False)
class ListedItem:
    """An item with its query, the numbers and the codes of its flags. in_training: whether training takes its photo."""

    item: ReviewItem
    query: Query
    crowd: Crowd
    flags: tuple[str, ...]
    in_training: bool


def list_items(
    session: DbSession, filters: ReviewFilters, limits: CrowdLimits, limit: int, after: ReviewPosition | None
) -> tuple[list[ListedItem], ReviewPosition | None]:
    """A page of items, newest first, and where the next begins (None: there is no more)."""
    flags = _flags(limits)
    wanted = _select(flags).order_by(ReviewItem.created_at.desc(), ReviewItem.query_id.desc()).limit(limit + 1)
    if filters.state is not None:
        wanted = wanted.where(ReviewItem.state == filters.state)
    if filters.flag is not None:
        wanted = wanted.where(flags[filters.flag])
    if filters.is_flagged is not None:
        wanted = wanted.where(or_(*flags.values()) if filters.is_flagged else ~or_(*flags.values()))
    if after is not None:
        wanted = wanted.where(tuple_(ReviewItem.created_at, ReviewItem.query_id) < (after.created_at, after.query_id))
    rows = session.execute(wanted).all()
    items = [_listed(row, flags) for row in rows[:limit]]
    last = items[-1].item if len(rows) > limit else None
    return items, None if last is None else ReviewPosition(last.created_at, last.query_id)


def find_listed(session: DbSession, query_id: UUID, limits: CrowdLimits) -> ListedItem | None:
    """One item, or None where there is none."""
    flags = _flags(limits)
    wanted = _select(flags).where(ReviewItem.query_id == query_id).execution_options(populate_existing=True)
    row = session.execute(wanted).one_or_none()
    return None if row is None else _listed(row, flags)


def count_undecided(session: DbSession) -> int:
    """How many items wait."""
    return session.scalar(select(func.count()).select_from(ReviewItem).where(ReviewItem.state == "undecided")) or 0


def _select(flags: dict[str, ColumnElement[bool]]) -> Select[*tuple[Any, ...]]:
    in_training = exists().where(ReviewedPhoto.query_id == ReviewItem.query_id)
    numbers = [number.label(name) for name, number in _numbers().items()]
    columns = [flag.label(f"flag_{code}") for code, flag in flags.items()]
    wanted: Select[*tuple[Any, ...]] = select(ReviewItem, Query, in_training.label("in_training"), *numbers, *columns)
    return wanted.join(Query, Query.id == ReviewItem.query_id)


def _listed(row: Row[Any], flags: dict[str, ColumnElement[bool]]) -> ListedItem:
    values = row._mapping
    crowd = Crowd(**{name: values[name] for name in _numbers()})
    found = tuple(code for code in flags if values[f"flag_{code}"])
    return ListedItem(values["ReviewItem"], values["Query"], crowd, found, values["in_training"])


def _numbers() -> dict[str, ColumnElement[int]]:
    """The fields of ``Crowd``, each a subquery over the items around one; a NULL equals nothing, and counts 0."""
    other = aliased(ReviewItem)
    is_near = other.created_at.between(ReviewItem.created_at - NEIGHBOURHOOD, ReviewItem.created_at + NEIGHBOURHOOD)
    of_label = (other.label == ReviewItem.label) & (other.state != "discarded")
    is_here = other.installation == ReviewItem.installation
    is_doubtful = or_(
        (other.state == "undecided") & (func.cardinality(other.findings) > 0),
        (other.state == "relabelled") & other.label.is_not(None),
        other.state == "discarded",
    )
    same_photo = (other.photo_hash == ReviewItem.photo_hash) & (other.label != ReviewItem.label)

    def count(what: ColumnElement[int], *conditions: ColumnElement[bool]) -> ColumnElement[int]:
        return select(what).select_from(other).where(*conditions).correlate(ReviewItem).scalar_subquery()

    return {
        "of_label": count(func.count(), of_label),
        "of_label_here": count(func.count(), of_label, is_here),
        "of_installation": count(func.count(), is_here),
        "doubtful": count(func.count(), is_here, is_doubtful),
        "installations": count(func.count(other.installation.distinct()), other.address == ReviewItem.address, is_near),
        "same_photo": count(func.count(), same_photo),
    }


def _flags(limits: CrowdLimits) -> dict[str, ColumnElement[bool]]:
    """Code -> whether an item has the flag, in the order they are told."""
    n = _numbers()
    return {
        "not_a_candidate": literal("not_a_candidate") == any_(ReviewItem.findings),
        "far_from_references": literal("far_from_references") == any_(ReviewItem.findings),
        "model_says_unknown": literal("model_says_unknown") == any_(ReviewItem.findings),
        "installation_share": (n["of_label_here"] >= LEAST_OF_A_LABEL)
        & (n["of_label_here"] > limits.label_share * n["of_label"]),
        "installation_doubtful": (n["doubtful"] >= LEAST_DOUBTFUL) & (2 * n["doubtful"] > n["of_installation"]),
        "crowded_address": n["installations"] > limits.installations,
        "same_photo_other_label": n["same_photo"] > 0,
        "catalogue_photo": exists().where(Image.content_hash == ReviewItem.photo_hash),
        # Of the search, not of the pick: it makes nobody doubtful.
        "cropped": Query.cropped.is_(True),
    }
