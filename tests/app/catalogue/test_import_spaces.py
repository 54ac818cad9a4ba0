"""What an import means for spaces: added photos are noted for every live one, removed ones change its looks at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select

from app.store import outbox
from app.store.database import make_engine, transaction, upgrade
from app.store.outbox_table import OutboxPhoto
from app.store.spaces import ensure_space
from app.store.tables import Image, Product, ProductLook
from app.store.vectors import put_vectors, refresh_looks
from models.backbone.projection import Projection
from models.values import BOTTLENECK_SIZE
from tests.app.catalogue.conftest import GREEN, HEADER, RED, photo, write_folder
from tests.app.catalogue.test_importing import Run
from tests.app.store.world import new_database

TABLE = f"{HEADER}\nm1,Milk,,,,,,,,\nb1,Bread,,,,,,,,\n"
FIRST, SECOND = photo(RED, 1), photo(RED, 2)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """A database of each test's own: making a space makes tables."""
    with new_database(database_url) as url:
        engine = make_engine(url)
        upgrade(engine)
        yield engine
        engine.dispose()


def lacked(engine: Engine, space_id: int) -> list[str]:
    """Skus of the photos that a space lacks."""
    with transaction(engine) as session:
        wanted = (
            select(Product.sku)
            .join(Image, Image.product_id == Product.id)
            .join(OutboxPhoto, OutboxPhoto.image_id == Image.id)
            .where(OutboxPhoto.space_id == space_id)
            .order_by(Product.sku)
        )
        return list(session.scalars(wanted))


def give_each_a_vector_of_its_own(engine: Engine, space_id: int) -> None:
    project = Projection.random_orthogonal().apply
    with transaction(engine) as session:
        waiting = outbox.waiting_photos(session, space_id, 0, 10)
        vectors = np.eye(len(waiting), BOTTLENECK_SIZE, dtype=np.float32)
        rows = [(w.image_id or 0, w.product_id, w.label, v) for w, v in zip(waiting, vectors, strict=True)]
        put_vectors(session, space_id, rows, project)
        refresh_looks(session, space_id, [w.product_id for w in waiting])


def look(engine: Engine, space_id: int, sku: str) -> list[float] | None:
    with transaction(engine) as session:
        found: list[float] | None = session.scalar(
            select(ProductLook.look)
            .join(Product, Product.id == ProductLook.product_id)
            .where(Product.sku == sku, ProductLook.space_id == space_id)
        )
        return found


def test_photos_are_noted_for_every_live_space(run_import: Run, database: Engine, tmp_path: Path) -> None:
    with transaction(database) as session:
        one, two, unused = (ensure_space(session, name, {}) for name in ("one", "two", "unused"))
    for space in (one, two):
        outbox.keep_complete(database, space)
    run_import(write_folder(tmp_path / "a", TABLE, {"m1/1.jpg": FIRST, "m1/2.jpg": SECOND, "b1/a.jpg": photo(GREEN)}))
    assert lacked(database, one) == lacked(database, two) == ["b1", "m1", "m1"]
    assert lacked(database, unused) == []
    give_each_a_vector_of_its_own(database, one)
    assert lacked(database, one) == []
    run_import(tmp_path / "a")
    assert (lacked(database, one), lacked(database, two)) == ([], ["b1", "m1", "m1"])


def test_a_removed_photo_leaves_every_space_and_changes_its_looks(
    run_import: Run, database: Engine, tmp_path: Path
) -> None:
    with transaction(database) as session:
        spaces = [ensure_space(session, name, {}) for name in ("one", "two")]
    for space in spaces:
        outbox.keep_complete(database, space)
    folder = write_folder(tmp_path / "a", TABLE, {"m1/1.jpg": FIRST, "m1/2.jpg": SECOND, "b1/a.jpg": photo(GREEN)})
    run_import(folder)
    for space in spaces:
        give_each_a_vector_of_its_own(database, space)
    before = [look(database, space, "m1") for space in spaces]
    (folder / "images" / "m1" / "2.jpg").unlink()
    (folder / "images" / "b1" / "a.jpg").unlink()
    report = run_import(folder)
    assert report.images_removed == 2
    for space, former in zip(spaces, before, strict=True):
        now = look(database, space, "m1")
        assert now is not None and not np.allclose(now, former)
        assert look(database, space, "b1") is None
