"""Rows for tests of the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import URL, make_url, text
from sqlalchemy.orm import Session

from app.store.database import make_engine


def add_photos(session: Session, labels: Sequence[str]) -> list[tuple[int, int]]:
    """A product of the group ``labels[i]`` with one photo, for each i: (image id, product id)."""
    made = session.execute(
        text(
            """
            WITH wanted AS (
                SELECT label, place, gen_random_uuid()::text AS token
                FROM unnest(CAST(:labels AS text[])) WITH ORDINALITY AS given (label, place)
            ), added AS (
                INSERT INTO products (sku, group_name) SELECT token, label FROM wanted RETURNING id, sku
            ), photos AS (
                INSERT INTO images (product_id, content_hash, token, position, source_name, format,
                                    width, height, size_bytes)
                SELECT id, md5(sku) || md5(sku), sku, 0, 'photo.jpg', 'jpeg', 299, 299, 1 FROM added
                RETURNING id, product_id, token
            )
            SELECT photos.id, photos.product_id FROM photos JOIN wanted USING (token) ORDER BY wanted.place
            """
        ),
        {"labels": list(labels)},
    )
    return [(image_id, product_id) for image_id, product_id in made]


@contextmanager
def new_database(database_url: str) -> Iterator[URL]:
    """URL of a new, empty database on the same server; dropped at the end."""
    name = f"test_{uuid4().hex}"
    admin = make_engine(make_url(database_url)).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(database_url).set(database=name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()
