"""Filling the cache and the k-NN memory from a real catalogue: only what is missing, and what has changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, update

from app.jobs.bottlenecks import BottleneckReport, catalogue_images, fill_bottlenecks
from app.store.database import transaction
from app.store.media import content_hash
from app.store.neighbours import PgNeighbours
from app.store.spaces import find_space
from app.store.tables import Product, ProductLook, ReferenceVector
from models.backbone.preprocessing import fit_input
from models.backbone.store import load_backbone
from models.photo import read_photo
from tests.app.learning import LearningShop, learning_shop, shots

VARIANTS = ("blur",)


@pytest.fixture
def shop(tmp_path: Path, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    """Three products of two photos each."""
    with learning_shop(tmp_path / "home", database_url, prepared_home) as made:
        for place, sku in enumerate(("cocoa", "apple", "bread")):
            made.add_product(sku, shots(place, 2))
        yield made


def fill(shop: LearningShop, variants: tuple[str, ...] = VARIANTS) -> BottleneckReport:
    return fill_bottlenecks(shop.settings, shop.engine, shop.media, variants=variants)


def memory(shop: LearningShop, data: bytes, k: int = 5) -> list[tuple[str, float]]:
    """What the k-NN memory says of a photo."""
    backbone = load_backbone("embedded", shop.settings.home)
    with transaction(shop.engine) as session:
        space_id = find_space(session, backbone.space)
    assert space_id is not None
    vector = backbone.extract([fit_input(read_photo(data).pixels)])
    return PgNeighbours(shop.engine, space_id, backbone.projection.apply).nearest(vector, k)[0]


def test_filling_twice_computes_nothing_anew(shop: LearningShop) -> None:
    first, second = fill(shop), fill(shop)
    assert (first.photos, first.fill.new, first.fill.reused, first.vectors) == (6, 12, 0, 6)
    assert (second.photos, second.fill.new, second.fill.reused, second.vectors) == (6, 0, 12, 0)
    assert first.space == second.space
    assert first.weights == "embedded"
    assert second.fill.seconds_network == 0.0


def test_more_variants_later_compute_only_those(shop: LearningShop) -> None:
    originals = fill(shop, ())
    assert (originals.fill.new, originals.vectors) == (6, 6)
    later = fill(shop)
    assert (later.fill.new, later.fill.reused, later.vectors) == (6, 6, 0)


def test_a_new_photo_is_noticed_and_only_it_is_computed(shop: LearningShop) -> None:
    fill(shop)
    new = shots(2, 1, first=9)[0]
    shop.add_photo("bread", new)
    found = fill(shop)
    assert (found.photos, found.fill.new, found.vectors) == (7, 2, 1)
    label, distance = memory(shop, new)[0]
    assert label == "bread"
    assert distance == pytest.approx(0.0, abs=2e-3)


def test_a_deleted_photo_leaves_the_memory_at_once_and_its_product_looks_different_after_filling(
    shop: LearningShop,
) -> None:
    fill(shop)
    gone, kept = shots(0, 2)

    def look() -> np.ndarray:
        with transaction(shop.engine) as session:
            found = session.scalars(
                select(ProductLook.look)
                .join(Product, Product.id == ProductLook.product_id)
                .where(Product.sku == "cocoa")
            ).one()
            return np.asarray(found, dtype=np.float32)

    before = look()
    shop.delete_photo(gone)
    assert memory(shop, gone)[0][1] > 0.01
    found = fill(shop)
    assert (found.photos, found.fill.new, found.vectors) == (5, 0, 0)
    assert not np.allclose(before, look(), atol=1e-4)
    shop.delete_photo(kept)
    fill(shop)
    with transaction(shop.engine) as session:
        assert len(session.scalars(select(ProductLook.product_id)).all()) == 2
    assert "cocoa" not in {label for label, _ in memory(shop, kept)}


def test_a_product_that_joins_a_group_takes_its_vectors_along(shop: LearningShop) -> None:
    fill(shop)
    with transaction(shop.engine) as session:
        session.execute(update(Product).where(Product.sku == "apple").values(group="fruit"))
    found = fill(shop)
    assert (found.fill.new, found.vectors) == (0, 2)
    with transaction(shop.engine) as session:
        assert set(session.scalars(select(ReferenceVector.label))) == {"cocoa", "fruit", "bread"}


def test_a_photo_the_store_has_lost_is_reported_and_the_rest_is_done(shop: LearningShop) -> None:
    lost = shots(1, 2)[0]
    shop.media.delete(content_hash(lost))
    found = fill(shop)
    assert [failed.content_hash for failed in found.fill.failed] == [content_hash(lost)]
    assert "no photo" in found.fill.failed[0].message
    assert (found.fill.new, found.vectors) == (10, 5)


def test_one_photo_under_two_products_is_computed_once_and_remembered_twice(shop: LearningShop) -> None:
    shop.add_product("cocoa large", shots(0, 2))
    found = fill(shop)
    assert (found.photos, found.fill.new, found.vectors) == (8, 12, 8)


def test_an_empty_catalogue_fills_nothing(tmp_path: Path, database_url: str, prepared_home: Path) -> None:
    with learning_shop(tmp_path / "home", database_url, prepared_home) as empty:
        found = fill(empty)
    assert (found.photos, found.fill.new, found.vectors) == (0, 0, 0)


def test_images_come_by_label_product_and_position(shop: LearningShop) -> None:
    with transaction(shop.engine) as session:
        images = catalogue_images(session, shop.media)
    assert [image.label for image in images] == ["apple"] * 2 + ["bread"] * 2 + ["cocoa"] * 2
    assert [image.content_hash for image in images[:2]] == [content_hash(data) for data in shots(1, 2)]
    assert read_photo(images[0].load()).pixels.shape == (320, 320, 3)
