"""What the shopper says of a search, and taking a search back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session as DbSession

from app.errors import QueryNotFound, RequestInvalid
from app.services.access import Principal
from app.services.forgetting import remove_queries
from app.services.review_guards import Guards
from app.services.review_intake import forget_pick, note_pick
from app.services.taught import TaughtModel, models_taught
from app.store import history, review
from app.store.bundles import BundleStore
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


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A query that was removed.

    photo_deleted: whether the media store has lost its photo with it; not where another query or the catalogue has
    the same one. models: versions that were made with the photo.
    """

    query_id: UUID
    photo_deleted: bool
    models: tuple[TaughtModel, ...]


class FeedbackService:
    """Records picks and deletes queries; only for the session that made the query, or an admin.

    bundles: asked which versions a photo has taught. guards: which picks become review items.
    """

    def __init__(self, engine: Engine, media: MediaStore, bundles: BundleStore, guards: Guards | None = None) -> None:
        self._engine = engine
        self._media = media
        self._bundles = bundles
        self._guards = guards or Guards()

    def require_own(self, caller: Principal, query_id: UUID) -> None:
        """Refuse to go on with a query that is not the caller's.

        :raise QueryNotFound: no such query, or another session's.
        """
        with transaction(self._engine) as session:
            _own_query(session, caller, query_id, lock=False)

    def record(self, caller: Principal, query_id: UUID, outcome: Outcome, sku: str | None) -> Feedback:
        """Record what the shopper chose; where the photo was kept, it becomes a review item, or changes it.

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
            query = _own_query(session, caller, query_id)
            label = None if sku is None else session.scalar(select(Product.label).where(Product.sku == sku))
            if sku is not None and label is None:
                raise RequestInvalid.of("sku", f"no product has the sku {sku!r}")
            pick = history.save_pick(session, query_id, outcome, sku)
            note_pick(session, query, pick, label, self._guards)
            return Feedback(query_id, outcome, pick.sku, pick.created_at)

    def withdraw(self, caller: Principal, query_id: UUID) -> None:
        """Unsay what was said of a query; nothing happens where nothing was.

        A review item goes with it unless an administrator has decided on it; ``forget`` takes that back too.

        :raise QueryNotFound: no such query, or another session's.
        """
        with transaction(self._engine) as session:
            query = _own_query(session, caller, query_id)
            if history.delete_pick(session, query_id):
                forget_pick(session, query)

    def forget(self, caller: Principal, query_id: UUID) -> Forgotten:
        """Delete a query with its pick, its review item, what the k-NN memory and training have of its photo, and,
        where nothing else refers to it, the photo.

        :raise QueryNotFound: no such query, or another session's.
        """
        with transaction(self._engine) as session:
            query = _own_query(session, caller, query_id)
            item = review.find_item(session, query_id)
            taught: tuple[TaughtModel, ...] = ()
            if item is not None and item.accepted_at is not None:
                taught = models_taught(session, self._bundles, item.photo_hash, item.accepted_at)
            removed = remove_queries(session, self._media, [query])
        return Forgotten(query_id, removed.photos > 0, taught)


def _own_query(session: DbSession, caller: Principal, query_id: UUID, *, lock: bool = True) -> Query:
    query = history.find_query(session, query_id, lock=lock)
    if query is None or not caller.owns(query.session_id):
        raise QueryNotFound(f"no query of this session has the id {query_id}")
    return query
