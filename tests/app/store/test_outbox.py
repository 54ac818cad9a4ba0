"""What live spaces lack: recorded with the photo, gone with the vector, and in the way of a promotion."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.orm import Session

from app.errors import SpaceIncomplete, SpaceMismatch
from app.store import outbox, review
from app.store.bundles import BundleStore, Gate, NewBundle
from app.store.database import check, downgrade, transaction, upgrade
from app.store.jobs import NewJob, add_job
from app.store.outbox import Lacking
from app.store.outbox_table import OutboxPhoto
from app.store.review_tables import ReviewedPhoto, ReviewItem
from app.store.spaces import drop_space, ensure_space
from app.store.tables import Bundle, Image, Product, Space
from app.store.vectors import put_reviewed_vectors, put_vectors
from models.backbone.projection import Projection
from tests.app.store.test_reviewed_vectors import add_reviewed
from tests.app.store.world import add_photos
from tests.contracts.neighbours import clustered

PROJECT = Projection.random_orthogonal().apply
VECTOR = clustered(np.random.default_rng(8), labels=1, photos=1)[0][0]

Photos = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Shop:
    """A shop with the champion v2 of the space ``new``, after v1 of the space ``old``."""

    engine: Engine
    store: BundleStore
    old: int
    new: int

    def space(self, name: str) -> int:
        with transaction(self.engine) as session:
            return ensure_space(session, name, {"weights": name})

    def add(self, *labels: str) -> Photos:
        """Products with a photo each, as whoever adds photos does it."""
        with transaction(self.engine) as session:
            photos = add_photos(session, labels)
            outbox.record_photos(session, [product for _, product in photos])
            return photos

    def give(self, space_id: int, photos: Photos) -> None:
        with transaction(self.engine) as session:
            give(session, space_id, photos)

    def lacking(self) -> dict[int, int]:
        """Photos that each live space lacks."""
        with transaction(self.engine) as session:
            return {space_id: found.photos for space_id, found in outbox.lacking(session).items()}

    def live(self) -> frozenset[int]:
        with transaction(self.engine) as session:
            return outbox.live_spaces(session)

    def publish(self, version: str, space_id: int) -> None:
        self.store.path_for(version).mkdir(parents=True, exist_ok=True)
        with transaction(self.engine) as session:
            self.store.publish(session, version, space_id, "a" * 64, {})

    def promote(self, version: str) -> None:
        with transaction(self.engine) as session:
            self.store.promote(session, version)

    def roll_back(self) -> str:
        with transaction(self.engine) as session:
            return self.store.rollback(session).version

    def champion(self) -> str:
        with transaction(self.engine) as session:
            return session.scalars(select(Bundle.version).where(Bundle.state == "champion")).one()


def give(session: Session, space_id: int, photos: Photos) -> None:
    rows = [(image, product, "whatever it is called now", VECTOR) for image, product in photos]
    put_vectors(session, space_id, rows, PROJECT)


@pytest.fixture
def shop(own_engine: Engine, tmp_path: Path) -> Shop:
    with transaction(own_engine) as session:
        old, new = ensure_space(session, "old", {"weights": "a"}), ensure_space(session, "new", {"weights": "b"})
    made = Shop(own_engine, BundleStore(tmp_path), old, new)
    made.publish("v1", old)
    made.publish("v2", new)
    return made


def test_a_photo_is_recorded_for_every_live_space_and_no_other(shop: Shop) -> None:
    preparing, unused, dropped = shop.space("preparing"), shop.space("unused"), shop.space("dropped")
    outbox.keep_complete(shop.engine, preparing)
    outbox.keep_complete(shop.engine, dropped)
    with transaction(shop.engine) as session:
        drop_space(session, dropped)
    assert shop.live() == {shop.old, shop.new, preparing}
    shop.add("milk", "bread")
    assert shop.lacking() == {shop.old: 2, shop.new: 2, preparing: 2}
    with transaction(shop.engine) as session:
        assert session.scalar(select(func.count()).where(OutboxPhoto.space_id == unused)) == 0


def test_vectors_take_their_records_away_and_so_does_deleting(shop: Shop) -> None:
    first, second, third = shop.add("milk", "bread", "rice")
    shop.give(shop.new, [first, second])
    assert shop.lacking() == {shop.old: 3, shop.new: 1}
    with transaction(shop.engine) as session:
        session.execute(delete(Image).where(Image.id == third[0]))
        session.execute(delete(Product).where(Product.id == second[1]))
    assert shop.lacking() == {shop.old: 1}
    shop.give(shop.old, [first])
    assert shop.lacking() == {}


def test_recording_twice_changes_nothing_and_a_rollback_takes_the_record_back(shop: Shop) -> None:
    [photo] = shop.add("milk")
    with pytest.raises(ZeroDivisionError), transaction(shop.engine) as session:
        outbox.record_photos(session, [product for _, product in add_photos(session, ["bread"])])
        raise ZeroDivisionError
    with transaction(shop.engine) as session:
        outbox.record_photos(session, [photo[1]])
        outbox.note_lacking(session, shop.new)
    assert shop.lacking() == {shop.old: 1, shop.new: 1}


def test_a_space_that_is_prepared_is_noted_with_all_that_it_lacks(shop: Shop) -> None:
    photos = shop.add("milk", "bread", "rice")
    space = shop.space("preparing")
    shop.give(space, photos[:1])
    with transaction(shop.engine) as session:
        [reviewed] = add_reviewed(session, [photos[0][1]])
    for _ in range(2):
        outbox.keep_complete(shop.engine, space)
        assert shop.lacking()[space] == 3
    with transaction(shop.engine) as session:
        waiting = outbox.waiting_photos(session, space, 0, 10)
        assert {photo.image_id for photo in waiting} == {photos[1][0], photos[2][0], None}
        put_reviewed_vectors(session, space, [(reviewed, photos[0][1], "milk", VECTOR)], PROJECT)
    assert shop.lacking()[space] == 2


def test_another_space_takes_over_only_when_it_lacks_nothing(shop: Shop) -> None:
    photos = shop.add("milk", "bread")
    shop.give(shop.new, photos)
    with pytest.raises(SpaceIncomplete, match=r"space old of model v1 lacks 2 photos.*spaces fill old"):
        shop.promote("v1")
    with pytest.raises(SpaceIncomplete, match="lacks 2 photos"):
        shop.roll_back()
    assert shop.champion() == "v2"
    shop.give(shop.old, photos[:1])
    with pytest.raises(SpaceIncomplete, match="lacks 1 photos"):
        shop.roll_back()
    shop.give(shop.old, photos[1:])
    assert shop.roll_back() == "v1"
    # Nobody needs the other space now; what comes is not recorded for it, and it cannot take over unseen.
    assert shop.live() == {shop.old}
    shop.add("rice")
    assert shop.lacking() == {shop.old: 1}
    with pytest.raises(SpaceIncomplete, match="space new of model v2 lacks 1 photos"):
        shop.promote("v2")
    assert (shop.champion(), shop.live()) == ("v1", {shop.old})


def test_in_its_own_space_a_version_is_promoted_whatever_is_lacking(shop: Shop) -> None:
    shop.add("milk")
    shop.publish("v3", shop.new)
    assert shop.roll_back() == "v2"


def test_a_challenger_of_another_space_is_settled_by_the_same_rule(shop: Shop) -> None:
    third = shop.space("third")
    outbox.keep_complete(shop.engine, third)
    photos = shop.add("milk")
    shop.give(shop.new, photos)
    new = NewBundle("v3", third, "a" * 64, {})
    shop.store.path_for("v3").mkdir()

    def settle() -> None:
        with transaction(shop.engine) as session:
            assert shop.store.settle(session, new, Gate("promoted", "not worse", "v2")) is not None

    with pytest.raises(SpaceIncomplete, match="v3"):
        settle()
    with transaction(shop.engine) as session:
        assert session.get(Bundle, "v3") is None
    shop.give(third, photos)
    settle()
    assert shop.champion() == "v3"
    with transaction(shop.engine) as session:
        assert not session.get_one(Space, third).preparing
    assert shop.live() == {third, shop.new}


def test_a_space_that_a_rollback_makes_live_again_is_noted(shop: Shop) -> None:
    """Once v3 serves, nobody keeps account of the space of v1; once v2 does again, v1 is what a rollback serves."""
    shop.publish("v3", shop.new)
    assert shop.live() == {shop.new}
    shop.give(shop.new, shop.add("milk"))
    assert shop.roll_back() == "v2"
    assert shop.lacking() == {shop.old: 1}
    with pytest.raises(SpaceIncomplete):
        shop.roll_back()


def test_a_dropped_space_cannot_take_over(shop: Shop) -> None:
    assert shop.roll_back() == "v1"
    with transaction(shop.engine) as session:
        drop_space(session, shop.new)
    with pytest.raises(SpaceMismatch, match=r"space new of model v2 was dropped.*PICKTURE_WEIGHTS"):
        shop.promote("v2")
    shop.add("milk")
    assert shop.lacking() == {shop.old: 1}


def test_a_promotion_waits_for_photos_that_are_being_added(shop: Shop) -> None:
    """Without the wait it would see an empty outbox, and the photo would be missing in the space that serves."""
    added, commit = threading.Event(), threading.Event()

    def add() -> None:
        with transaction(shop.engine) as session:
            photos = add_photos(session, ["milk"])
            outbox.record_photos(session, [photos[0][1]])
            give(session, shop.new, photos)
            added.set()
            assert commit.wait(20)

    with ThreadPoolExecutor(2) as pool:
        adding = pool.submit(add)
        assert added.wait(20)
        rolling = pool.submit(shop.roll_back)
        assert not _ends_soon(rolling)
        commit.set()
        adding.result(20)
        with pytest.raises(SpaceIncomplete, match="lacks 1 photos"):
            rolling.result(20)


def _ends_soon(future: Future[str]) -> bool:
    return bool(wait([future], timeout=0.5).done)


def test_what_could_not_be_computed_is_told_and_left_alone_for_a_while(shop: Shop) -> None:
    photos = shop.add("milk", "bread")
    shop.give(shop.new, photos)
    with transaction(shop.engine) as session:
        assert outbox.due_spaces(session) == ["old"]
        first, second = outbox.waiting_photos(session, shop.old, 0, 10)
        outbox.note_failures(session, {first.id: "the file is gone"})
        assert outbox.due_spaces(session) == ["old"]
        outbox.note_failures(session, {second.id: "the file is gone"})
        assert outbox.due_spaces(session) == []
        assert outbox.lacking(session) == {shop.old: Lacking(2, 2)}
        [(_, content_hash, reason), _] = outbox.unreadable_photos(session, shop.old, 5)
        assert (content_hash, reason) == (first.content_hash, "the file is gone")
        assert [photo.id for photo in outbox.waiting_photos(session, shop.old, 0, 10)] == [first.id, second.id]
        assert [photo.id for photo in outbox.waiting_photos(session, shop.old, first.id, 1)] == [second.id]
    with pytest.raises(SpaceIncomplete, match=r"lacks 2 photos of the catalogue \(2 of them cannot be read"):
        shop.roll_back()
    with transaction(shop.engine) as session:
        session.execute(update(OutboxPhoto).values(tried_at=func.now() - 2 * outbox.RETRY_AFTER))
        assert outbox.due_spaces(session) == ["old"]


def test_reviewed_photos_wait_for_a_training_in_the_served_space_and_for_nobody_in_others(shop: Shop) -> None:
    [photo] = shop.add("milk")
    for space in (shop.old, shop.new):
        shop.give(space, [photo])
    with transaction(shop.engine) as session:
        [reviewed] = add_reviewed(session, [photo[1]])
        outbox.record_reviewed(session, reviewed)
        assert outbox.due_spaces(session) == ["old"]
        assert outbox.waiting_photos(session, shop.new, 0, 10) == []
        [waiting] = outbox.waiting_photos(session, shop.old, 0, 10)
        assert (waiting.reviewed_id, waiting.label) == (reviewed, "milk")


def test_accepting_a_photo_in_review_records_it_and_withdrawing_takes_the_record_back(shop: Shop) -> None:
    [photo] = shop.add("milk")
    for space in (shop.old, shop.new):
        shop.give(space, [photo])
    with transaction(shop.engine) as session:
        add_reviewed(session, [photo[1]])
        item = session.scalars(select(ReviewItem)).one()
        session.execute(delete(ReviewedPhoto))
        review.accept_photo(session, item, photo[1])
    assert shop.lacking() == {shop.old: 1, shop.new: 1}
    with transaction(shop.engine) as session:
        review.withdraw_photo(session, item.query_id)
    assert shop.lacking() == {}


def test_the_revision_notes_what_live_spaces_lack_and_goes_back(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0005")
    with transaction(empty_engine) as session:
        photos = add_photos(session, ["milk", "bread"])
        space = (
            session.connection()
            .exec_driver_sql("INSERT INTO spaces (identifier, description) VALUES ('s', '{}') RETURNING id")
            .scalar_one()
        )
        connection = session.connection()
        for parent in ("reference_vectors", "reviewed_vectors", "product_looks"):
            connection.exec_driver_sql(f"CREATE TABLE {parent}_s{space} PARTITION OF {parent} FOR VALUES IN ({space})")
        connection.exec_driver_sql(
            "INSERT INTO bundles (version, space_id, state, manifest_sha256, metrics) "
            f"VALUES ('v1', {space}, 'champion', '', '{{}}')"
        )
        connection.exec_driver_sql(
            "INSERT INTO reference_vectors (space_id, image_id, product_id, label, raw, projected) SELECT "
            f"{space}, {photos[0][0]}, {photos[0][1]}, 'milk', array_fill(0.0::real, ARRAY[2048])::halfvec, "
            "array_fill(0.0::real, ARRAY[256])::halfvec"
        )
    upgrade(empty_engine)
    assert check(empty_engine).ok
    with transaction(empty_engine) as session:
        assert session.scalars(select(OutboxPhoto.image_id)).all() == [photos[1][0]]
        assert add_job(session, NewJob(uuid4(), "outbox", {}, exclusive=False)) is not None
        assert add_job(session, NewJob(uuid4(), "outbox", {}, exclusive=False)) is None
    downgrade(empty_engine, "0005")
    upgrade(empty_engine)
    assert check(empty_engine).ok
