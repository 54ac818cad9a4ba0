"""Reviewing: picks with a kept photo, shown to administrators, who make labels of them or not.

Decided: ``accept`` takes the pick as it is, ``relabel`` names another product, ``discard`` takes nothing. A decision is
made once: repeated it changes nothing (where the product was deleted and has come back, training takes the photo
again), another one is refused unless the caller shows the item's ETag and so knows what
it replaces. In bulk only what has no flag is accepted. An accepted photo is training data and in no other sense a
photo of the product: nobody sees it but administrators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session as DbSession

from app.errors import (
    CursorInvalid,
    MediaNotFound,
    PreconditionFailed,
    RequestInvalid,
    ReviewDecided,
    ReviewFlagged,
    ReviewItemNotFound,
    ReviewLimit,
)
from app.services.access import Principal
from app.services.cursors import Cursors
from app.services.pictures import Thumbnail
from app.services.review_guards import Guards, reason_of
from app.store import history, review, review_listing
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.review import ReviewState
from app.store.review_listing import Crowd, ListedItem, ReviewFilters, ReviewPosition
from app.store.review_tables import ReviewItem
from app.store.tables import Query
from models.errors import PicktureError

ReviewAction = Literal["accept", "relabel", "discard"]
BulkAction = Literal["accept", "discard"]

_LISTING = "review"


@dataclass(frozen=True, slots=True)
class Flag:
    """Why an item wants a closer look. reason: in words."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ReviewedItem:
    """An item as an administrator sees it. in_training: whether the next training takes its photo."""

    item: ReviewItem
    query: Query
    crowd: Crowd
    flags: tuple[Flag, ...]
    in_training: bool
    etag: str


@dataclass(frozen=True, slots=True, eq=False)
class ReviewPage:
    """A page, newest first. undecided: how many items wait in all."""

    items: tuple[ReviewedItem, ...]
    next_cursor: str | None
    undecided: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an item. sku: of the right product; with ``accept`` the pick's, where it is said at all."""

    action: ReviewAction
    sku: str | None = None

    def check(self) -> None:
        """:raise RequestInvalid: a sku is missing, or said for nothing."""
        if self.action == "relabel" and self.sku is None:
            raise RequestInvalid.of("sku", "required where action is `relabel`: the product that the photo shows")
        if self.action == "discard" and self.sku is not None:
            raise RequestInvalid.of("sku", "must be left out where action is `discard`")


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of one item of many. error: why nothing was done."""

    query_id: UUID
    error: PicktureError | None


class ReviewService:
    """Lists review items and decides on them. Any thread may call."""

    def __init__(self, engine: Engine, media: MediaStore, cursors: Cursors, guards: Guards) -> None:
        self._engine = engine
        self._media = media
        self._cursors = cursors
        self._guards = guards

    def page(self, filters: ReviewFilters, limit: int, cursor: str | None = None) -> ReviewPage:
        """One page, newest first. :raise CursorInvalid: not of this listing."""
        request = {"state": filters.state, "flag": filters.flag, "flagged": filters.is_flagged}
        after = None if cursor is None else _position(self._cursors.read(_LISTING, request, cursor))
        with transaction(self._engine) as session:
            found, position = review_listing.list_items(session, filters, self._guards.crowd, limit, after)
            undecided = review_listing.count_undecided(session)
        following = None
        if position is not None:
            where = [position.created_at.isoformat(), str(position.query_id)]
            following = self._cursors.write(_LISTING, request, where)
        return ReviewPage(tuple(_shown(listed) for listed in found), following, undecided)

    def item(self, query_id: UUID) -> ReviewedItem:
        """One item. :raise ReviewItemNotFound: no query of this id has one."""
        with transaction(self._engine) as session:
            return self._item(session, query_id)

    def photo(self, query_id: UUID, rendition: Literal["200", "800"]) -> Thumbnail:
        """The item's photo, for administrators alone.

        :raise ReviewItemNotFound: no query of this id has an item. :raise MediaNotFound: the photo is lost.
        """
        with transaction(self._engine) as session:
            item = review.find_item(session, query_id)
            if item is None:
                raise _not_found(query_id)
        return Thumbnail(self._media.open(item.photo_hash, rendition), f"{item.photo_hash[:32]}-{rendition}")

    def decide(
        self, caller: Principal, query_id: UUID, decision: Decision, etags: frozenset[str] | None = None
    ) -> ReviewedItem:
        """Decide on an item; the same decision again changes nothing, unless training has lost the photo meanwhile.

        etags: the item must be as one of these shows it, and a former decision may then be replaced.

        :raise ReviewItemNotFound: no query of this id has an item.
        :raise ReviewDecided: something else was decided before, and no ETag came.
        :raise PreconditionFailed: the item is not as any of ``etags`` shows it.
        :raise ReviewLimit: training takes as many photos of this installation and label as it may.
        :raise RequestInvalid: the decision does not fit the item, or its product does not exist.
        """
        decision.check()
        with transaction(self._engine) as session:
            item = self._own(session, query_id)
            if etags is not None and _etag(item) not in etags:
                raise PreconditionFailed(
                    f"review item {query_id} has changed since; get it again (its ETag is {_etag(item)} now), and "
                    "decide anew"
                )
            self._decide(session, caller, item, decision, may_replace=etags is not None)
            return self._item(session, query_id)

    def decide_many(self, caller: Principal, query_ids: Sequence[UUID], action: BulkAction) -> tuple[BulkOutcome, ...]:
        """Decide on many items alike, each in a transaction of its own; what has a flag is not accepted.

        :raise DatabaseError: the database does not answer; what was decided until then stays.
        """
        return tuple(self._one_of_many(caller, query_id, action) for query_id in dict.fromkeys(query_ids))

    def _one_of_many(self, caller: Principal, query_id: UUID, action: BulkAction) -> BulkOutcome:
        refused = (ReviewItemNotFound, ReviewDecided, ReviewLimit, ReviewFlagged, RequestInvalid, MediaNotFound)
        try:
            with transaction(self._engine) as session:
                item = self._own(session, query_id)
                if action == "accept" and item.state == "undecided":
                    self._require_unflagged(session, query_id)
                self._decide(session, caller, item, Decision(action), may_replace=False)
        except refused as error:
            return BulkOutcome(query_id, error)
        return BulkOutcome(query_id, None)

    def _own(self, session: DbSession, query_id: UUID) -> ReviewItem:
        """The item, with its query's row locked."""
        query = history.find_query(session, query_id, lock=True)
        item = None if query is None else review.find_item(session, query_id)
        if item is None:
            raise _not_found(query_id)
        return item

    def _decide(
        self, session: DbSession, caller: Principal, item: ReviewItem, decision: Decision, *, may_replace: bool
    ) -> None:
        state, sku = _wanted(item, decision)
        is_same = (item.state, item.decided_sku) == (state, sku)
        # A deleted product took its reviewed photos along; where it has come back, deciding again brings this one back.
        if is_same and (sku is None or review.reviewed_queries(session, [item.query_id])):
            return
        if not is_same and item.state != "undecided" and not may_replace:
            as_what = "" if item.decided_sku is None else f" as {item.decided_sku!r}"
            raise ReviewDecided(
                f"review item {item.query_id} was {item.state}{as_what} before; to replace that decision, send "
                "If-Match with the item's ETag"
            )
        now = datetime.now(UTC)
        if sku is None:
            review.withdraw_photo(session, item.query_id)
        else:
            self._accept(session, item, sku)
            item.accepted_at = item.accepted_at or now
        item.state, item.decided_sku, item.decided_at, item.decided_by = state, sku, now, caller.key_id
        session.flush()

    def _accept(self, session: DbSession, item: ReviewItem, sku: str) -> None:
        product = review.product_to_keep(session, sku)
        if product is None:
            raise RequestInvalid.of("sku", f"no product has the sku {sku!r} now; relabel the photo, or discard it")
        if not self._media.exists(item.photo_hash):
            raise MediaNotFound(f"the photo of review item {item.query_id} is lost; discard it")
        if item.installation is not None:
            review.lock_label(session, product.label, item.installation)
            there = review.photos_of(session, product.label, item.installation, but=item.query_id)
            if there >= self._guards.photos_per_installation:
                raise ReviewLimit(
                    f"training takes {there} photos of {product.label!r} from this installation already; "
                    f"PICKTURE_REVIEW_PHOTOS_PER_INSTALLATION={self._guards.photos_per_installation} allows no more: "
                    "discard it"
                )
        review.accept_photo(session, item, product.id)

    def _require_unflagged(self, session: DbSession, query_id: UUID) -> None:
        flags = self._item(session, query_id).flags
        if flags:
            told = "; ".join(f"{flag.code}: {flag.reason}" for flag in flags)
            raise ReviewFlagged(f"an item with a flag is accepted by itself or not at all ({told})")

    def _item(self, session: DbSession, query_id: UUID) -> ReviewedItem:
        listed = review_listing.find_listed(session, query_id, self._guards.crowd)
        if listed is None:
            raise _not_found(query_id)
        return _shown(listed)


