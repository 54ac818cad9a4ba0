"""Rows of queries (one a search) and picks (what the shopper said of it)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.orm import Session as DbSession

from app.store.review_tables import ReviewedPhoto, ReviewItem
from app.store.tables import Image, Pick, Query

_PHOTO_LOCKS = 7_105_633
"""Seed that keeps these advisory locks apart from those on other things."""


@dataclass(frozen=True, slots=True)
class NewQuery:
    """A search to be remembered.

    candidates: [{"label", "sku", "score", "votes"}], best first, as answered; see ``app.store.tables.Query``.
    verdict: None where words were searched by. photo_hash: set only where the shopper consented and the photo lies in
        the media store. cropped: whether a part of it was searched with.
    """

    id: UUID
    session_id: int | None
    model_version: str
    verdict: str | None
    calibrated: bool
    candidates: Sequence[Mapping[str, Any]]
    category: str | None
    photo_hash: str | None
    cropped: bool = False


def add_query(session: DbSession, query: NewQuery) -> None:
    """Insert one query."""
    session.add(
        Query(
            id=query.id,
            session_id=query.session_id,
            model_version=query.model_version,
            verdict=query.verdict,
            calibrated=query.calibrated,
            candidates=[dict(candidate) for candidate in query.candidates],
            category=query.category,
            photo_hash=query.photo_hash,
            cropped=query.cropped,
        )
    )


def find_query(session: DbSession, query_id: UUID, *, lock: bool = False) -> Query | None:
    """The query, locked against a concurrent change where asked."""
    return session.get(Query, query_id, with_for_update=lock)


def save_pick(session: DbSession, query_id: UUID, outcome: str, sku: str | None) -> Pick:
    """Insert or replace what was said of a query; repeating the same leaves the row as it is."""
    values = {"outcome": outcome, "sku": sku}
    statement = insert(Pick).values(query_id=query_id, **values)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Pick.query_id],
            set_=values,
            where=or_(Pick.outcome != statement.excluded.outcome, Pick.sku.is_distinct_from(statement.excluded.sku)),
        )
    )
    return session.get_one(Pick, query_id, populate_existing=True)


def delete_pick(session: DbSession, query_id: UUID) -> bool:
    """Delete what was said of a query; False where nothing was."""
    gone = session.scalar(delete(Pick).where(Pick.query_id == query_id).returning(Pick.query_id))
    return gone is not None


def delete_queries(session: DbSession, query_ids: Sequence[UUID]) -> None:
    """Delete queries; picks, review items, reviewed photos and their vectors go with them (ON DELETE CASCADE)."""
    session.execute(delete(Query).where(Query.id.in_(list(query_ids))))


def count_traces(session: DbSession, query_ids: Sequence[UUID]) -> tuple[int, int, int]:
    """How many picks, review items and reviewed photos came of these queries."""
    ids = list(query_ids)

    def count(column: InstrumentedAttribute[UUID]) -> int:
        return session.scalar(select(func.count()).where(column.in_(ids))) or 0

    return count(Pick.query_id), count(ReviewItem.query_id), count(ReviewedPhoto.query_id)


def count_due(session: DbSession, plain_before: datetime, reviewed_before: datetime) -> int:
    """How many queries are older than they may get, see ``take_due``."""
    return session.scalar(select(func.count()).where(_is_due(plain_before, reviewed_before))) or 0


def take_due(
    session: DbSession, plain_before: datetime, reviewed_before: datetime, limit: int, but: Collection[UUID] = ()
) -> list[Query]:
    """Lock queries older than they may get, the oldest first; those that others work on are left to them.

    plain_before: for queries whose photo training does not take. reviewed_before: for the others, not later.
    but: queries to leave out.
    """
    return list(
        session.scalars(
            select(Query)
            .where(_is_due(plain_before, reviewed_before), Query.id.not_in(list(but)))
            .order_by(Query.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )


def _is_due(plain_before: datetime, reviewed_before: datetime) -> ColumnElement[bool]:
    is_reviewed = exists().where(ReviewedPhoto.query_id == Query.id)
    return and_(Query.created_at < plain_before, or_(~is_reviewed, Query.created_at < reviewed_before))


def lock_photo(session: DbSession, content_hash: str) -> None:
    """Keep others from storing or deleting this kept photo until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(content_hash, _PHOTO_LOCKS))))


def photo_in_use(session: DbSession, content_hash: str) -> bool:
    """Whether a query or a catalogue image refers to this content."""
    return bool(
        session.scalar(
            select(
                or_(
                    exists().where(Query.photo_hash == content_hash),
                    exists().where(Image.content_hash == content_hash),
                )
            )
        )
    )
