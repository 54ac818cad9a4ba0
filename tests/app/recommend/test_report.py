"""The comparison of recommenders on a world where the answer is known, and the command."""

from __future__ import annotations

import json
from decimal import Decimal

import click
import pytest
from click.testing import CliRunner

from app.cli.recommend import command, page_json
from app.services.recommend import RecommendFilters
from app.services.recommend_report import METHODS, compare_recommenders
from models.errors import NotEnoughData
from tests.app.recommend.conftest import Shop


def test_type_colour_and_look_beat_look_alone_and_chance(shop: Shop) -> None:
    shades = {"Red": [45.0, 60.0, 40.0], "Blue": [40.0, 10.0, -45.0]}
    for number in range(88):
        kind, colour = ("Shirt", "Shoe")[number % 2], ("Red", "Blue")[number // 2 % 2]
        angle = 20 * (number % 2) + number % 7  # looks tell the types apart, not the colours
        shop.add(f"p{number}", type=kind, colour=colour, lab=shades[colour], category=f"All > {kind}", angle=angle)
    report = compare_recommenders(shop.engine, picks=30)
    assert report.picks == 30 and tuple(report.methods) == METHODS
    ours, look, chance = (report.methods[name] for name in ("recommender", "look_only", "random"))
    assert ours.type == 1.0 and ours.type_and_colour > 0.95
    assert look.type == 1.0 and 0.3 < look.type_and_colour < 0.8
    assert 0.1 < chance.type_and_colour < 0.4
    assert report.methods["photos_only"].colour > look.colour
    assert compare_recommenders(shop.engine, picks=30) == report


def test_too_small_a_catalogue_is_said(shop: Shop) -> None:
    shop.add("only")
    with pytest.raises(NotEnoughData, match="1 products"):
        compare_recommenders(shop.engine)


def test_the_page_as_json(shop: Shop) -> None:
    shop.add("pick")
    shop.add("other", price="12.5")
    page = page_json(shop.service.recommend("pick", RecommendFilters(max_price=Decimal(20))))
    text = json.loads(json.dumps(page))
    item = text["items"][0]
    assert item["product"]["sku"] == "other"
    assert (item["product"]["price"], item["product"]["category"]) == ("12.50", "Wear > Tops > Shirts")
    assert set(item["why"]) == {"type", "colour", "look"}
    assert text["facets"]["price"] == {"min": "12.50", "max": "12.50"}
    assert text["facets"]["brands"] == [{"name": "Acme", "count": 1}]
    assert (text["facets"]["without_price"], text["next_cursor"]) == (0, None)


def test_the_command_wants_a_sku_or_a_comparison() -> None:
    for arguments in ([], ["sku", "--compare", "5"]):
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == click.UsageError.exit_code and "Give a SKU" in result.output
    assert "is not a price" in CliRunner().invoke(command, ["sku", "--max-price", "cheap"]).output
