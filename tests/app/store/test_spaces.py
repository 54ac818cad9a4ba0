"""Spaces and their partitions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, inspect, select
from sqlalchemy.orm import Session

from app.errors import SpaceInUse
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.spaces import drop_space, ensure_space, find_space, looks_table, vectors_table
from app.store.tables import Bundle, Space


def test_a_space_is_made_once_with_its_partitions_and_index(session: Session) -> None:
    first = ensure_space(session, "one", {"weights": "embedded"})
    other = ensure_space(session, "two", {})
    assert ensure_space(session, "one", {"weights": "ignored"}) == first != other
    assert session.get_one(Space, first).description == {"weights": "embedded"}
    indexes = inspect(session.connection()).get_indexes(vectors_table(first))
    hnsw = [index for index in indexes if index["dialect_options"].get("postgresql_using") == "hnsw"]
    assert [index["column_names"] for index in hnsw] == [["projected"]]


def test_two_callers_at_once_make_one_space(own_engine: Engine) -> None:
    def make(_: int) -> int:
        with transaction(own_engine) as session:
            return ensure_space(session, "raced", {})

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(make, range(4)))) == 1
    with transaction(own_engine) as session:
        assert session.scalar(select(func.count()).select_from(Space)) == 1


def test_a_dropped_space_leaves_nothing_and_the_others_alone(session: Session) -> None:
    gone, kept = ensure_space(session, "gone", {}), ensure_space(session, "kept", {})
    drop_space(session, gone)
    drop_space(session, gone)
    tables = inspect(session.connection()).get_table_names()
    assert vectors_table(gone) not in tables
    assert looks_table(gone) not in tables
    assert vectors_table(kept) in tables
    assert find_space(session, "gone") is None
    assert find_space(session, "kept") == kept


def test_the_served_space_and_the_one_of_a_rollback_are_not_dropped(session: Session, tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    spaces = {name: ensure_space(session, name, {}) for name in ("first", "second", "third")}
    for version, name in (("v1", "first"), ("v2", "second"), ("v3", "third")):
        store.path_for(version).mkdir(parents=True)
        store.publish(session, version, spaces[name], "0" * 64, {})
    for name, version in (("third", "v3"), ("second", "v2")):
        with pytest.raises(SpaceInUse, match=version):
            drop_space(session, spaces[name])
    drop_space(session, spaces["first"])
    assert find_space(session, "first") is None
    assert find_space(session, "second") == spaces["second"]


def test_the_row_of_a_dropped_space_stays_for_its_versions_and_it_can_be_made_again(session: Session) -> None:
    space = ensure_space(session, "old", {"weights": "embedded"})
    session.add(Bundle(version="v1", space_id=space, state="retired", manifest_sha256="0" * 64, metrics={}))
    session.flush()
    drop_space(session, space)
    assert find_space(session, "old") is None
    assert session.get_one(Space, space).dropped_at is not None
    assert vectors_table(space) not in inspect(session.connection()).get_table_names()
    assert ensure_space(session, "old", {}) == space == find_space(session, "old")
    assert session.get_one(Space, space).description == {"weights": "embedded"}
    assert vectors_table(space) in inspect(session.connection()).get_table_names()
