"""The k-NN memory's second part, reviewed photos: searched together with the first, and gone with query or product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine, delete, inspect, select, text, update
from sqlalchemy.orm import Session

from app.store.answers import first_photo_at
from app.store.database import check, downgrade, transaction, upgrade
from app.store.neighbours import PgNeighbours, known_labels, put_reviewed_vectors, put_vectors, refresh_looks, relabel
from app.store.review_tables import ReviewedPhoto, ReviewedVector, ReviewItem
from app.store.spaces import drop_space, ensure_space, reviewed_table
from app.store.tables import Image, Product, ProductLook, Query
from models.backbone.projection import Projection
from models.classifiers.exact import ExactNeighbours
from models.values import Float32, Neighbours
from tests.app.store.world import add_photos
from tests.contracts.neighbours import Make, NeighboursContract, clustered

PROJECT = Projection.random_orthogonal().apply


def add_reviewed(session: Session, product_ids: Sequence[int]) -> list[int]:
    """An accepted photo of each product, with a query of its own; their ids."""
    made = []
    for product_id in product_ids:
        query = Query(id=uuid4(), model_version="v1", verdict="known", calibrated=True, candidates=[])
        session.add(query)
        session.flush()
        item = ReviewItem(
            query_id=query.id,
            state="undecided",
            outcome="none_of_these",
            photo_hash=query.id.hex * 2,
            findings=[],
        )
        session.add(item)
        session.flush()
        photo = ReviewedPhoto(query_id=query.id, product_id=product_id, content_hash=item.photo_hash)
        session.add(photo)
        session.flush()
        made.append(photo.id)
    return made


def split_memory(session: Session, vectors: Float32, labels: Sequence[str]) -> tuple[int, list[int]]:
    """A new space whose even photos are the catalogue's and whose odd ones are reviewed; ids of the products."""
    space = ensure_space(session, f"space {uuid4()}", {})
    photos = add_photos(session, labels)
    reviewed = add_reviewed(session, [product for _, product in photos[1::2]])
    own = [
        (image, product, label, vector) for (image, product), label, vector in zip(photos, labels, vectors, strict=True)
    ]
    odd = [
        (number, product, label, vector)
        for number, (_, product, label, vector) in zip(reviewed, own[1::2], strict=True)
    ]
    assert put_vectors(session, space, own[::2], PROJECT) == len(own[::2])
    assert put_reviewed_vectors(session, space, odd, PROJECT) == len(odd)
    return space, [product for _, product in photos]


