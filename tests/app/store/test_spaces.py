"""Spaces and their partitions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, func, inspect, select
from sqlalchemy.orm import Session

from app.store.database import transaction
from app.store.spaces import drop_space, ensure_space, find_space, looks_table, vectors_table
from app.store.tables import Bundle, Space
from models.errors import UsageError


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


def test_a_space_that_a_bundle_needs_is_not_dropped(session: Session) -> None:
    space = ensure_space(session, "needed", {})
    session.add(Bundle(version="v1", space_id=space, state="retired", manifest_sha256="0" * 64, metrics={}))
    session.flush()
    with pytest.raises(UsageError, match="v1"):
        drop_space(session, space)
    assert find_space(session, "needed") == space
