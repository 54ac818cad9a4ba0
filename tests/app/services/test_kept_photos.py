"""Kept photos whose searches never came to be, and photos of the catalogue that a shopper has kept and forgotten."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from app.services.catalogue import importing, live_photos
from app.services.catalogue.importing import import_catalogue
from app.services.forgetting import Removed
from app.services.retention import Retention
from app.store import history
from app.store.media import MediaStore, content_hash
from tests.app.api.admin_world import post_photos
from tests.app.api.review_world import CAP, ReviewWorld, ask, codes, decide_many, picked, review_world, show


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[ReviewWorld]:
    with review_world(tmp_path_factory.mktemp("kept-home"), database_url) as made:
        yield made


@pytest.fixture
def world(shared: ReviewWorld) -> ReviewWorld:
    """The shop without a query."""
    with shared.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM queries")
        connection.exec_driver_sql("DELETE FROM kept_photos")
    return shared


@pytest.fixture
def shopper(world: ReviewWorld) -> FlaskClient:
    return world.shopper(world.application())


def retention(world: ReviewWorld) -> Retention:
    return Retention(world.engine, world.media, query_days=90, reviewed_photo_days=730, job_days=365)


def age_kept(world: ReviewWorld, hours: int) -> None:
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE kept_photos SET kept_at = kept_at - make_interval(hours => :hours)"), {"hours": hours}
        )


def fail_to_keep(world: ReviewWorld, shopper: FlaskClient, photo: bytes, patch: pytest.MonkeyPatch) -> None:
    """A search whose row never comes to be, although its photo has been written."""

    def away(*_: Any) -> None:
        raise RuntimeError("the database has died")

    with patch.context() as patched:
        patched.setattr(history, "add_query", away)
        data = {"photo": (BytesIO(photo), "a.jpg"), "keep_photo": "true"}
        assert shopper.post("/v1/search", data=data).status_code == 500
    assert world.media.exists(content_hash(photo))


def test_a_photo_whose_search_never_came_to_be_goes_after_a_day(
    world: ReviewWorld, shopper: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost, kept = world.photo(CAP), world.photo(CAP)
    fail_to_keep(world, shopper, lost, monkeypatch)
    ask(shopper, kept)
    torn = world.home / "media" / content_hash(lost)[:2] / content_hash(lost) / ".original.abc"
    torn.write_bytes(b"half")
    os.utime(torn, (time.time() - 90_000,) * 2)
    age_kept(world, 23)
    assert retention(world).apply() == Removed()
    assert world.media.exists(content_hash(lost))
    age_kept(world, 2)
    with caplog.at_level("INFO", logger="app.services.retention"):
        assert retention(world).apply() == Removed(stray_photos=1)
    assert "1 stray photos" in caplog.text
    assert not torn.parent.exists()
    assert world.media.exists(content_hash(kept))
    assert world.count("kept_photos") == 1
    assert retention(world).apply() == Removed()


def test_a_stray_that_the_catalogue_or_a_later_search_has_stays(
    world: ReviewWorld, shopper: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, again = world.shop.photos["cap"], world.photo(CAP)
    fail_to_keep(world, shopper, own, monkeypatch)
    fail_to_keep(world, shopper, again, monkeypatch)
    age_kept(world, 48)
    ask(shopper, again)
    assert retention(world).apply() == Removed()
    assert world.media.exists(content_hash(own)) and world.media.exists(content_hash(again))


def test_a_stray_that_cannot_be_deleted_keeps_no_other_from_going(
    world: ReviewWorld, shopper: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.retention.BATCH", 1)
    photos = sorted((world.photo(CAP) for _ in range(3)), key=content_hash)
    for photo in photos:
        fail_to_keep(world, shopper, photo, monkeypatch)
    age_kept(world, 48)
    deleted = MediaStore.delete

    def delete(self: MediaStore, name: str) -> None:
        if name == content_hash(photos[1]):
            raise OSError("the image store does not answer")
        deleted(self, name)

    with monkeypatch.context() as patched:
        patched.setattr(MediaStore, "delete", delete)
        assert retention(world).apply() == Removed(stray_photos=2)
    assert retention(world).apply() == Removed(stray_photos=1)


def test_a_forgotten_photo_that_an_import_found_in_place_is_stored_again(
    world: ReviewWorld, shopper: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when it was decoded; the shopper takes it back before the import has written its rows."""
    photo = world.photo((90, 200, 200))
    query_id = ask(shopper, photo)
    (tmp_path / "products.csv").write_text("sku,name\nbowl,Bowl\n")
    (tmp_path / "images" / "bowl").mkdir(parents=True)
    (tmp_path / "images" / "bowl" / "1.jpg").write_bytes(photo)
    written = importing.write_products

    def forgotten_meanwhile(*arguments: Any) -> Any:
        if world.media.exists(content_hash(photo)):
            assert shopper.delete(f"/v1/queries/{query_id}").status_code == 204
            assert not world.media.exists(content_hash(photo))
        return written(*arguments)

    monkeypatch.setattr(importing, "write_products", forgotten_meanwhile)
    report = import_catalogue(world.engine, world.media, tmp_path)
    assert (report.applied, report.images_added) == (True, 1)
    assert world.media.exists(content_hash(photo))


def test_a_forgotten_photo_that_an_administrator_adds_is_stored_again(
    world: ReviewWorld, shopper: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = world.photo((200, 90, 200))
    query_id = ask(shopper, photo)
    owned = live_photos.own_product

    def forgotten_meanwhile(*arguments: Any) -> Any:
        assert shopper.delete(f"/v1/queries/{query_id}").status_code == 204
        assert not world.media.exists(content_hash(photo))
        return owned(*arguments)

    monkeypatch.setattr(live_photos, "own_product", forgotten_meanwhile)
    assert post_photos(world.admin(world.application()), "cap", photo).status_code == 201
    assert world.media.exists(content_hash(photo))


def test_a_search_for_a_part_of_a_photo_is_flagged_and_no_bulk_acceptance_takes_it(
    world: ReviewWorld, shopper: FlaskClient
) -> None:
    admin = world.admin(world.application())
    whole = picked(shopper, world.photo(CAP), "cap")
    parts = [picked(shopper, world.photo(CAP), "cap", crop="0.1,0.1,0.8,0.8") for _ in range(4)]
    none = picked(shopper, world.photo(CAP), None, crop="0.1,0.1,0.8,0.8")
    [flag] = [flag for flag in show(admin, parts[0])["flags"] if flag["code"] == "cropped"]
    assert flag["reason"].startswith("the shopper searched with a part of the photo")
    assert "cropped" in codes(show(admin, none))
    found = codes(show(admin, whole))
    assert "cropped" not in found and "installation_doubtful" not in found, "a crop makes nobody doubtful"
    listed = admin.get("/v1/admin/review", query_string={"flag": "cropped"}).json["items"]
    assert {item["id"] for item in listed} == {*parts, none}
    assert decide_many(admin, "accept", parts[0]) == {parts[0]: "review_flagged"}
