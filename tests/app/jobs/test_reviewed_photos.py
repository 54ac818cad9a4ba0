"""Accepted photos of shoppers in the jobs: bottlenecks, k-NN memory, what training gathers, and the split."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from PIL import Image as PilImage
from sqlalchemy import delete, select, update

from app.jobs.bottlenecks import catalogue_images, fill_bottlenecks, ready_backbone
from app.jobs.material import Material, gather
from app.jobs.training import own_photos
from app.services.access import Principal
from app.services.cursors import Cursors
from app.services.feedback import FeedbackService
from app.services.review import Decision, ReviewService
from app.services.review_guards import Guards
from app.store import history
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.media import content_hash
from app.store.neighbours import PgNeighbours
from app.store.review_tables import ReviewedVector
from app.store.spaces import find_space
from app.store.tables import Image, Product, ReferenceVector
from models.backbone.preprocessing import fit_input
from models.photo import read_photo
from tests.app.learning import LearningShop, learning_shop, shots

ADMIN = Principal("admin", None, None)  # type: ignore[arg-type]  # no key: the audit is not what is tested here


@pytest.fixture
def shop(tmp_path: Path, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    """Three products of four photos each."""
    with learning_shop(tmp_path / "home", database_url, prepared_home) as made:
        for place, sku in enumerate(("cocoa", "apple", "bread")):
            made.add_product(sku, shots(place, 4))
        yield made


def reviewer(shop: LearningShop) -> ReviewService:
    return ReviewService(shop.engine, shop.media, Cursors(shop.engine), Guards())


def feedback(shop: LearningShop) -> FeedbackService:
    return FeedbackService(shop.engine, shop.media, BundleStore(shop.settings.home))


def accepted(shop: LearningShop, data: bytes, sku: str) -> UUID:
    """A shopper's photo, searched with, picked for and accepted; its query."""
    query_id = uuid4()
    with transaction(shop.engine) as session:
        stored = shop.media.put(data)
        history.add_query(session, history.NewQuery(query_id, None, "v1", "known", True, [], None, stored.content_hash))
    feedback(shop).record(ADMIN, query_id, "picked", sku)
    reviewer(shop).decide(ADMIN, query_id, Decision("accept"))
    return query_id


def fill(shop: LearningShop, variants: tuple[str, ...] = ()) -> int:
    """Fill cache and memory; how many images the network saw."""
    return fill_bottlenecks(shop.settings, shop.engine, shop.media, variants=variants).fill.new


def gathered(shop: LearningShop) -> Material:
    """What a training would work on."""
    return gather(shop.settings, shop.engine, shop.media, (), 2, lambda line: None)


def nearest(shop: LearningShop, data: bytes) -> tuple[str, float]:
    """The nearest label to a photo in the k-NN memory, and its distance."""
    backbone = ready_backbone(shop.settings, lambda line: None)
    with transaction(shop.engine) as session:
        space_id = find_space(session, backbone.space)
    assert space_id is not None
    vector = backbone.extract([fit_input(read_photo(data).pixels)])
    return PgNeighbours(shop.engine, space_id, backbone.projection.apply).nearest(vector)[0][0]


def test_an_undecided_or_discarded_photo_is_nothing_to_training(shop: LearningShop) -> None:
    [data] = shots(0, 1, first=50)
    query_id = accepted(shop, data, "cocoa")
    reviewer(shop).decide(ADMIN, query_id, Decision("discard"), frozenset({reviewer(shop).item(query_id).etag}))
    with transaction(shop.engine) as session:
        assert len(catalogue_images(session, shop.media)) == 12
    assert fill(shop) == 12


def test_an_accepted_photo_is_one_of_its_label_after_the_products_own(shop: LearningShop) -> None:
    first, second = shots(0, 2, first=50)
    accepted(shop, first, "cocoa")
    accepted(shop, second, "cocoa")
    with transaction(shop.engine) as session:
        images = catalogue_images(session, shop.media)
    assert [image.label for image in images] == ["apple"] * 4 + ["bread"] * 4 + ["cocoa"] * 6
    assert [image.content_hash for image in images[-2:]] == [content_hash(first), content_hash(second)]
    assert [image.image_id is None for image in images] == [False] * 12 + [True] * 2
    assert [image.reviewed_id is None for image in images] == [True] * 12 + [False] * 2
    assert read_photo(images[-1].load()).pixels.shape == (320, 320, 3)