@pytest.fixture(params=[False, True], ids=["through the index", "exactly"])
def exact(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class TestBothPartsTogether(NeighboursContract):
    @pytest.fixture
    def make(self, session: Session, exact: bool) -> Make:
        def build(vectors: Float32, labels: Sequence[str]) -> Neighbours:
            space, _ = split_memory(session, vectors, labels)
            return PgNeighbours(session.connection(), space, PROJECT, exact=exact)

        return build


@pytest.fixture
def large(session: Session) -> Iterator[tuple[int, Float32, list[str], Float32]]:
    """A space with 1,200 photos of 300 labels in both parts, and queries near some of them."""
    vectors, labels = clustered(np.random.default_rng(1), labels=300, photos=4)
    space, _ = split_memory(session, vectors, labels)
    near = vectors[::40] + np.random.default_rng(2).normal(0, 0.004, vectors[::40].shape).astype(np.float32)
    yield space, vectors, list(labels), near / np.linalg.norm(near, axis=1, keepdims=True)


def test_the_nearest_of_both_parts_are_found_through_the_indexes(
    session: Session, large: tuple[int, Float32, list[str], Float32]
) -> None:
    space, vectors, labels, queries = large
    found = PgNeighbours(session.connection(), space, PROJECT).nearest(queries)
    expected = ExactNeighbours(vectors, labels).nearest(queries)
    hits = [len({n for n, _ in a} & {n for n, _ in b}) for a, b in zip(found, expected, strict=True)]
    assert sum(hits) / (5 * len(queries)) >= 0.98


def test_deleting_the_query_the_product_or_the_acceptance_takes_the_vector_at_once(session: Session) -> None:
    vectors, labels = clustered(np.random.default_rng(3), labels=6, photos=1)
    space, products = split_memory(session, vectors, labels)
    memory = PgNeighbours(session.connection(), space, PROJECT)

    def named() -> set[str]:
        return {label for label, _ in memory.nearest(vectors[:1], 6)[0]}

    assert named() == set(labels)
    photos = session.scalars(select(ReviewedPhoto).order_by(ReviewedPhoto.id)).all()
    session.execute(delete(Query).where(Query.id == photos[0].query_id))
    assert named() == set(labels) - {labels[1]}
    session.execute(delete(Product).where(Product.id == products[3]))
    assert named() == set(labels) - {labels[1], labels[3]}
    session.execute(delete(ReviewedPhoto).where(ReviewedPhoto.id == photos[2].id))
    assert named() == {labels[0], labels[2], labels[4]} == known_labels(session, space)
    assert session.scalars(select(ReviewedVector.reviewed_id)).all() == []


def test_a_vector_that_comes_late_for_a_photo_that_is_gone_is_dropped(session: Session) -> None:
    vectors, labels = clustered(np.random.default_rng(4), labels=2, photos=1)
    space, products = split_memory(session, vectors, labels)
    photo = session.scalars(select(ReviewedPhoto)).one()
    session.execute(update(Product).where(Product.id == products[1]).values(group="renamed"))
    assert put_reviewed_vectors(session, space, [(photo.id, products[1], labels[1], vectors[1])], PROJECT) == 1
    assert session.scalar(select(ReviewedVector.label)) == "renamed", "the label of now"
    session.execute(delete(Query).where(Query.id == photo.query_id))
    assert put_reviewed_vectors(session, space, [(photo.id, products[1], labels[1], vectors[1])], PROJECT) == 0


def test_labels_follow_a_product_and_looks_are_the_catalogues_alone(session: Session) -> None:
    vectors, labels = clustered(np.random.default_rng(5), labels=2, photos=1)
    space, products = split_memory(session, vectors, labels)
    assert set(first_photo_at(session, labels, space)) == set(labels)
    session.execute(update(Product).where(Product.id == products[1]).values(group="renamed"))
    assert relabel(session, products) == 1
    assert known_labels(session, space) == {labels[0], "renamed"}
    refresh_looks(session, space, products)
    assert session.scalars(select(ProductLook.product_id)).all() == [products[0]]
    session.execute(delete(Image))
    assert set(first_photo_at(session, [labels[0], "renamed"], space)) == {"renamed"}


def test_a_space_that_was_there_before_gets_its_partition_from_the_migration(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0004")
    with transaction(empty_engine) as session:
        session.execute(text("INSERT INTO spaces (identifier, description) VALUES ('old', '{}')"))
        space = session.execute(text("SELECT id FROM spaces")).scalar_one()
        session.execute(
            text(f"CREATE TABLE reference_vectors_s{space} PARTITION OF reference_vectors FOR VALUES IN ({space})")
        )
        add_photos(session, ["milk", "bread"])
    upgrade(empty_engine)
    assert check(empty_engine).ok
    vectors, _ = clustered(np.random.default_rng(6), labels=1, photos=1)
    with transaction(empty_engine) as session:
        indexes = inspect(session.connection()).get_indexes(reviewed_table(space))
        assert f"{reviewed_table(space)}_projected" in {index["name"] for index in indexes}
        product = session.scalars(select(Product.id).where(Product.label == "milk")).one()
        [photo] = add_reviewed(session, [product])
        put_reviewed_vectors(session, space, [(photo, product, "milk", vectors[0])], PROJECT)
    assert PgNeighbours(empty_engine, space, PROJECT).nearest(vectors)[0][0][0] == "milk"
    downgrade(empty_engine, "0004")
    upgrade(empty_engine)
    assert check(empty_engine).ok
    with transaction(empty_engine) as session:
        drop_space(session, space)
    assert reviewed_table(space) not in inspect(empty_engine).get_table_names()
