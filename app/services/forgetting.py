"""Removing queries with everything that came of them, from the pick to the vectors of the kept photo; and photos that
were to be kept for a query that never came to be.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session as DbSession

from app.store import history, kept
from app.store.media import MediaStore
from app.store.tables import Query

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Removed:
    """Numbers of what was removed. photos: from the media store; others still refer to the rest.

    stray_photos: from the media store, too; the searches that they were to be kept for never came to be. jobs: that
    ended long ago.
    """

    queries: int = 0
    picks: int = 0
    review_items: int = 0
    reviewed_photos: int = 0
    photos: int = 0
    stray_photos: int = 0
    jobs: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(
            self.queries + other.queries,
            self.picks + other.picks,
            self.review_items + other.review_items,
            self.reviewed_photos + other.reviewed_photos,
            self.photos + other.photos,
            self.stray_photos + other.stray_photos,
            self.jobs + other.jobs,
        )


def remove_queries(session: DbSession, media: MediaStore, queries: Sequence[Query]) -> Removed:
    """Remove queries whose rows the caller has locked.

    The k-NN memory and the next training have forgotten their photos with the commit.
    """
    ids = [query.id for query in queries]
    hashes = sorted({query.photo_hash for query in queries if query.photo_hash is not None})
    for content_hash in hashes:  # in one order everywhere, so that two of these never wait for each other
        history.lock_photo(session, content_hash)
    picks, items, reviewed = history.count_traces(session, ids)
    history.delete_queries(session, ids)
    # Before the commit, under the lock: a photo must not outlive the row that led to it. Should the commit fail, the
    # queries stay without their photos and can be removed again.
    gone = [content_hash for content_hash in hashes if not history.photo_in_use(session, content_hash)]
    for content_hash in gone:
        media.delete(content_hash)
    return Removed(len(ids), picks, items, reviewed, len(gone))


def remove_strays(session: DbSession, media: MediaStore, content_hashes: Sequence[str]) -> Removed:
    """Remove photos whose rows ``kept.take_strays`` has locked, unless something refers to them after all.

    One that cannot be deleted stays, with its row, for the next time.
    """
    gone, removed = [], 0
    for content_hash in content_hashes:
        history.lock_photo(session, content_hash)
        if history.photo_in_use(session, content_hash):
            continue
        try:
            is_there = media.exists(content_hash)
            media.delete(content_hash)
        except Exception:  # whatever an image store raises: the others can go all the same
            log.exception("the stray photo %s cannot be deleted; it is tried again later", content_hash)
        else:
            gone.append(content_hash)
            removed += is_there
    kept.forget(session, gone)
    return Removed(stray_photos=removed)
