"""The demonstration shows nothing that weights or training were made with."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from app.cli.demo import shop
from app.cli.demo.command import Tried, measure
from augment.render import BACKGROUNDS, CAMERAS, make_catalogue
from models.backbone import convert


def test_the_random_network_is_calibrated_on_another_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brands, cameras and backgrounds of the demonstration are new to the weights."""
    asked: list[str] = []

    def remember(n_products: int, seed: int, family: str) -> list[object]:
        asked.append(family)
        return list(make_catalogue(n_products, seed, family))

    monkeypatch.setattr("augment.render.make_catalogue", remember)
    convert.render_images(4)
    assert asked
    assert shop.FAMILY not in asked
    shown = {product.brand for product in make_catalogue(200, 7, shop.FAMILY)}
    for family in asked:
        assert not shown & {product.brand for product in make_catalogue(200, 7, family)}
        assert not {c.name for c in CAMERAS[shop.FAMILY]} & {c.name for c in CAMERAS[family]}
        assert not {b.name for b in BACKGROUNDS[shop.FAMILY]} & {b.name for b in BACKGROUNDS[family]}


def test_the_shop_has_sixty_products_and_strangers_that_are_not_among_them() -> None:
    products, strangers = shop.demo_products()
    assert len(products) >= 60
    assert shop.VIEWS <= 8
    assert {p.sku for p in strangers}.isdisjoint(p.sku for p in products)
    assert len({p.brand for p in products}) > 3
    assert len({p.type for p in products}) >= 9


def test_the_catalogue_folder_leaves_out_some_types_and_colours(tmp_path: Path) -> None:
    products, _ = shop.demo_products()
    photos = shop.write_catalogue(tmp_path, products[:8], "EUR")
    assert photos == 8 * shop.VIEWS
    with (tmp_path / "products.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["type"] == "" for row in rows] == [i % 5 == 4 for i in range(8)]
    assert [row["colour"] == "" for row in rows] == [i % 7 == 6 for i in range(8)]
    assert len(list((tmp_path / "images" / products[0].sku).iterdir())) == shop.VIEWS


def test_what_it_prints_is_measured_from_the_answers() -> None:
    def answer(verdict: str, *skus: str) -> dict[str, object]:
        candidates = [{"product": {"sku": sku}} for sku in skus]
        return {"verdict": verdict, "candidates": candidates, "weights": "w", "model_version": "v"}

    tried = [
        Tried(Path("a"), "a", answer("known", "a", "b")),
        Tried(Path("b"), "b", answer("unknown", "a", "b")),
        Tried(Path("c"), None, answer("known", "a")),
    ]
    result = measure(tried)
    assert (result["known_photos"], result["foreign_photos"]) == (2, 1)
    assert result["vote"]["top1"] == 0.5
    assert result["vote"]["top5"] == 1.0
    assert result["verdict"]["false_accept"] == 1.0
    assert result["verdict"]["false_reject"] == 0.5
