"""Picks become review items, in the transaction that records them, where the shopper let the photo be kept."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session as DbSession

from app.services.review_guards import WINDOW, Guards, findings_of, origin_of
from app.store import review
from app.store.review import Origin
from app.store.review_tables import ReviewItem
from app.store.tables import Pick, Query


def note_pick(session: DbSession, query: Query, pick: Pick, label: str | None, guards: Guards) -> None:
    """Make or change the review item of a query whose row the caller has locked.

    label: of the picked product; None for ``none_of_these``. An item that has been decided stays as it was decided on.
    Picks beyond the limits of their installation or address make no item: they do not count.
    """
    if query.photo_hash is None:
        return
    item = review.find_item(session, query.id)
    if item is None:
        origin = origin_of(session, query.session_id)
        if not _counts(session, origin, guards):
            return
        item = ReviewItem(
            query_id=query.id,
            state="undecided",
            photo_hash=query.photo_hash,
            installation=origin.installation,
            address=origin.address,
        )
        session.add(item)
    elif item.state != "undecided":
        return
    item.outcome, item.sku, item.label = pick.outcome, pick.sku, label
    item.findings = findings_of(query, label)
    session.flush()


def forget_pick(session: DbSession, query: Query) -> None:
    """Remove the item of a withdrawn pick, unless it has been decided; the caller has locked the query's row."""
    item = review.find_item(session, query.id)
    if item is not None and item.state == "undecided":
        session.delete(item)
        session.flush()


def _counts(session: DbSession, origin: Origin, guards: Guards) -> bool:
    # Both numbers under one lock: an installation that changes its address is caught by the address's limit.
    if origin.address is not None:
        review.lock_address(session, origin.address)
    here, at_address = review.items_since(session, datetime.now(UTC) - WINDOW, origin)
    return here < guards.picks_per_installation and at_address < guards.picks_per_address
