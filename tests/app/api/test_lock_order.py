"""Nobody who changes the catalogue and nobody who publishes waits for the other in a circle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, delete, func, select, text, update

from app.jobs.training import predict_types
from app.services.catalogue.importing import import_catalogue
from app.services.catalogue.locking import own_product
from app.store import outbox, review
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.outbox_table import OutboxPhoto
from app.store.spaces import ensure_space
from app.store.tables import Image, Product
from models.training.data import TrainingPhotos
from models.values import BOTTLENECK_SIZE
from tests.app.api.admin_world import TwoProcesses, post_photos, put, scene, two_processes
from tests.app.store.world import add_photos

NOTHING = TrainingPhotos(
    (), (), np.empty((0, BOTTLENECK_SIZE), np.float32), np.empty((0, 0, BOTTLENECK_SIZE), np.float32)
)
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[TwoProcesses]:
    with two_processes(tmp_path_factory.mktemp("locks-home"), database_url) as made:
        yield made


def publish_while(engine: Engine, other: Callable[[], Any]) -> Any:
    """Publish as a training does: hold the outbox, and change products' rows once somebody waits; what he came to."""
    with transaction(engine) as session:
        session.execute(update(Product).values(predicted_type="box"))
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as session:
            outbox.own_outbox(session)
            waiting = pool.submit(other)
            _until_somebody_waits(engine, waiting)
            predict_types(session, None, NOTHING, [])
        return waiting.result(PATIENCE_S)


def _until_somebody_waits(engine: Engine, other: Future[Any]) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    deadline = time.monotonic() + PATIENCE_S
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(waiting):
            assert not other.done(), f"did not wait: {other.result()}"
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_adding_a_photo_while_a_model_is_published(world: TwoProcesses) -> None:
    answer = publish_while(world.engine, lambda: post_photos(world.first.admin, "cap", scene(11)))
    assert answer.status_code == 201, answer.text


def test_changing_a_product_while_a_model_is_published(world: TwoProcesses) -> None:
    etag = world.first.admin.get("/v1/admin/products/shoe").headers["ETag"]
    answer = publish_while(world.engine, lambda: put(world.first.admin, "shoe", {"name": "Boot"}, if_match=etag))
    assert answer.status_code == 200, answer.text


def test_importing_while_a_model_is_published(world: TwoProcesses, tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("sku,name\nmilk-1,Milk\nmilk-2,More milk\nyoghurt,Sour milk\n")
    media = MediaStore(world.home / "media")
    report = publish_while(world.engine, lambda: import_catalogue(world.engine, media, tmp_path))
    assert (report.applied, report.changed) == (True, 3)


def test_accepting_a_photo_holds_no_row_while_it_waits_for_the_outbox(world: TwoProcesses) -> None:
    def accept() -> int:
        with transaction(world.engine) as session:
            product = review.product_to_keep(session, "cap")
            assert product is not None
            return product.id

    with ThreadPoolExecutor(1) as pool:
        with transaction(world.engine) as session:
            outbox.own_outbox(session)
            waiting = pool.submit(accept)
            _until_somebody_waits(world.engine, waiting)
            # Whoever has this row, and his share of the outbox, must not be kept waiting by one who lacks his.
            session.execute(select(Product.id).where(Product.sku == "cap").with_for_update(nowait=True))
        assert waiting.result(PATIENCE_S)


def test_noting_what_a_space_lacks_passes_over_what_is_being_deleted(world: TwoProcesses) -> None:
    """Deletes one photo, then another, as an import does; in between a space is noted, the second photo first."""
    with transaction(world.engine) as session:
        space = ensure_space(session, "prepared", {"weights": "x"})
        photos = add_photos(session, ["one", "two"])
    deleting, noted = threading.Event(), threading.Event()

    def delete_both() -> None:
        with transaction(world.engine) as session:
            session.execute(delete(Image).where(Image.id == photos[1][0]))
            deleting.set()
            assert noted.wait(PATIENCE_S)
            session.execute(delete(Image).where(Image.id == photos[0][0]))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(delete_both)
        assert deleting.wait(PATIENCE_S)
        with transaction(world.engine) as session:
            outbox.note_lacking(session, space)
            mine = select(OutboxPhoto.image_id).where(OutboxPhoto.space_id == space)
            assert photos[1][0] not in set(session.scalars(mine))
        noted.set()
        running.result(PATIENCE_S)


def test_a_photo_that_was_about_to_be_deleted_and_stays_is_noted(world: TwoProcesses) -> None:
    with transaction(world.engine) as session:
        space = ensure_space(session, "prepared too", {"weights": "x"})
        [photo] = add_photos(session, ["three"])
    deleting, leave = threading.Event(), threading.Event()

    def think_better_of_it() -> None:
        with pytest.raises(ZeroDivisionError), transaction(world.engine) as session:
            session.execute(delete(Image).where(Image.id == photo[0]))
            deleting.set()
            assert leave.wait(PATIENCE_S)
            raise ZeroDivisionError

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(think_better_of_it)
        assert deleting.wait(PATIENCE_S)
        keeping = pool.submit(outbox.keep_complete, world.engine, space)
        _until_somebody_waits(world.engine, keeping)
        leave.set()
        running.result(PATIENCE_S)
        keeping.result(PATIENCE_S)
    with transaction(world.engine) as session:
        wanted = select(func.count()).where(OutboxPhoto.space_id == space, OutboxPhoto.image_id == photo[0])
        assert session.scalar(wanted) == 1


def test_one_who_owns_a_product_keeps_a_publication_waiting(world: TwoProcesses) -> None:
    """The other order: who has the row has his share of the outbox as well."""
    with ThreadPoolExecutor(1) as pool:
        with transaction(world.engine) as session:
            product = own_product(session, "cap")
            assert product is not None
            publishing = pool.submit(_publish, world.engine)
            _until_somebody_waits(world.engine, publishing)
            outbox.record_photos(session, [product])
        publishing.result(PATIENCE_S)


def _publish(engine: Engine) -> None:
    with transaction(engine) as session:
        outbox.own_outbox(session)
        predict_types(session, None, NOTHING, [])
