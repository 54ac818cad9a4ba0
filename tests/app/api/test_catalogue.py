"""GET /v1/products, /v1/products/{sku}, /v1/categories, /v1/brands, /media, and POST /v1/recommendations."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image as PilImage
from sqlalchemy import Engine, text

from app.services.browse import MAX_CATEGORIES, _cut
from app.store.products import CategoryNode
from tests.app.api.conftest import problem_of
from tests.app.api.test_search import search
from tests.app.api.world import SHOP, Shop


def pages(client: FlaskClient, path: str, **query: Any) -> list[list[dict[str, Any]]]:
    """All pages of a listing."""
    found = []
    cursor: str | None = None
    while True:
        answer = client.get(path, query_string=query if cursor is None else {**query, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        found.append(answer.json["items"])
        cursor = answer.json["next_cursor"]
        if cursor is None:
            return found


def test_products_come_page_by_page_each_once(client: FlaskClient, shop: Shop) -> None:
    found = pages(client, "/v1/products", limit=3)
    assert [len(page) for page in found] == [3, 3, 1]
    assert [item["sku"] for page in found for item in page] == sorted(row[0] for row in SHOP)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"category": "Grocery"}, ["milk-1", "milk-2", "yoghurt"]),
        ({"brand": "ALPINA"}, ["milk-2", "yoghurt"]),
        ({"text": "shirt"}, ["shirt-l", "shirt-m"]),
        ({"available": "false"}, []),
        ({"brand": "nobody"}, []),
    ],
)
def test_products_are_filtered(client: FlaskClient, shop: Shop, query: dict[str, str], expected: list[str]) -> None:
    assert [item["sku"] for item in pages(client, "/v1/products", **query)[0]] == expected


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"limit": "101"}, 422, "request_invalid"),
        ({"limit": "0"}, 422, "request_invalid"),
        ({"limit": "x"}, 422, "request_invalid"),
        ({"colour": "red"}, 422, "request_invalid"),
        ({"text": "a\x00"}, 422, "request_invalid"),
        ({"cursor": "bm9uc2Vuc2U"}, 422, "cursor_invalid"),
        ({"cursor": "'"}, 422, "request_invalid"),
        ({"category": "nowhere"}, 404, "category_not_found"),
    ],
)
def test_a_bad_listing_request_is_refused(
    client: FlaskClient, shop: Shop, query: dict[str, str], status: int, code: str
) -> None:
    answer = client.get("/v1/products", query_string=query)
    assert answer.status_code == status
    assert problem_of(answer)["code"] == code


def test_a_cursor_belongs_to_its_filters(client: FlaskClient, shop: Shop) -> None:
    cursor = client.get("/v1/products", query_string={"limit": 1}).json["next_cursor"]
    answer = client.get("/v1/products", query_string={"limit": 1, "brand": "Weber", "cursor": cursor})
    assert problem_of(answer)["code"] == "cursor_invalid"


def test_one_product_with_all_it_has(client: FlaskClient, shop: Shop) -> None:
    body = client.get("/v1/products/shirt-m").json
    assert (body["sku"], body["group"], body["label"], body["price"]) == (
        "shirt-m",
        "shirt",
        "shirt",
        "20.00",
    )
    assert body["image_urls"] == [body["image_url"]]


@pytest.mark.parametrize("sku", ["nothing", "a/b", "a%00b", "%F0%9F%98%80", "." * 300])
def test_a_product_that_is_not_there(client: FlaskClient, shop: Shop, sku: str) -> None:
    answer = client.get(f"/v1/products/{sku}")
    assert answer.status_code in (404, 422)
    assert problem_of(answer)["code"] in ("product_not_found", "request_invalid")


def test_a_sku_may_hold_a_slash(client: FlaskClient, shop: Shop, service_engine: Engine) -> None:
    with service_engine.begin() as connection:
        connection.execute(text("INSERT INTO products (sku) VALUES ('a/b c')"))
    try:
        assert client.get("/v1/products/a/b%20c").json["sku"] == "a/b c"
    finally:
        with service_engine.begin() as connection:
            connection.execute(text("DELETE FROM products WHERE sku = 'a/b c'"))


def test_the_category_tree(client: FlaskClient, shop: Shop) -> None:
    body = client.get("/v1/categories").json
    assert body["truncated"] is False
    tree = {node["name"]: node for node in body["categories"]}
    assert {name: node["products"] for name, node in tree.items()} == {"Fashion": 4, "Grocery": 3}
    assert [node["path"] for node in tree["Grocery"]["children"][0]["children"]] == [
        "Grocery > Dairy > Milk",
        "Grocery > Dairy > Yoghurt",
    ]
    shallow = client.get("/v1/categories", query_string={"depth": 1}).json
    assert shallow["truncated"] is True
    assert all(node["children"] == [] for node in shallow["categories"])
    below = client.get("/v1/categories", query_string={"parent": "grocery>dairy"}).json
    assert [node["name"] for node in below["categories"]] == ["Milk", "Yoghurt"]
    assert client.get("/v1/categories", query_string={"parent": "nowhere"}).status_code == 404


def test_a_huge_tree_is_cut_broad_before_deep() -> None:
    leaves = tuple(CategoryNode(f"leaf {i}", f"a > leaf {i}", 1, ()) for i in range(MAX_CATEGORIES))
    cut = _cut((CategoryNode("a", "a", 1, leaves), CategoryNode("b", "b", 1, ())), 3)
    assert cut.truncated
    assert [node.name for node in cut.nodes] == ["a", "b"]
    assert len(cut.nodes[0].children) == MAX_CATEGORIES - 2


def test_brands_with_their_products(client: FlaskClient, shop: Shop) -> None:
    found = [item for page in pages(client, "/v1/brands", limit=2) for item in page]
    assert found == [
        {"name": "Alpina", "products": 2},
        {"name": "Dairyland", "products": 1},
        {"name": "Schuh & Söhne", "products": 1},
        {"name": "Weber", "products": 2},
    ]


def test_a_photo_by_its_address(anyone: FlaskClient, client: FlaskClient, shop: Shop) -> None:
    url = client.get("/v1/products/cap").json["image_url"]
    answer = anyone.get(url)
    assert answer.mimetype == "image/webp"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert PilImage.open(BytesIO(answer.data)).size == (360, 320)
    small = anyone.get(url.replace("/800.", "/200."))
    assert max(PilImage.open(BytesIO(small.data)).size) == 200
    assert small.headers["ETag"] != answer.headers["ETag"]
    again = anyone.get(url, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/media/AAAAAAAAAAAAAAAAAAAAAAAA/800.webp", 404),
        ("/media/short/800.webp", 422),
        ("/media/AAAAAAAAAAAAAAAAAAAAAAAA/original.webp", 422),
        ("/media/AAAAAAAAAAAAAAAAAAAAAAAA/800.png", 404),
        ("/media/..%2F..%2Fetc/800.webp", 404),
    ],
)
def test_an_address_of_no_photo(anyone: FlaskClient, shop: Shop, path: str, status: int) -> None:
    answer = anyone.get(path)
    assert answer.status_code == status
    problem_of(answer)


def test_recommendations_have_the_contracts_shape(client: FlaskClient, shop: Shop) -> None:
    query_id = search(client, shop.photos["milk-1"]).json["query_id"]
    answer = client.post("/v1/recommendations", json={"sku": "milk-1", "query_id": query_id, "limit": 1})
    assert answer.status_code == 200, answer.text
    body = answer.json
    assert set(body) == {"items", "facets", "next_cursor"}
    assert set(body["facets"]) == {"brands", "colours", "price", "without_price"}
    assert set(body["facets"]["price"]) == {"min", "max"}
    [item] = body["items"]
    assert set(item) == {"product", "similarity", "why"}
    assert set(item["why"]) == {"type", "colour", "look"}
    assert item["product"]["sku"] == "milk-2"
    following = client.post(
        "/v1/recommendations",
        json={"sku": "milk-1", "query_id": query_id, "limit": 1, "cursor": body["next_cursor"]},
    )
    assert following.json["items"][0]["product"]["sku"] not in ("milk-1", "milk-2")


def test_brand_and_price_bound_the_recommendations(client: FlaskClient, shop: Shop) -> None:
    def recommended(**choices: Any) -> set[str]:
        answer = client.post("/v1/recommendations", json={"sku": "milk-1", "limit": 100, **choices})
        assert answer.status_code == 200, answer.text
        return {item["product"]["sku"] for item in answer.json["items"]}

    assert recommended(brands=["alpina"]) == {"milk-2", "yoghurt"}
    assert recommended(brands=["Alpina"], min_price="1.50") == {"milk-2"}
    assert recommended(min_price=10, max_price="50") & {"milk-2", "yoghurt", "shoe"} == set()


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"min_price": "cheap"}, "min_price"),
        ({"min_price": -1}, "min_price"),
        ({"max_price": "1e400"}, "max_price"),
        ({"max_price": "NaN"}, "max_price"),
        ({"min_price": 2, "max_price": 1}, "min_price"),
        ({"limit": 101}, "limit"),
        ({"brands": ["x"] * 51}, "brands"),
        ({"brands": "Alpina"}, "brands"),
        ({"query_id": "7"}, "query_id"),
        ({"currency": "EUR"}, "currency"),
    ],
)
def test_a_choice_out_of_range_is_named(client: FlaskClient, shop: Shop, choices: dict[str, Any], field: str) -> None:
    answer = client.post("/v1/recommendations", json={"sku": "milk-1", **choices})
    assert answer.status_code == 422
    assert problem_of(answer)["problems"][0]["field"].split(".")[0] == field


def test_an_unknown_pick_is_not_found(client: FlaskClient, shop: Shop) -> None:
    answer = client.post("/v1/recommendations", json={"sku": "no-such"})
    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "product_not_found"
