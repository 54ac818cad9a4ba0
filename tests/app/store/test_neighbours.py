"""The k-NN memory in the database, against the contract and against brute force in arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, delete, event, select, text, update
from sqlalchemy.orm import Session

from app.store import neighbours
from app.store.database import make_engine, transaction, upgrade
from app.store.neighbours import PgNeighbours, known_labels, put_vectors, refresh_looks, relabel
from app.store.spaces import ensure_space
from app.store.tables import Image, Product, ProductLook, ReferenceVector
from models.backbone.projection import Projection
from models.classifiers.exact import ExactNeighbours
from models.errors import UsageError
from models.values import Float32, Neighbours
from tests.app.store.world import add_photos, new_database
from tests.contracts.neighbours import Make, NeighboursContract, assert_right, brute_force, clustered, unit

PROJECT = Projection.random_orthogonal().apply
_numbers = count()


def remember(session: Session, vectors: Float32, labels: Sequence[str]) -> tuple[int, list[tuple[int, int]]]:
    """A new space holding these photos: its id, and (image id, product id) a photo."""
    space = ensure_space(session, f"space {next(_numbers)}", {})
    photos = add_photos(session, labels)
    rows = (
        (image, product, label, vector) for (image, product), label, vector in zip(photos, labels, vectors, strict=True)
    )
    assert put_vectors(session, space, rows, PROJECT) == len(labels)
    return space, photos


class TestPgNeighboursThroughTheIndex(NeighboursContract):
    @pytest.fixture
    def make(self, session: Session) -> Make:
        def build(vectors: Float32, labels: Sequence[str]) -> Neighbours:
            return PgNeighbours(session.connection(), remember(session, vectors, labels)[0], PROJECT)

        return build


class TestPgNeighboursExactly(NeighboursContract):
    @pytest.fixture
    def make(self, session: Session) -> Make:
        def build(vectors: Float32, labels: Sequence[str]) -> Neighbours:
            space = remember(session, vectors, labels)[0]
            return PgNeighbours(session.connection(), space, PROJECT, exact=True)

        return build


@dataclass(frozen=True)
class Large:
    """5,000 photos of 1,000 labels, in the database and in arrays, and 150 queries near some of them."""

    vectors: Float32
    labels: list[str]
    queries: Float32
    approximate: PgNeighbours
    exact: PgNeighbours
    reference: ExactNeighbours


@pytest.fixture(scope="module")
def large(database_url: str) -> Iterator[Large]:
    rng = np.random.default_rng(11)
    vectors, labels = clustered(rng, labels=1000, photos=5)
    picked = vectors[rng.choice(len(vectors), size=150, replace=False)]
    queries = unit(picked + 0.004 * rng.gamma(0.5, size=picked.shape))
    with new_database(database_url) as url:
        engine = make_engine(url)
        upgrade(engine)
        with transaction(engine) as session:
            space, _ = remember(session, vectors, labels)
            session.execute(text("ANALYZE reference_vectors"))
        with engine.connect() as connection:
            # At this size the planner rightly prefers to read and sort everything; the index is what is tested here.
            connection.execute(text("SET enable_sort = off"))
            yield Large(
                vectors,
                labels,
                queries,
                PgNeighbours(connection, space, PROJECT),
                PgNeighbours(engine, space, PROJECT, exact=True),
                ExactNeighbours(vectors, labels),
            )
        engine.dispose()


def recall(found: list[list[tuple[str, float]]], truth: list[list[tuple[str, float]]]) -> float:
    """Share of the true labels that were found."""
    hits = [len({name for name, _ in a} & {name for name, _ in b}) for a, b in zip(found, truth, strict=True)]
    return sum(hits) / sum(len(labels) for labels in truth)


def test_exact_mode_names_what_the_arrays_name(large: Large) -> None:
    queries = large.queries[:8]
    for query, pg, arrays in zip(queries, large.exact.nearest(queries), large.reference.nearest(queries), strict=True):
        truth = brute_force(large.vectors, large.labels, query)
        assert_right(pg, truth, 5)
        assert_right(arrays, truth, 5)


def test_the_index_finds_98_of_100_labels(large: Large) -> None:
    assert recall(large.approximate.nearest(large.queries), large.reference.nearest(large.queries)) >= 0.98


@pytest.mark.parametrize("size", [3, 30, 300])
def test_a_filter_narrow_or_wide_costs_no_labels(large: Large, size: int) -> None:
    chosen = np.random.default_rng(size).choice(sorted(set(large.labels)), size=size, replace=False)
    within, queries = frozenset(map(str, chosen)), large.queries[:40]
    found = large.approximate.nearest(queries, 5, within)
    assert all(name in within for labels in found for name, _ in labels)
    assert all(len(labels) == min(5, size) for labels in found)
    assert recall(found, large.reference.nearest(queries, 5, within)) >= 0.98


def test_the_statement_can_be_answered_by_the_index_of_one_partition(large: Large) -> None:
    given = {"space_id": large.approximate.space_id, "k": 5, "labels": None, "count": 200}
    query = {name: "[" + ",".join(map(str, row)) + "]" for name, row in (
        ("query", large.queries[0]), ("shadow", PROJECT(large.queries[:1])[0])
    )}  # fmt: skip
    statement = neighbours._THROUGH_INDEX.replace("WITH near", "EXPLAIN WITH near")
    assert isinstance(large.approximate.bind, Connection)
    plan = "\n".join(large.approximate.bind.exec_driver_sql(statement, {**given, **query}).scalars())
    assert f"reference_vectors_s{given['space_id']}_projected on reference_vectors_s" in plan


def test_a_new_photo_counts_at_once_and_a_deleted_one_no_more(session: Session) -> None:
    vectors, labels = clustered(np.random.default_rng(5), labels=8, photos=2)
    space, photos = remember(session, vectors[:-2], labels[:-2])
    memory = PgNeighbours(session.connection(), space, PROJECT)
    query, newcomer = vectors[-1:], labels[-1]
    assert newcomer not in {label for label, _ in memory.nearest(query)[0]}
    [(image, product)] = add_photos(session, [newcomer])
    put_vectors(session, space, [(image, product, newcomer, vectors[-2])], PROJECT)
    assert memory.nearest(query)[0][0][0] == newcomer
    assert newcomer in known_labels(session, space)
    session.execute(delete(Image).where(Image.id == image))
    assert newcomer not in {label for label, _ in memory.nearest(query, 8)[0]}
    session.execute(delete(Product).where(Product.id == photos[0][1]))
    assert len(session.scalars(select(ReferenceVector.image_id)).all()) == len(photos) - 1


def test_a_memory_known_to_be_small_is_compared_exactly_until_it_has_grown(session: Session) -> None:
    vectors, labels = clustered(np.random.default_rng(8), labels=30, photos=8)
    few = 40
    space, _ = remember(session, vectors[:few], labels[:few])
    memory = PgNeighbours(session.connection(), space, PROJECT)
    through_index: list[bool] = []

    def asked(query: Float32, known: int) -> list[bool]:
        through_index.clear()
        truth = brute_force(vectors[:known], labels[:known], query)
        assert_right(memory.nearest(query[None])[0], truth, 5)
        return list(through_index)

    def note(_: object, __: object, statement: str, *___: object) -> None:
        through_index.append("hnsw" in statement)

    event.listen(session.connection(), "before_cursor_execute", note)
    assert asked(vectors[0], few) == [True, False]  # the index had no more to give
    assert asked(vectors[1], few) == [False]
    narrow = frozenset(labels[:3])
    assert {label for label, _ in memory.nearest(vectors[:1], 5, narrow)[0]} == narrow
    further = [
        (*place, label, vector)
        for place, label, vector in zip(add_photos(session, labels[few:]), labels[few:], vectors[few:], strict=True)
    ]
    put_vectors(session, space, further, PROJECT)
    assert len(vectors) > neighbours.NEAREST
    assert asked(vectors[200], len(vectors))[:2] == [False, True]
    assert asked(vectors[3], len(vectors))[0] is True


def test_from_an_engine_it_sees_what_was_committed(engine: Engine, session: Session) -> None:
    vectors, labels = clustered(np.random.default_rng(6), labels=2, photos=1)
    space, _ = remember(session, vectors, labels)
    assert PgNeighbours(session.connection(), space, PROJECT).nearest(vectors) != [[], []]
    assert PgNeighbours(engine, space, PROJECT).nearest(vectors) == [[], []]


def test_spaces_do_not_see_each_other(session: Session) -> None:
    vectors, _ = clustered(np.random.default_rng(9), labels=4, photos=1)
    left, _ = remember(session, vectors[:2], ["a", "b"])
    right, _ = remember(session, vectors[2:], ["c", "d"])
    for space, own in ((left, {"a", "b"}), (right, {"c", "d"})):
        assert {name for name, _ in PgNeighbours(session.connection(), space, PROJECT).nearest(vectors)[0]} == own
        assert known_labels(session, space) == own


def test_writing_again_replaces_and_other_shapes_are_refused(session: Session) -> None:
    vectors, labels = clustered(np.random.default_rng(4), labels=3, photos=1)
    space, [first, *_] = remember(session, vectors, labels)
    put_vectors(session, space, [(*first, labels[0], vectors[1])], PROJECT)
    raw = session.scalars(select(ReferenceVector.raw).where(ReferenceVector.image_id == first[0])).one()
    assert np.array_equal(np.asarray(raw, np.float32), vectors[1])
    assert put_vectors(session, space, [], PROJECT) == 0
    for wrong in (vectors[0][:100], np.full_like(vectors[0], np.nan)):
        with pytest.raises(UsageError):
            put_vectors(session, space, [(*first, labels[0], wrong)], PROJECT)
    with pytest.raises(UsageError, match="projection"):
        put_vectors(session, space, [(*first, labels[0], vectors[0])], lambda rows: rows)


def test_vectors_follow_a_product_into_another_group(session: Session) -> None:
    vectors, labels = clustered(np.random.default_rng(3), labels=2, photos=1)
    space, photos = remember(session, vectors, labels)
    session.execute(update(Product).where(Product.id == photos[0][1]).values(group="renamed"))
    assert relabel(session, [product for _, product in photos]) == 1
    assert known_labels(session, space) == {"renamed", labels[1]}


def test_a_look_is_the_unit_mean_of_the_photos_and_goes_with_the_last(session: Session) -> None:
    vectors, _ = clustered(np.random.default_rng(2), labels=1, photos=3)
    space, [(image, product), *_] = remember(session, vectors[:1], ["a"])
    more = session.scalars(
        text(
            "INSERT INTO images (product_id, content_hash, token, position, source_name, format, width, "
            "height, size_bytes) SELECT :product, n::text, gen_random_uuid()::text, n, '', 'png', 9, 9, 9 "
            "FROM generate_series(1, 2) n RETURNING id"
        ),
        {"product": product},
    ).all()
    rows = [(number, product, "a", vector) for number, vector in zip(more, vectors[1:], strict=True)]
    put_vectors(session, space, rows, PROJECT)
    refresh_looks(session, space, [product])
    look = session.scalars(select(ProductLook.look).where(ProductLook.product_id == product)).one()
    assert np.asarray(look, np.float32) == pytest.approx(unit(PROJECT(vectors).mean(axis=0)[None, :])[0], abs=2e-3)
    session.execute(delete(Image).where(Image.id.in_([image, *more])))
    refresh_looks(session, space, [product])
    assert session.scalars(select(ProductLook.product_id)).all() == []
