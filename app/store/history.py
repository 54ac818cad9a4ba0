"""Rows of queries (one a search) and picks (what the shopper said of it)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as DbSession

from app.store.tables import Image, Pick, Query

_PHOTO_LOCKS = 7_105_633
"""Seed that keeps these advisory locks apart from those on other things."""


@dataclass(frozen=True, slots=True)
class NewQuery:
    """A search to be remembered.

    candidates: [{"label", "sku", "score"}], best first, as answered.
    photo_hash: set only where the shopper consented and the photo lies in the media store.
    """

    id: UUID
    session_id: int | None
    model_version: str
    verdict: str
    calibrated: bool
    candidates: Sequence[Mapping[str, Any]]
    category: str | None
    photo_hash: str | None


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


def delete_query(session: DbSession, query_id: UUID) -> None:
    """Delete a query; its pick goes with it (ON DELETE CASCADE)."""
    session.execute(delete(Query).where(Query.id == query_id))


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