def test_training_and_memory_take_it_in_and_the_network_runs_on_it_alone(shop: LearningShop) -> None:
    assert fill(shop, ("blur",)) == 24
    # A photo of apple's picture, accepted as bread: only the reviewed vector can make the memory say so.
    [data] = shots(1, 1, first=50)
    assert nearest(shop, data)[0] == "apple"
    accepted(shop, data, "bread")
    assert nearest(shop, data)[0] == "apple", "the next filling brings it in"
    assert fill(shop, ("blur",)) == 2
    label, distance = nearest(shop, data)
    assert label == "bread" and distance == pytest.approx(0.0, abs=2e-3)
    material = gathered(shop)
    place = material.photos.hashes.index(content_hash(data))
    assert material.photos.labels[place] == "bread" and len(material.photos) == 13
    assert content_hash(data) in material.split.places
    assert fill(shop, ("blur",)) == 0
    with transaction(shop.engine) as session:
        assert len(session.scalars(select(ReferenceVector.image_id)).all()) == 12
        assert len(session.scalars(select(ReviewedVector.reviewed_id)).all()) == 1
        assert session.scalar(select(Image.id).where(Image.content_hash == content_hash(data))) is None


def test_a_deleted_query_leaves_memory_and_training_at_once(shop: LearningShop) -> None:
    [data] = shots(1, 1, first=50)
    query_id = accepted(shop, data, "bread")
    fill(shop)
    assert content_hash(data) in gathered(shop).photos.hashes
    assert feedback(shop).forget(ADMIN, query_id).photo_deleted is True
    assert nearest(shop, data)[0] == "apple"
    assert content_hash(data) not in gathered(shop).photos.hashes
    assert fill(shop) == 0


def test_a_deleted_product_takes_its_reviewed_photos_and_a_group_takes_them_along(shop: LearningShop) -> None:
    kept, gone = shots(0, 1, first=50)[0], shots(2, 1, first=50)[0]
    accepted(shop, kept, "cocoa")
    accepted(shop, gone, "bread")
    fill(shop)
    with transaction(shop.engine) as session:
        session.execute(update(Product).where(Product.sku == "cocoa").values(group="drinks"))
        session.execute(delete(Product).where(Product.sku == "bread"))
    assert fill(shop) == 0
    with transaction(shop.engine) as session:
        assert session.scalars(select(ReviewedVector.label)).all() == ["drinks"]
    photos = gathered(shop).photos
    assert set(photos.labels) == {"apple", "drinks"} and content_hash(gone) not in photos.hashes


def test_a_relabelled_photo_changes_over(shop: LearningShop) -> None:
    [data] = shots(1, 1, first=50)
    query_id = accepted(shop, data, "bread")
    fill(shop)
    etag = reviewer(shop).item(query_id).etag
    reviewer(shop).decide(ADMIN, query_id, Decision("relabel", "cocoa"), frozenset({etag}))
    assert nearest(shop, data)[0] == "apple", "the old label is gone at once"
    fill(shop)
    assert nearest(shop, data)[0] == "cocoa"


def test_whole_scenes_of_accepted_photos_go_to_the_hold_out_which_grows_by_them(shop: LearningShop) -> None:
    fill(shop)
    before = gathered(shop).split
    reviewed = set()
    for data in shots(0, 16, first=50):
        accepted(shop, data, "cocoa")
        reviewed.add(content_hash(data))
    fill(shop)
    after = gathered(shop).split
    held = set(after.role("hold_out"))
    assert set(before.role("hold_out")) <= held, "what was held out stays"
    assert held & reviewed, "and photos of shoppers join it"
    trained = {after.places[name].scene for name in after.places if name not in held}
    assert not trained & {after.places[name].scene for name in held}, "a scene is held out whole or not at all"
    assert all(after.places[name].role == place.role for name, place in before.places.items())


def test_reports_show_a_grey_picture_in_its_place(shop: LearningShop) -> None:
    [data] = shots(0, 1, first=50)
    accepted(shop, data, "cocoa")
    with transaction(shop.engine) as session:
        images = catalogue_images(session, shop.media)
    own, reviewed = images[0], images[-1]
    assert own.picture() == own.load()
    assert own_photos([own, reviewed]) == [(own.label, own.content_hash)]
    with PilImage.open(BytesIO(reviewed.picture())) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) < 300 and np.ptp(pixels, axis=2).max() == 0
