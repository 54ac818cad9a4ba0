"""Engines, transactions, migrations and the check."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import URL, Engine, func, inspect, select, text
from sqlalchemy.exc import OperationalError

from app.config import Settings
from app.errors import DatabaseUnavailable
from app.store.database import (
    MIGRATIONS,
    DatabaseOutdated,
    check,
    downgrade,
    make_engine,
    open_database,
    require_current,
    transaction,
    upgrade,
)
from app.store.spaces import ensure_space
from app.store.tables import Brand, Image, Product
from models.errors import UsageError
from tests.app.store.world import add_photos


def test_the_migrated_database_passes_the_check(engine: Engine) -> None:
    state = check(engine)
    assert state.problems == ()
    assert state.ok
    assert state.revision == state.head
    assert state.pgvector is not None
    require_current(engine)


def test_partitions_made_at_run_time_are_no_drift(own_engine: Engine) -> None:
    with transaction(own_engine) as session:
        ensure_space(session, "space", {})
    assert check(own_engine).problems == ()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE products ADD COLUMN surprise text", "surprise"),
        ("ALTER TABLE products DROP COLUMN gtin", "gtin"),
        ("ALTER TABLE products ALTER COLUMN sku DROP NOT NULL", "sku"),
        ("ALTER TABLE images ALTER COLUMN width TYPE bigint", "width"),
        ("DROP INDEX ix_products_price", "ix_products_price"),
        ("ALTER TABLE picks DROP CONSTRAINT ck_picks_outcome", "ck_picks_outcome"),
        ("CREATE TABLE stray (id int)", "stray"),
    ],
)
def test_every_kind_of_drift_is_named(engine: Engine, change: str, named: str) -> None:
    from app.store import drift

    with engine.connect() as connection:
        connection.execute(text(change))
        found = drift.differences(connection)
        connection.rollback()
    assert any(named in item for item in found), found


def test_an_empty_database_is_outdated_and_the_message_names_the_command(empty_engine: Engine) -> None:
    state = check(empty_engine)
    assert not state.ok
    assert "python -m app db upgrade" in state.problems[0]
    with pytest.raises(DatabaseOutdated, match="db upgrade"):
        require_current(empty_engine)


def test_upgrade_and_downgrade_keep_the_rows_that_are_there(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0001")
    with transaction(empty_engine) as session:
        session.add(Brand(name="Müller", name_key="müller"))
        photos = add_photos(session, ["milk", "milk", "bread"])
    upgrade(empty_engine)
    assert check(empty_engine).ok
    with transaction(empty_engine) as session:
        assert session.scalars(select(Product.label).order_by(Product.id)).all() == ["milk", "milk", "bread"]
        assert session.scalars(select(Image.id).order_by(Image.id)).all() == [image for image, _ in photos]
        ensure_space(session, "space", {})
    downgrade(empty_engine, "0001")
    assert "reference_vectors" not in inspect(empty_engine).get_table_names()
    with transaction(empty_engine) as session:
        assert session.scalar(select(func.count()).select_from(Product)) == 3
        assert session.scalar(select(Brand.name)) == "Müller"
    downgrade(empty_engine, "base")
    assert inspect(empty_engine).get_table_names() == ["alembic_version"]
    upgrade(empty_engine)
    assert check(empty_engine).ok


def test_an_upgrade_that_meets_a_busy_table_gives_up_and_changes_nothing(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0001")
    with empty_engine.connect() as busy:
        busy.execute(text("LOCK TABLE images IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(OperationalError, match="lock timeout"):
            upgrade(empty_engine)
    assert check(empty_engine).revision == "0001"
    assert "spaces" not in inspect(empty_engine).get_table_names()


def test_two_upgrades_at_once_both_succeed(empty_url: URL, empty_engine: Engine) -> None:
    url = empty_url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "app", "db", "upgrade", "--json"]
    environment = {**os.environ, "PICKTURE_DATABASE_URL": url}
    both = [
        subprocess.Popen(command, env=environment, cwd=MIGRATIONS.parent, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=60)[0] for process in both]
    state = check(empty_engine)
    assert state.ok
    assert told == [f'{{"revision": "{state.head}"}}\n'] * 2


def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_error(own_engine: Engine) -> None:
    with transaction(own_engine) as session:
        brand = Brand(name="Kept", name_key="kept")
        session.add(brand)
    assert brand.name == "Kept"
    with pytest.raises(ZeroDivisionError), transaction(own_engine) as session:
        session.add(Brand(name="Lost", name_key="lost"))
        session.flush()
        _ = 1 / 0
    with transaction(own_engine) as session:
        assert session.scalars(select(Brand.name)).all() == ["Kept"]


def test_a_connection_that_breaks_under_a_rollback_is_a_database_that_is_away(
    own_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk is full: the work fails for that, and the server has ended when it is to be taken back.

    What the driver says then depends on the moment; a cut wire alone gives an OperationalError.
    """

    def server_has_ended(_: object) -> None:
        raise psycopg2.DatabaseError("server closed the connection unexpectedly")

    monkeypatch.setattr(own_engine.dialect, "do_rollback", server_has_ended)
    with pytest.raises(DatabaseUnavailable, match="closed the connection"), transaction(own_engine) as session:
        session.execute(text("SELECT 1"))
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.undo()
    with transaction(own_engine) as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_times_come_back_in_utc(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW timezone")) == "UTC"


def test_an_unreachable_server_is_unavailable_without_showing_the_password() -> None:
    engine = make_engine("postgresql://someone:secret@127.0.0.1:1/nowhere")
    with pytest.raises(DatabaseUnavailable) as caught, transaction(engine):
        pass
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://host/db", "not a url", "postgresql+asyncpg://host/db"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="PICKTURE_DATABASE_URL"):
        make_engine(url)


def test_a_configured_url_wins_over_the_embedded_server(database_url: str, tmp_path: Path) -> None:
    engine = open_database(Settings(home=tmp_path, database_url=database_url))  # type: ignore[call-arg]
    with transaction(engine) as session:
        assert session.scalar(text("SELECT 1")) == 1
    engine.dispose()
    assert list(tmp_path.iterdir()) == []
