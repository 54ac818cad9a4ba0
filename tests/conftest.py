"""The database for tests: a real PostgreSQL, shaped by the real migrations, each test rolled back."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url
from sqlalchemy.orm import Session

from app.store.database import make_engine, upgrade
from app.store.embedded import EmbeddedServer

QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "lock_timeout": "20s"}
"""Settings for a server whose data nobody will miss; a test that waits for another's lock fails soon."""


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[EmbeddedServer]:
    """An embedded server of this test run, in a folder of its own."""
    home = Path(tempfile.mkdtemp(prefix="pickture-test-"))
    server = EmbeddedServer(home, options=QUICK)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a database for this run alone: ``PICKTURE_TEST_DATABASE_URL`` (emptied), or an embedded one."""
    given = os.environ.get("PICKTURE_TEST_DATABASE_URL")
    if given:
        assert "PYTEST_XDIST_WORKER" not in os.environ, (
            "one database cannot serve several test processes: run with -n 0"
        )
        assert "test" in str(make_url(given).database), "its contents are dropped: its name must contain 'test'"
        return given
    server: EmbeddedServer = request.getfixturevalue("embedded_server")
    return server.start().render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the migrated database."""
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session in a transaction that is rolled back after the test, whatever it commits (savepoints)."""
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as session:
            yield session
        outer.rollback()
