"""Retention: what shoppers sent is removed when its time is over."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from app.config import Settings
from app.services.forgetting import Removed, remove_queries
from app.store import history
from app.store.database import transaction
from app.store.media import MediaStore

log = logging.getLogger(__name__)

BATCH = 100
"""Queries removed in one transaction."""


class Retention:
    """Removes queries, with all that came of them, after ``query_days``; after ``reviewed_photo_days`` where training
    takes their photo.

    Any number of processes may work at once: each leaves to the others what they have begun.
    """

    def __init__(self, engine: Engine, media: MediaStore, query_days: int, reviewed_photo_days: int) -> None:
        self._engine = engine
        self._media = media
        self._plain = timedelta(days=query_days)
        # A photo that training takes is never removed before one that it does not take.
        self._reviewed = timedelta(days=max(query_days, reviewed_photo_days))

    @classmethod
    def of(cls, settings: Settings, engine: Engine) -> Retention:
        """As the operator has set it."""
        media = MediaStore(settings.media_url or settings.home / "media")
        return cls(engine, media, settings.query_days, settings.reviewed_photo_days)

    def due(self) -> int:
        """How many queries are to be removed."""
        now = datetime.now(UTC)
        with transaction(self._engine) as session:
            return history.count_due(session, now - self._plain, now - self._reviewed)

    def apply(self) -> Removed:
        """Remove what is due, batch by batch, and log the numbers where there are any."""
        now = datetime.now(UTC)
        removed = Removed()
        while True:
            with transaction(self._engine) as session:
                queries = history.take_due(session, now - self._plain, now - self._reviewed, BATCH)
                if not queries:
                    break
                removed += remove_queries(session, self._media, queries)
        if removed.queries:
            told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in asdict(removed).items())
            log.info("retention removed %s", told)
        return removed
