"""Which trained labels have left the catalogue: noticed at once, forgotten within a moment, cheaply."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine, delete, event, text

from app.services.withdrawn import WithdrawnLabels
from app.store.database import make_engine, transaction, upgrade
from app.store.tables import Product
from tests.app.store.world import new_database

NAMED = frozenset({"a", "b", "c"})


@pytest.fixture(scope="module")
def migrated(database_url: str) -> Iterator[URL]:
    """A database of these tests alone."""
    with new_database(database_url) as url:
        yield url


@pytest.fixture
def engine(migrated: URL) -> Iterator[Engine]:
    """Its catalogue has the labels a to e; ``e`` by two products."""
    engine = make_engine(migrated)
    upgrade(engine)
    with transaction(engine) as session:
        session.execute(text("TRUNCATE products CASCADE"))
        session.add_all(Product(sku=sku) for sku in "abcd")
        session.add_all(Product(sku=sku, group="e") for sku in ("e1", "e2"))
    yield engine
    engine.dispose()


@pytest.fixture
def statements(engine: Engine) -> list[str]:
    """Every statement about products from now on."""
    found: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        if "products" in statement:
            found.append(statement)

    return found


def drop(engine: Engine, *skus: str) -> None:
    with transaction(engine) as session:
        session.execute(delete(Product).where(Product.sku.in_(skus)))


def add(engine: Engine, sku: str) -> None:
    with transaction(engine) as session:
        session.add(Product(sku=sku))


def test_what_was_gone_before_the_model_was_loaded_is_known_from_the_start(engine: Engine) -> None:
    withdrawn = WithdrawnLabels(engine, frozenset("abxyz"))
    assert withdrawn(frozenset()) == {"x", "y", "z"}


def test_a_deleted_label_is_noticed_by_the_next_answer_that_names_it(engine: Engine) -> None:
    withdrawn = WithdrawnLabels(engine, frozenset("abcde"), recheck_s=3600)
    assert withdrawn(NAMED) == frozenset()
    drop(engine, "b", "d")
    assert withdrawn(NAMED) == {"b", "d"}, "one look finds all that went, named or not"
    assert withdrawn(frozenset()) == {"b", "d"}


def test_a_label_stays_as_long_as_one_product_has_it(engine: Engine) -> None:
    withdrawn = WithdrawnLabels(engine, frozenset("ae"), recheck_s=0.0)
    drop(engine, "e1")
    assert withdrawn(frozenset("ae")) == frozenset()
    drop(engine, "e2")
    assert withdrawn(frozenset("ae")) == {"e"}


def test_a_label_that_is_back_is_noticed_at_the_next_recheck(engine: Engine) -> None:
    patient = WithdrawnLabels(engine, frozenset("abcde"), recheck_s=3600)
    quick = WithdrawnLabels(engine, frozenset("abcde"), recheck_s=0.0)
    drop(engine, "b")
    assert patient(NAMED) == quick(NAMED) == {"b"}
    add(engine, "b")
    assert patient(frozenset("ac")) == {"b"}
    quick(frozenset("ac"))
    assert quick(frozenset()) == frozenset()


def test_a_label_that_only_the_memory_named_is_told_and_not_kept(engine: Engine) -> None:
    withdrawn = WithdrawnLabels(engine, frozenset("ab"))
    assert withdrawn(frozenset({"a", "never listed"})) == {"never listed"}
    assert withdrawn(frozenset()) == frozenset()


def test_a_search_costs_one_look_up_of_what_was_named(engine: Engine, statements: list[str]) -> None:
    withdrawn = WithdrawnLabels(engine, frozenset("abcdexyz"), recheck_s=3600)
    withdrawn(frozenset())
    del statements[:]
    for _ in range(3):
        withdrawn(frozenset())
        withdrawn(NAMED)
    assert len(statements) == 3
