"""Data care on this installation: stored searches compared, and lint by the stored bottlenecks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from app.cli.main import cli
from app.jobs.bottlenecks import fill_bottlenecks
from app.jobs.care import photo_findings
from app.jobs.drift import query_drift
from app.store.database import transaction
from app.store.query_facts import StoredQuery, stored_queries
from app.store.tables import Query
from tests.app.learning import LearningShop, learning_shop, shots

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    """Two products; one of the photos is listed at both."""
    with learning_shop(tmp_path_factory.mktemp("care") / "home", database_url, prepared_home) as made:
        made.add_product("cola", [*shots(0, 3)])
        made.add_product("beans", [*shots(1, 3), shots(0, 1)[0]])
        yield made


def search(days_ago: float, candidates: list[dict[str, Any]], verdict: str = "known", **fields: Any) -> Query:
    values = {"model_version": "v1", "calibrated": True, "category": None, **fields}
    created = NOW - timedelta(days=days_ago)
    return Query(id=uuid4(), verdict=verdict, candidates=candidates, created_at=created, **values)


def candidate(score: float, likeness: float | None = None) -> dict[str, Any]:
    vote = {"state": "ranked" if likeness is not None else "not_ranked", "rank": None, "score": likeness}
    return {"label": "a", "sku": "a", "score": score, "votes": {"knn": vote}}


@pytest.fixture
def searches(shop: LearningShop) -> Iterator[Engine]:
    yield shop.engine
    with transaction(shop.engine) as session:
        session.query(Query).delete()


def test_a_stored_search_gives_first_score_and_nearest_likeness(searches: Engine) -> None:
    old_style = {"label": "a", "sku": "a", "score": 0.4}
    with transaction(searches) as session:
        session.add_all(
            [
                search(1, [candidate(0.9, 0.7), candidate(0.2, 0.8), candidate(0.1)], category="Food"),
                search(2, [], verdict="unknown"),
                search(3, [old_style]),
                search(30, [candidate(0.5)]),
            ]
        )
    with transaction(searches) as session:
        found = stored_queries(session, NOW - timedelta(days=29), NOW, 10)
        assert len(stored_queries(session, NOW - timedelta(days=31), NOW, 2)) == 2
    assert sorted(found, key=lambda q: q.score or 0.0) == [
        StoredQuery("unknown", None, None, None, "v1"),
        StoredQuery("known", 0.4, None, None, "v1"),
        StoredQuery("known", 0.9, 0.8, "Food", "v1"),
    ]


def test_the_last_30_days_are_compared_with_the_180_before(searches: Engine) -> None:
    with transaction(searches) as session:
        for i in range(60):
            session.add(search(1 + i / 10, [candidate(0.3, 0.5)], verdict="unknown", model_version="v2"))
            session.add(search(31 + i, [candidate(0.5 + i / 200, 0.8 + i / 1000)]))
            session.add(search(211 + i, [candidate(0.1, 0.1)], verdict="unsure"))
    found = query_drift(searches, NOW)
    assert (found["before"], found["now"], found["level"], found["versions"]) == (60, 60, "large", 2)
    assert {change["name"]: change["level"] for change in found["changes"]} == {
        "verdict": "large",
        "score": "large",
        "nearest": "large",
        "category": "none",
    }
    assert found["changes"][0]["shares"] == {"known": (1.0, 0.0), "unknown": (0.0, 1.0)}
    json.dumps(found)


def test_an_installation_without_searches_has_nothing_to_compare(searches: Engine) -> None:
    assert query_drift(searches, NOW) == {"before": 0, "now": 0, "level": "none", "changes": [], "versions": 0}


def test_lint_before_bottlenecks_says_so_and_after_them_compares_the_photos(shop: LearningShop) -> None:
    assert photo_findings(shop.settings, shop.engine, shop.media) == (0, ())
    assert "photos were not compared" in lint(shop).stdout
    fill_bottlenecks(shop.settings, shop.engine, shop.media, variants=())
    before = [path.read_bytes() for path in (shop.settings.home / "bottlenecks").rglob("vectors.f32")]
    report = json.loads(lint(shop, "--json").stdout)
    assert report["bottlenecks"] == 7
    findings = {finding["code"]: finding for finding in report["findings"]}
    assert findings["twins"]["count"] >= 1
    assert "beans" in findings["twins"]["examples"][0]
    assert "cola" in findings["twins"]["examples"][0]
    assert all(finding["advice"] for finding in findings.values())
    told = lint(shop)
    assert "photos were not compared" not in told.stdout
    assert "nearly the same photo at two labels" in told.stdout
    assert [path.read_bytes() for path in (shop.settings.home / "bottlenecks").rglob("vectors.f32")] == before != []


def lint(shop: LearningShop, *arguments: str) -> Any:
    environment = {"PICKTURE_HOME": str(shop.settings.home), "PICKTURE_DATABASE_URL": str(shop.settings.database_url)}
    return CliRunner().invoke(cli, ["catalog", "lint", *arguments], env=environment, catch_exceptions=False)


def test_weights_that_are_not_prepared_here_leave_the_photos_uncompared(shop: LearningShop, tmp_path: Path) -> None:
    settings = shop.settings.model_copy(update={"home": tmp_path})
    assert photo_findings(settings, shop.engine, shop.media) == (0, ())
