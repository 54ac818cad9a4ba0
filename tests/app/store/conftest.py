"""Databases of their own for tests that commit or change the tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine

from app.store.database import make_engine, upgrade
from tests.app.store.world import new_database


@pytest.fixture
def empty_url(database_url: str) -> Iterator[URL]:
    """URL of a new, empty database beside the others; dropped after the test."""
    with new_database(database_url) as url:
        yield url


@pytest.fixture
def empty_engine(empty_url: URL) -> Iterator[Engine]:
    """An engine on a database without tables."""
    engine = make_engine(empty_url)
    yield engine
    engine.dispose()


@pytest.fixture
def own_engine(empty_engine: Engine) -> Engine:
    """An engine on a migrated database of this test alone: it may commit."""
    upgrade(empty_engine)
    return empty_engine
