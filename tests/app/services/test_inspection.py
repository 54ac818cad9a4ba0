"""What a version keeps for people: read from its bundle, and never what was not written there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from app.errors import ModelNotFound
from app.services.album import Album
from app.services.inspection import Inspection, confusion_page
from app.store.bundles import BundleStore
from models.errors import BundleDamaged, BundleNotFound, UsageError
from models.inspection import JUDGED_FILE, MAP_FILE, JudgedPhotos
from tests.app.api.review_world import CAP, ReviewWorld, decide, picked, review_world
from tests.app.web.admin.model_world import CHAMPION, OLD, REFUSED, Photo, publish_versions


@dataclass(frozen=True)
class World:
    """A shop with three versions, and what reads them."""

    shop: ReviewWorld
    photos: list[Photo]
    inspection: Inspection
    album: Album

    def file(self, name: str, version: str = CHAMPION) -> Path:
        return self.shop.home / "bundles" / version / name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[World]:
    """Made once; who damages a file puts it back."""
    with review_world(tmp_path_factory.mktemp("inspection") / "home", database_url) as shop:
        photos = publish_versions(shop.engine, shop.home, shop.shop.space_id)
        yield World(shop, photos, Inspection(shop.engine, BundleStore(shop.home)), Album(shop.engine))


def test_confusions_and_their_photos(world: World) -> None:
    found = world.inspection.confusions(CHAMPION, "vote", 0, 3, 4)
    assert found is not None
    first, second = world.photos[0].label, world.photos[1].label
    row = next(row for row in found.rows if row.label == first)
    assert (row.mistakes, row.photos, row.right, row.others, row.nothing) == (1, 1, 0, 0, 0)
    assert row.cells[found.columns.index(second)] == 1
    assert (found.photos, found.right, found.total) == (len(world.photos), len(world.photos) - 3, len(world.photos))
    cell = world.inspection.confused(CHAMPION, "vote", first, second, 0, 9)
    assert cell is not None and cell[0] == 1 and cell[1][0].content_hash == world.photos[0].content_hash
    nothing = world.inspection.confused(CHAMPION, "vote", world.photos[3].label, None, 0, 9)
    assert nothing is not None and nothing[1][0].named is None
    assert world.inspection.confused(CHAMPION, "vote", "no such label", None, 0, 9) == (0, [])
    with pytest.raises(UsageError):
        world.inspection.confusions(CHAMPION, "rank_sum", 0, 3, 4)


def test_versions_without_these_parts_and_versions_that_are_none(world: World) -> None:
    parts = world.inspection
    assert parts.confusions(OLD, "vote", 0, 3, 4) is parts.map(OLD) is parts.variants(OLD) is None
    assert parts.confused(OLD, "vote", "cap", None, 0, 9) is None
    assert JUDGED_FILE not in parts.files(OLD) and JUDGED_FILE in parts.files(REFUSED)
    for ask in (parts.files, parts.judged, parts.map, parts.variants):
        with pytest.raises(ModelNotFound):
            ask("nobody")


def test_what_was_read_is_kept_until_another_version_is_looked_at(world: World) -> None:
    first = world.inspection.map(CHAMPION)
    assert first is not None and world.inspection.map(CHAMPION) is first
    other = world.inspection.map(REFUSED)
    assert other is not None and other is not first
    assert world.inspection.map(CHAMPION) is not first


def test_changed_and_missing_files_are_refused(world: World) -> None:
    fresh = Inspection(world.shop.engine, BundleStore(world.shop.home))
    path = world.file(MAP_FILE)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(BundleDamaged, match="differs"):
        fresh.map(CHAMPION)
    path.write_bytes(data)
    manifest = world.file("manifest.json")
    text = manifest.read_text()
    manifest.write_text(text + " ")
    for ask in (fresh.files, fresh.map, fresh.variants):
        with pytest.raises(BundleDamaged, match="not the one that was recorded"):
            ask(CHAMPION)
    manifest.write_text(text)
    manifest.rename(manifest.with_suffix(".away"))
    with pytest.raises(BundleNotFound):
        fresh.judged(CHAMPION)
    manifest.with_suffix(".away").rename(manifest)
    assert fresh.map(CHAMPION) is not None


def test_the_album_finds_photos_of_the_catalogue_and_of_shoppers(world: World) -> None:
    application = world.shop.application()
    query_id = picked(world.shop.shopper(application), world.shop.photo(CAP), "cap")
    assert decide(world.shop.admin(application), query_id, "accept").status_code == 200
    with world.shop.engine.connect() as connection:
        sent = connection.exec_driver_sql("SELECT content_hash FROM reviewed_photos").scalar_one()
    own = world.photos[0]
    found = world.album.photos([own.content_hash, sent, "0" * 64])
    assert set(found) == {own.content_hash, sent}
    assert found[own.content_hash].token is not None and found[own.content_hash].query_id is None
    assert (found[sent].sku, found[sent].token, str(found[sent].query_id)) == ("cap", None, query_id)
    labels = world.album.labels(["shirt", "cap", "withdrawn"])
    assert set(labels) == {"shirt", "cap"}
    shirt = labels["shirt"]
    assert (shirt.sku, shirt.products, shirt.category, shirt.name) == ("shirt-l", 2, "Fashion", "The shirt-l")
    assert shirt.token is None and labels["cap"].token is not None
    assert world.album.photos([]) == world.album.labels([]) == {}


def made(truth: list[int], named: list[int], labels: str = "abcd") -> JudgedPhotos:
    n = len(truth)
    return JudgedPhotos(
        tuple(labels),
        ("vote",),
        np.zeros((n, 32), np.uint8),
        np.array(truth, np.int32),
        np.array(named, np.int32)[:, None],
        np.ones(n, np.float32),
    )


def test_rows_come_by_mistakes_and_columns_by_what_they_are_taken_for() -> None:
    found = confusion_page(made([0, 0, 0, 1, 1, 2, 2], [0, 3, 3, 0, 4, 2, 2]), "vote", 0, 2, 3)
    assert [row.label for row in found.rows] == ["a", "b"]
    assert found.columns == ("a", "b", "d")
    one, two = found.rows
    assert (one.cells, one.others, one.nothing, one.photos, one.right) == ((1, 0, 2), 0, 0, 3, 1)
    assert (two.cells, two.others, two.nothing, two.photos, two.right) == ((1, 0, 0), 0, 1, 2, 0)
    assert found.total == 3, "d has no photo"
    narrow = confusion_page(made([0, 0, 0], [1, 2, 3]), "vote", 0, 9, 2)
    assert (narrow.columns, narrow.rows[0].cells, narrow.rows[0].others) == (("a", "b"), (0, 1), 2)


def test_a_page_beyond_the_last_is_empty() -> None:
    found = confusion_page(made([0, 1], [0, 1]), "vote", 5, 3, 3)
    assert (found.rows, found.columns, found.total) == ((), (), 2)
