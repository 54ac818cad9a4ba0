"""What is kept of searches, for comparing this month's with those before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.tables import Query


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """One search. score: the first candidate's; nearest: the likeness of the nearest reference photo that k-NN named,
    None where no candidate was its, or where the search is older than votes are kept."""

    verdict: str
    score: float | None
    nearest: float | None
    category: str | None
    model_version: str


def stored_queries(session: Session, since: datetime, until: datetime, most: int) -> list[StoredQuery]:
    """Searches by a photo alone, ``since`` included; where there are more than ``most``, a random sample.

    Ids are random, so the first ones by id are a sample, and the same one each time.
    """
    rows = session.execute(
        select(Query.verdict, Query.candidates, Query.category, Query.model_version)
        .where(Query.created_at >= since, Query.created_at < until, Query.verdict.is_not(None))
        .order_by(Query.id)
        .limit(most)
    )
    return [_fact(verdict, candidates, category, version) for verdict, candidates, category, version in rows]


def _fact(verdict: str, candidates: Sequence[Any], category: str | None, version: str) -> StoredQuery:
    score = float(candidates[0]["score"]) if candidates else None
    likeness = [(candidate.get("votes") or {}).get("knn", {}).get("score") for candidate in candidates]
    return StoredQuery(verdict, score, max((s for s in likeness if s is not None), default=None), category, version)
