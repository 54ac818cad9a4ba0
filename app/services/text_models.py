"""The text models in service, for administrators: which, what was measured, the report, words left out of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from app.errors import TextModelNotFound
from app.store.database import transaction
from app.store.decisions import Decision, read_decision
from app.store.shared_tables import SharedSpaceRow
from app.store.tables import Space
from app.store.text_models import TextModelStore
from models.errors import BundleNotFound


@dataclass(frozen=True, slots=True)
class TextVersion:
    """A version in service. space: of the bottlenecks it reads. created_at: ISO 8601. decision: what a retraining
    decided about it; None where it was trained by hand.
    """

    version: str
    space: str
    created_at: str
    metrics: Mapping[str, Any]
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class StopWordState:
    """proposed: category, word, rows, gain, of the last training (see ``models.training.text.confusions``); approved:
    words by category."""

    proposed: tuple[Mapping[str, Any], ...]
    approved: Mapping[str, list[str]]


class TextModels:
    """What administrators see of the text models. Any thread may call.

    shared: where versions of the shared space lie.
    """

    def __init__(self, engine: Engine, store: TextModelStore, shared: Path) -> None:
        self._engine = engine
        self._store = store
        self._shared = shared

    def categories(self) -> TextVersion | None:
        """The model that tells categories; None before the first training.

        :raise BundleDamaged, BundleMismatch, BundleNotFound: its files are not as they were written.
        """
        version = self._store.current()
        if version is None:
            return None
        manifest, metrics = self._store.facts(version)
        decision = self._store.decision(version)
        return TextVersion(version, str(manifest["space"]), str(manifest["created_at"]), metrics, decision)

    def words(self) -> TextVersion | None:
        """The shared space that words are searched in; None before the first training."""
        with transaction(self._engine) as session:
            found = session.execute(
                select(SharedSpaceRow, Space.identifier)
                .join(Space, Space.id == SharedSpaceRow.space_id)
                .where(SharedSpaceRow.state == "live")
            ).one_or_none()
        if found is None:
            return None
        row, space = found
        decision = read_decision(self._shared / row.version)
        return TextVersion(row.version, space, row.created_at.isoformat(), row.metrics, decision)

    def report(self) -> bytes:
        """The report of the model that tells categories, HTML.

        :raise TextModelNotFound: none has been trained, or it was made without a report.
        :raise BundleDamaged, BundleMismatch, BundleNotFound: its files are not as they were written.
        """
        version = self._store.current()
        if version is None:
            raise TextModelNotFound("no text model has been trained yet; run `python -m app text train`")
        try:
            return self._store.report(version)
        except BundleNotFound as error:
            raise TextModelNotFound(str(error)) from None

    def stop_words(self) -> StopWordState:
        """What the last training proposes, and what is approved. :raise BundleDamaged: see ``categories``."""
        return store_stop_words(self._store)

    def approve(self, category: str, word: str, *, approved: bool) -> StopWordState:
        """Approve a stop word of a category, or withdraw it; the next training follows.

        :raise UsageError: not one word.
        """
        self._store.approve(category, word, approved=approved)
        return self.stop_words()


def store_stop_words(store: TextModelStore) -> StopWordState:
    """See ``TextModels.stop_words``; needs no database."""
    version = store.current()
    metrics = {} if version is None else store.facts(version)[1]
    proposed = metrics.get("categories", {}).get("stop_words", ())
    return StopWordState(tuple(proposed), store.stop_words())
