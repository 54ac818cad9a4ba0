"""What the shopper says of a search, and taking a search back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Engine, exists, select
from sqlalchemy.orm import Session as DbSession

from app.errors import QueryNotFound, RequestInvalid
from app.services.access import Principal
from app.store import history
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.tables import Product, Query

Outcome = Literal["picked", "none_of_these"]


@dataclass(frozen=True, slots=True)
class Feedback:
    """What was recorded. created_at: when something was first said of the query."""

    query_id: UUID
    outcome: Outcome
    sku: str | None
    created_at: datetime


class FeedbackService:
    """Records picks and deletes queries; only for the session that made the query, or an admin."""

    def __init__(self, engine: Engine, media: MediaStore) -> None:
        self._engine = engine
        self._media = media

    def require_own(self, caller: Principal, query_id: UUID) -> None:
        """Refuse to go on with a query that is not the caller's.

        :raise QueryNotFound: no such query, or another session's.
        """
        with transaction(self._engine) as session:
            _own_query(session, caller, query_id, lock=False)

    def record(self, caller: Principal, query_id: UUID, outcome: Outcome, sku: str | None) -> Feedback:
        """Record what the shopper chose.

        Saying the same again changes nothing; saying something else replaces it (a shopper may change
        their mind). The picked sku may be any product of the catalogue: the right one is not always
        among the candidates.

        :raise QueryNotFound: no such query, or another session's.
        :raise RequestInvalid: ``picked`` without a sku or with an unknown one, ``none_of_these`` with a sku.
        """
        if outcome == "picked" and sku is None:
            raise RequestInvalid.of("sku", "required where outcome is `picked`")
        if outcome == "none_of_these" and sku is not None:
            raise RequestInvalid.of("sku", "must be left out where outcome is `none_of_these`")
        with transaction(self._engine) as session:
            _own_query(session, caller, query_id)
            if sku is not None and not session.scalar(select(exists().where(Product.sku == sku))):
                raise RequestInvalid.of("sku", f"no product has the sku {sku!r}")
            pick = history.save_pick(session, query_id, outcome, sku)
            return Feedback(query_id, outcome, pick.sku, pick.created_at)

    def forget(self, caller: Principal, query_id: UUID) -> None:
        """Delete a query with its pick and, where nothing else refers to it, its kept photo.

        :raise QueryNotFound: no such query, or another session's.
        """
        with transaction(self._engine) as session:
            photo_hash = _own_query(session, caller, query_id).photo_hash
            if photo_hash is not None:
                history.lock_photo(session, photo_hash)
            history.delete_query(session, query_id)
            # Before the commit, under the lock: a photo must not outlive the row that led to it. Should the
            # commit fail, the query stays without its photo and can be deleted again.
            if photo_hash is not None and not history.photo_in_use(session, photo_hash):
                self._media.delete(photo_hash)


def _own_query(session: DbSession, caller: Principal, query_id: UUID, *, lock: bool = True) -> Query:
    query = history.find_query(session, query_id, lock=lock)
    if query is None or not caller.owns(query.session_id):
        raise QueryNotFound(f"no query of this session has the id {query_id}")
    return query
