"""Rows of kept photos: which files of the image store are there because a shopper let us keep them.

The row is committed before the file is written, and outlives it: so a file whose search never came to be, as the
database died in between, is found by it, and an import that brings the very same photo knows that it may go.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ARRAY, String, any_, delete, exists, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.store.review_tables import KeptPhoto
from app.store.tables import Image, Query


def announce(session: Session, content_hash: str) -> None:
    """Say that a photo is about to be kept; commit before it is written."""
    statement = insert(KeptPhoto).values(content_hash=content_hash)
    session.execute(
        statement.on_conflict_do_update(index_elements=[KeptPhoto.content_hash], set_={"kept_at": func.now()})
    )


def announced_among(session: Session, content_hashes: Collection[str]) -> list[str]:
    """Those of these photos that are, or were lately, kept for shoppers; in order."""
    asked = literal(list(content_hashes), ARRAY(String))
    found = select(KeptPhoto.content_hash).where(KeptPhoto.content_hash == any_(asked))
    return list(session.scalars(found.order_by(KeptPhoto.content_hash)))


def take_strays(session: Session, before: datetime, after: str, limit: int) -> list[str]:
    """Lock rows of photos that were kept before then and that nothing refers to; those that others work on are left to
    them.

    In order, from the one that follows ``after`` on.
    """
    is_used = exists().where(Query.photo_hash == KeptPhoto.content_hash) | exists().where(
        Image.content_hash == KeptPhoto.content_hash
    )
    wanted = select(KeptPhoto.content_hash).where(KeptPhoto.content_hash > after, KeptPhoto.kept_at < before, ~is_used)
    locked = wanted.order_by(KeptPhoto.content_hash).limit(limit).with_for_update(skip_locked=True, of=KeptPhoto)
    return list(session.scalars(locked))


def forget(session: Session, content_hashes: Collection[str]) -> None:
    """Delete rows whose files are gone."""
    session.execute(delete(KeptPhoto).where(KeptPhoto.content_hash.in_(list(content_hashes))))