def _wanted(item: ReviewItem, decision: Decision) -> tuple[ReviewState, str | None]:
    """The state and sku that a decision leads to.

    :raise RequestInvalid: there is nothing to accept, or the pick is another than the caller saw.
    """
    if decision.action == "discard":
        return "discarded", None
    if decision.action == "relabel":
        # Relabelling to what was picked is accepting it.
        return ("accepted" if decision.sku == item.sku else "relabelled"), decision.sku
    if item.sku is None:
        reason = "the shopper picked none of the candidates: relabel the photo, or discard it"
        raise RequestInvalid.of("action", reason)
    if decision.sku not in (None, item.sku):
        raise RequestInvalid.of("sku", f"the pick is {item.sku!r} now; leave sku out, or relabel the photo")
    return "accepted", item.sku


def _shown(listed: ListedItem) -> ReviewedItem:
    flags = tuple(Flag(code, reason_of(code, listed.item, listed.query, listed.crowd)) for code in listed.flags)
    return ReviewedItem(listed.item, listed.query, listed.crowd, flags, listed.in_training, _etag(listed.item))


def _etag(item: ReviewItem) -> str:
    """Changes with the pick and with each decision."""
    facts = (item.outcome, item.sku, item.state, item.decided_sku, item.decided_at)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _position(values: list[object]) -> ReviewPosition:
    match values:
        case [str(created_at), str(query_id)]:
            return ReviewPosition(datetime.fromisoformat(created_at), UUID(query_id))
    raise CursorInvalid("the cursor is of an older version; start at the first page")


def _not_found(query_id: UUID) -> ReviewItemNotFound:
    return ReviewItemNotFound(f"no query {query_id} has a review item; GET /v1/admin/review lists those there are")
