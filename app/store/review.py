"""Rows of review items and reviewed photos.

Whoever writes an item holds its query's row (``history.find_query(lock=True)``): picks, decisions and deletions of one
query come one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as DbSession

from app.store.outbox import record_reviewed, share_outbox
from app.store.review_tables import ReviewedPhoto, ReviewItem
from app.store.tables import Installation, Product, Session

ReviewState = Literal["undecided", "accepted", "relabelled", "discarded"]
STATES: tuple[ReviewState, ...] = get_args(ReviewState)

_ADDRESS_LOCKS = 7_105_635
_LABEL_LOCKS = 7_105_636
"""Seeds that keep these advisory locks apart from those on other things."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a pick came from, as pseudonyms; None for an administrator's, or where the session is long gone."""

    installation: str | None
    address: str | None


def find_item(session: DbSession, query_id: UUID) -> ReviewItem | None:
    """The item of a query as the database has it now, or None where its pick made none."""
    return session.get(ReviewItem, query_id, populate_existing=True)


def session_of(session: DbSession, session_id: int | None) -> Session | None:
    """The session that searched; None where it was an administrator, or has been deleted."""
    return None if session_id is None else session.get(Session, session_id)


def lock_address(session: DbSession, address: str) -> None:
    """Have picks of one address counted one after the other, until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(address, _ADDRESS_LOCKS))))


def items_since(session: DbSession, since: datetime, origin: Origin) -> tuple[int, int]:
    """How many items came from an installation, and from its address, since then; 0 for what is not known."""

    def count(column: Any, value: str | None) -> int:
        if value is None:
            return 0
        wanted = select(func.count()).select_from(ReviewItem).where(column == value, ReviewItem.created_at > since)
        return session.scalar(wanted) or 0

    return count(ReviewItem.installation, origin.installation), count(ReviewItem.address, origin.address)


def lock_label(session: DbSession, label: str, installation: str) -> None:
    """Have acceptances of one installation's photos for a label counted one after the other."""
    key = func.hashtextextended(f"{installation} {label}", _LABEL_LOCKS)
    session.execute(select(func.pg_advisory_xact_lock(key)))


def photos_of(session: DbSession, label: str, installation: str, but: UUID) -> int:
    """How many photos of an installation are accepted for a label, that of the query ``but`` left out."""
    return (
        session.scalar(
            select(func.count())
            .select_from(ReviewedPhoto)
            .join(Product, Product.id == ReviewedPhoto.product_id)
            .where(ReviewedPhoto.installation == installation, Product.label == label, ReviewedPhoto.query_id != but)
        )
        or 0
    )


def product_to_keep(session: DbSession, sku: str) -> Product | None:
    """The product ``sku``, kept from being deleted until the transaction ends; None where there is none.

    For those who accept a photo of it: they have their share of the outbox first, as everyone has before rows.
    """
    share_outbox(session)
    return session.scalars(
        select(Product).where(Product.sku == sku).with_for_update(read=True, key_share=True)
    ).one_or_none()


def accept_photo(session: DbSession, item: ReviewItem, product_id: int) -> None:
    """Have training take the item's photo as one of the product; a photo accepted for another one changes over."""
    present = session.scalars(select(ReviewedPhoto).where(ReviewedPhoto.query_id == item.query_id)).one_or_none()
    if present is not None and present.product_id == product_id:
        return
    withdraw_photo(session, item.query_id)
    photo = ReviewedPhoto(
        query_id=item.query_id,
        product_id=product_id,
        content_hash=item.photo_hash,
        installation=item.installation,
    )
    session.add(photo)
    session.flush()
    record_reviewed(session, photo.id)


def withdraw_photo(session: DbSession, query_id: UUID) -> None:
    """Take a reviewed photo, and its vectors in every space, back (foreign keys); nothing where there is none."""
    session.execute(delete(ReviewedPhoto).where(ReviewedPhoto.query_id == query_id))


def reviewed_queries(session: DbSession, query_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those of these queries whose photo training takes."""
    return frozenset(session.scalars(select(ReviewedPhoto.query_id).where(ReviewedPhoto.query_id.in_(list(query_ids)))))


def installation_secret(session: DbSession, key: str, proposal: str) -> str:
    """The secret kept under ``key``: ``proposal`` where there was none; of several at once the first one's stays."""
    session.execute(
        insert(Installation).values(key=key, value=proposal).on_conflict_do_nothing(index_elements=[Installation.key])
    )
    return str(session.scalar(select(Installation.value).where(Installation.key == key)))
