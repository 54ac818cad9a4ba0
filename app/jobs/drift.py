"""Whether what shoppers search for has changed in the last month, from the stored searches."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine

from app.store.database import transaction
from app.store.query_facts import StoredQuery, stored_queries
from models.training.care.drift import QueryFact, compare_queries
from models.training.care.findings import drift_findings

MONTH: Final = timedelta(days=30)
BEFORE: Final = timedelta(days=180)
"""How long before the last month searches are compared with."""

MOST_QUERIES: Final = 20_000
"""Searches read a period: enough for any change worth a look."""


def query_drift(engine: Engine, now: datetime | None = None) -> dict[str, Any]:
    """``findings.drift_findings`` of the last 30 days against the 180 days before, and ``versions``: how many model
    versions answered in both together."""
    now = now or datetime.now(UTC)
    with transaction(engine) as session:
        recent = stored_queries(session, now - MONTH, now, MOST_QUERIES)
        earlier = stored_queries(session, now - MONTH - BEFORE, now - MONTH, MOST_QUERIES)
    versions = len({query.model_version for query in (*earlier, *recent)})
    return {**drift_findings(compare_queries(_facts(earlier), _facts(recent))), "versions": versions}


def _facts(queries: Iterable[StoredQuery]) -> list[QueryFact]:
    return [QueryFact(query.verdict, query.score, query.nearest, query.category) for query in queries]
