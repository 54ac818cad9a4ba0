"""What is recommended, in which order, and why."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from app.errors import CursorInvalid, ProductNotFound, RequestInvalid
from app.services.cursors import Cursors
from app.services.recommend import RecommendFilters, RecommendService
from tests.app.recommend.conftest import Shop

BLUE = {"colour": "Blue", "lab": [40.0, 10.0, -45.0]}


def first(shop: Shop, sku: str = "pick", **filters):
    return shop.service.recommend(sku, RecommendFilters(**filters)).items[0]


def test_same_type_then_category_then_category_above_then_the_rest(shop: Shop) -> None:
    shop.add("pick")
    shop.add("other world", type="Milk", category="Food > Dairy")
    shop.add("trousers", type="Trousers", category="Wear > Bottoms")
    shop.add("tank top", type="Tank top", category="Wear > Tops > Tanks")
    shop.add("polo", type="Polo")
    shop.add("unlike shirt", angle=90, **BLUE)
    page = shop.service.recommend("pick", RecommendFilters())
    assert [item.product.product.sku for item in page.items] == [
        "unlike shirt",
        "polo",
        "tank top",
        "other world",
        "trousers",
    ]
    assert [item.why.type for item in page.items] == [1.0, 0.5, 0.25, 0.0, 0.0]
    similarities = [item.similarity for item in page.items]
    assert similarities == sorted(similarities, reverse=True) and 0 <= similarities[-1] <= similarities[0] <= 1


def test_within_a_type_colour_and_look_decide(shop: Shop) -> None:
    shop.add("pick")
    shop.add("blue", **BLUE)
    shop.add("unlike", angle=60)
    shop.add("a bit unlike", angle=10)
    shop.add("twin")
    assert shop.skus() == ["twin", "a bit unlike", "blue", "unlike"]
    twin = first(shop)
    assert (twin.similarity, twin.why.colour) == (1.0, pytest.approx(1.0))
    assert twin.why.look == pytest.approx(1.0, abs=1e-3)


def test_given_attributes_win_over_recognised_ones_which_fill_in(shop: Shop) -> None:
    shop.add("pick", type=None, predicted_type="Shirt", predicted_type_confidence=0.9)
    shop.add("given", type="Shirt", predicted_type="Shoe", predicted_type_confidence=0.9)
    shop.add("recognised", type=None, predicted_type="Shirt", predicted_type_confidence=0.4)
    shop.add("other", type="Shoe", predicted_type="Shirt", predicted_type_confidence=1.0)
    assert shop.skus() == ["given", "recognised", "other"]


def test_equal_similarity_is_ordered_by_age_of_the_product(shop: Shop) -> None:
    for sku in ("pick", "c", "a", "b"):
        shop.add(sku)
    assert shop.skus() == ["c", "a", "b"]


def test_unavailable_products_the_pick_and_its_sizes_are_never_recommended(shop: Shop) -> None:
    shop.add("pick", group="shirt 1")
    shop.add("pick XL", group="shirt 1")
    shop.add("sold out", available=False)
    shop.add("other")
    assert shop.skus() == ["other"]
    assert shop.skus("other") == ["pick"]
    assert shop.skus("sold out") == ["pick", "other"]


def test_of_another_label_only_the_most_alike_passing_product_is_shown(shop: Shop) -> None:
    shop.add("pick")
    shop.add("S", group="shirt 2", price="30", angle=20)
    shop.add("M", group="shirt 2", price="20", angle=5)
    shop.add("L without type", group="shirt 2", price="5", type=None, angle=5)
    assert shop.skus() == ["M"]
    assert shop.skus(min_price=Decimal(25)) == ["S"]
    assert shop.skus(max_price=Decimal(6)) == ["L without type"]


@pytest.mark.parametrize(
    ("lacking", "unknown"),
    [
        ({"angle": None}, "look"),
        ({"colour": None, "lab": None}, "colour"),
        ({"type": None}, "type"),
    ],
)
def test_what_the_pick_lacks_is_said_and_left_out(shop: Shop, lacking: dict, unknown: str) -> None:
    shop.add("pick", **lacking)
    shop.add("blue", **BLUE)
    shop.add("red")
    items = shop.service.recommend("pick", RecommendFilters()).items
    assert {item.product.product.sku for item in items} == {"red", "blue"}
    assert all(getattr(item.why, unknown) is None for item in items)
    known = {"type", "colour", "look"} - {unknown}
    assert all(getattr(item.why, name) is not None for item in items for name in known)


def test_a_pick_without_anything_still_gets_the_whole_shop(shop: Shop) -> None:
    shop.add("pick", type=None, colour=None, lab=None, category=None, angle=None, brand=None, price=None)
    shop.add("a")
    shop.add("b", type=None, colour=None, lab=None, category=None, angle=None)
    items = shop.service.recommend("pick", RecommendFilters()).items
    assert [item.product.product.sku for item in items] == ["a", "b"]
    assert all((i.why.type, i.why.colour, i.why.look, i.similarity) == (None, None, None, 0.0) for i in items)


def test_what_only_the_candidate_lacks_counts_as_unlike(shop: Shop) -> None:
    shop.add("pick")
    shop.add("no photo", angle=None, lab=None)
    shop.add("rather unlike", angle=30, lab=[50.0, 40.0, 30.0])
    shop.add("no colour at all", angle=None, lab=None, colour=None)
    items = shop.service.recommend("pick", RecommendFilters()).items
    assert [item.product.product.sku for item in items] == ["rather unlike", "no photo", "no colour at all"]
    assert (items[1].why.look, items[1].why.colour) == (None, 1.0)  # the same colour name
    assert (items[2].why.look, items[2].why.colour, items[2].similarity) == (None, None, 0.5)


def test_filters_hold_for_every_item_and_ignore_case(shop: Shop) -> None:
    shop.add("pick")
    shop.add("zen 5", brand="Zen", price="5")
    shop.add("zen 15", brand="Zen", price="15", **BLUE)
    shop.add("acme 15", price="15")
    shop.add("priceless", brand="Zen", price=None)
    shop.add(
        "nameless",
        brand=None,
        price="15",
        colour=None,
        predicted_colour="blue",
        predicted_colour_confidence=0.5,
    )
    assert set(shop.skus(brands=("ZEN",))) == {"zen 5", "zen 15", "priceless"}
    assert set(shop.skus(brands=("Zen", "acme"))) == {"zen 5", "zen 15", "priceless", "acme 15"}
    assert set(shop.skus(colours=("BLUE",))) == {"zen 15", "nameless"}
    assert set(shop.skus(min_price=Decimal(15))) == {"zen 15", "acme 15", "nameless"}
    assert shop.skus(min_price=Decimal(5), max_price=Decimal("5.00")) == ["zen 5"]
    assert shop.skus(brands=("Zen",), min_price=Decimal(6), colours=("Blue",)) == ["zen 15"]
    assert shop.skus(brands=("Nobody",)) == []


def test_facets_count_what_another_choice_would_bring(shop: Shop) -> None:
    shop.add("pick", price="99")
    shop.add("zen red", brand="Zen", price="5")
    shop.add("zen blue", brand="Zen", price="15", **BLUE)
    shop.add("acme red", price="20", group="g")
    shop.add("acme red XL", price="25", group="g")
    shop.add("acme priceless", price=None)
    shop.add("milk", type="Milk", category="Food", price="1", brand="Cow")
    shop.add("gone", brand="Gone", available=False)

    def facets(**filters):
        found = shop.service.recommend("pick", RecommendFilters(**filters)).facets
        as_dict = [{value.name: value.count for value in values} for values in (found.brands, found.colours)]
        return (*as_dict, (found.price.min, found.price.max), found.without_price)

    assert facets() == ({"Acme": 2, "Zen": 2}, {"Red": 3, "Blue": 1}, (Decimal(5), Decimal(25)), 1)
    assert facets(brands=("Zen",)) == (
        {"Acme": 2, "Zen": 2},
        {"Red": 1, "Blue": 1},
        (Decimal(5), Decimal(15)),
        0,
    )
    assert facets(colours=("Red",)) == (
        {"Acme": 2, "Zen": 1},
        {"Red": 3, "Blue": 1},
        (Decimal(5), Decimal(25)),
        1,
    )
    assert facets(max_price=Decimal(15)) == ({"Zen": 2}, {"Red": 1, "Blue": 1}, (Decimal(5), Decimal(25)), 1)


def test_facets_of_the_only_product_of_a_type_describe_its_category(shop: Shop) -> None:
    shop.add("pick", type="Poncho")
    shop.add("polo", brand="Polo club")
    facets = shop.service.recommend("pick", RecommendFilters(brands=("absent",))).facets
    assert [(value.name, value.count) for value in facets.brands] == [("Polo club", 1)]


def test_pages_hold_every_product_once_in_one_order(shop: Shop) -> None:
    shop.add("pick")
    rng = random.Random(3)
    for number in range(60):
        shop.add(
            f"p{number}",
            angle=rng.choice([0, 5, 5, None]),
            type=rng.choice(["Shirt", "Polo", None]),
            category=rng.choice(["Wear > Tops > Shirts", "Wear > Bottoms", None]),
            group=rng.choice([None, None, f"g{number // 7}"]),
        )
    whole = shop.service.recommend("pick", RecommendFilters(), 100)
    expected = [item.product.product.sku for item in whole.items]
    assert whole.next_cursor is None
    labels = [item.product.product.label for item in whole.items]
    assert len(set(labels)) == len(labels) > 40
    for limit in (1, 7, len(expected)):
        seen: list[str] = []
        cursor = None
        while True:
            page = shop.service.recommend("pick", RecommendFilters(), limit, cursor)
            assert len(page.items) == limit or page.next_cursor is None
            seen += [item.product.product.sku for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == expected


def test_a_cursor_is_bound_to_its_request_and_cannot_be_written(shop: Shop) -> None:
    for sku in ("pick", "a", "b", "c"):
        shop.add(sku)
    filters = RecommendFilters(brands=("Acme",), max_price=Decimal("20.0"))
    cursor = shop.service.recommend("pick", filters, 1).next_cursor
    assert cursor is not None
    same = RecommendFilters(brands=("ACME", "acme"), max_price=Decimal("20.00"))
    fresh = RecommendService(shop.engine, Cursors(shop.engine))  # another process
    assert [item.product.product.sku for item in fresh.recommend("pick", same, 5, cursor).items] == ["b", "c"]
    with pytest.raises(CursorInvalid, match="other filters"):
        shop.service.recommend("pick", RecommendFilters(), 1, cursor)
    with pytest.raises(CursorInvalid, match="other filters"):
        shop.service.recommend("a", filters, 1, cursor)
    for forged in (cursor[:-1], "x" + cursor, "", "nonsense", "A" * 5000, cursor.replace(".", ".A", 1)):
        with pytest.raises(CursorInvalid):
            shop.service.recommend("pick", filters, 1, forged)
    other_list = Cursors(shop.engine).write("products", {"sku": "pick"}, [0, 1, 1])
    with pytest.raises(CursorInvalid, match="another list"):
        shop.service.recommend("pick", filters, 1, other_list)


def test_unusable_requests_are_refused(shop: Shop) -> None:
    shop.add("pick")
    with pytest.raises(ProductNotFound, match="'absent'"):
        shop.service.recommend("absent", RecommendFilters())
    for limit in (0, 101):
        with pytest.raises(RequestInvalid, match="1 to 100"):
            shop.service.recommend("pick", RecommendFilters(), limit)
    for bad in ({"min_price": Decimal(-1)}, {"max_price": Decimal("NaN")}):
        with pytest.raises(RequestInvalid, match="0 or more"):
            shop.service.recommend("pick", RecommendFilters(**bad))
    with pytest.raises(RequestInvalid, match="above max_price"):
        shop.service.recommend("pick", RecommendFilters(min_price=Decimal(2), max_price=Decimal(1)))
