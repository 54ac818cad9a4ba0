"""Retention: what shoppers sent is removed when its time is over, and so are jobs."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.errors import DatabaseError
from app.services.forgetting import Removed, remove_queries, remove_strays
from app.store import history, jobs, kept
from app.store.database import transaction
from app.store.media import MediaStore

log = logging.getLogger(__name__)

BATCH = 100
"""Queries removed in one transaction."""

STRAY_AGE = timedelta(days=1)
"""How long a photo that was to be kept waits for its search; far longer than any search takes."""


class Retention:
    """Removes queries, with all that came of them, after ``query_days``; after ``reviewed_photo_days`` where training
    takes their photo. And jobs, ``job_days`` after their end.

    Any number of processes may work at once: each leaves to the others what they have begun.
    """

    def __init__(
        self, engine: Engine, media: MediaStore, query_days: int, reviewed_photo_days: int, job_days: int
    ) -> None:
        self._engine = engine
        self._media = media
        self._plain = timedelta(days=query_days)
        # A photo that training takes is never removed before one that it does not take.
        self._reviewed = timedelta(days=max(query_days, reviewed_photo_days))
        self._jobs = timedelta(days=job_days)

    @classmethod
    def of(cls, settings: Settings, engine: Engine) -> Retention:
        """As the operator has set it."""
        media = MediaStore(settings.media_url or settings.home / "media")
        return cls(engine, media, settings.query_days, settings.reviewed_photo_days, settings.job_days)

    def due(self) -> int:
        """How many queries are to be removed."""
        now = datetime.now(UTC)
        with transaction(self._engine) as session:
            return history.count_due(session, now - self._plain, now - self._reviewed)

    def apply(self) -> Removed:
        """Remove what is due, batch by batch, and log the numbers where there are any.

        A query whose photo cannot be deleted stays, is named in the log, and keeps none else from going.
        :raise DatabaseUnavailable, sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        """
        now = datetime.now(UTC)
        removed, stuck = Removed(), set[UUID]()
        while True:
            try:
                batch = self._remove(now, BATCH, stuck)
            except (DatabaseError, SQLAlchemyError):
                raise
            except Exception as error:
                words = "retention: a batch cannot be removed (%s); its queries are removed one by one"
                log.warning(words, error, exc_info=True)
                batch = self._remove_singly(now, stuck)
            if not batch.queries:
                break
            removed += batch
        removed += self._remove_strays(now - STRAY_AGE)
        with transaction(self._engine) as session:
            removed += Removed(jobs=jobs.remove_ended(session, now - self._jobs))
        if removed != Removed():
            told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in asdict(removed).items())
            log.info("retention removed %s", told)
        return removed

    def _remove_strays(self, before: datetime) -> Removed:
        """Photos kept before then that nothing refers to: their searches never came to be."""
        removed, after = Removed(), ""
        while True:
            with transaction(self._engine) as session:
                strays = kept.take_strays(session, before, after, BATCH)
                removed += remove_strays(session, self._media, strays)
            if not strays:
                return removed
            after = strays[-1]

    def _remove(self, now: datetime, limit: int, stuck: Collection[UUID]) -> Removed:
        with transaction(self._engine) as session:
            queries = history.take_due(session, now - self._plain, now - self._reviewed, limit, stuck)
            return remove_queries(session, self._media, queries)

    def _remove_singly(self, now: datetime, stuck: set[UUID]) -> Removed:
        """As many queries as a batch has, each in a transaction of its own. stuck: takes those that stay."""
        removed = Removed()
        for _ in range(BATCH):
            query_id = None
            try:
                with transaction(self._engine) as session:
                    for query in history.take_due(session, now - self._plain, now - self._reviewed, 1, stuck):
                        query_id = query.id
                        removed += remove_queries(session, self._media, [query])
            except (DatabaseError, SQLAlchemyError):
                raise
            except Exception:
                if query_id is None:
                    raise
                log.exception("retention: query %s cannot be removed; it is tried again later", query_id)
                stuck.add(query_id)
            if query_id is None:
                break
        return removed
