"""What people have typed into the dashboard's forms, after the login, the product or the database has gone."""

from __future__ import annotations

import re
from html import unescape
from io import BytesIO
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from tests.app.web.admin.conftest import client_of
from tests.app.web.admin.test_gate import FORM, HERE, is_in, log_in, logins
from tests.app.web.shop import WebShop


def delete(client: FlaskClient, sku: str) -> None:
    """Delete a product as it is now."""
    asked = client.get(f"/admin/products/{sku}/delete")
    etag = re.search(r'name="etag" value="([^"]+)"', asked.text)
    assert etag is not None
    done = client.post(f"/admin/products/{sku}/delete", data={"etag": etag[1]}, headers=HERE)
    assert done.status_code == 303


def test_a_form_sent_after_the_login_ended_is_kept_and_carried_out(
    client: FlaskClient, key: str, web_engine: Engine
) -> None:
    log_in(client, key)
    logins(web_engine, "expires_at = now()")
    typed = {"sku": "kept-1", "name": 'Oat & "Rye" <b>', "price": "1.20", "available": "true"}
    asked = client.post("/admin/new-product?x=1", data=typed, headers=HERE)
    assert asked.status_code == 401 and 'action="/admin/new-product?x=1"' in asked.text
    wrong = client.post("/admin/new-product?x=1", data={**typed, "admin_key": "pk_admin_no"}, headers=HERE)
    assert wrong.status_code == 401
    for page in (asked.text, wrong.text):
        assert 'name="name" value="Oat &amp; &#34;Rye&#34; &lt;b&gt;"' in page and 'value="1.20"' in page
    assert "pk_admin_no" not in wrong.text
    done = client.post("/admin/new-product?x=1", data={**typed, "admin_key": key}, headers=HERE)
    assert (done.status_code, done.location) == (303, "/admin/products/kept-1?told=created")
    assert is_in(client)
    assert "Oat &amp; &#34;Rye&#34; &lt;b&gt;" in client.get("/admin/products/kept-1").text
    delete(client, "kept-1")


@pytest.mark.parametrize("sku", ["A#1", "50%", "B%41", "초코 우유", "a&b=c+d;e"])
def test_a_form_goes_to_the_product_it_was_for_whatever_its_sku(client: FlaskClient, sku: str) -> None:
    address = f"/admin/products/{quote(sku, safe='')}"
    asked = client.post(f"{address}/delete?x=%23", headers=HERE, content_type=FORM)
    goal = re.search(r'action="([^"]+)"', asked.text)
    assert goal is not None and unescape(goal[1]).endswith("/delete?x=%23")
    path = urlsplit(unescape(goal[1])).path
    assert unquote(path) == f"/admin/products/{sku}/delete"
    led = client.get(address).location
    assert unquote(parse_qs(urlsplit(led).query)["next"][0]) == f"/admin/products/{sku}"
    assert not {"#", " "} & set(parse_qs(urlsplit(led).query)["next"][0])


def test_photos_sent_after_the_login_ended_lead_back_to_their_product(client: FlaskClient, key: str) -> None:
    body = {"photo": (BytesIO(b"\xff\xd8"), "front.jpg")}
    asked = client.post("/admin/products/any-1/photos", data=body, headers=HERE, content_type="multipart/form-data")
    goal = re.search(r'action="([^"]+)"', asked.text)
    assert asked.status_code == 401 and goal is not None
    entered = client.post(unescape(goal[1]), data={"admin_key": key}, headers=HERE)
    assert client.get(entered.location).location == "/admin/products/any-1#photos"


def test_what_was_typed_survives_its_products_end(client: FlaskClient, key: str) -> None:
    log_in(client, key)
    client.post("/admin/new-product", data={"sku": "gone-1", "name": "Before"}, headers=HERE)
    page = client.get("/admin/products/gone-1").text
    etag = re.search(r'name="etag" value="([^"]+)"', page)
    assert etag is not None
    delete(client, "gone-1")
    for price in ("1.20", "cheap"):
        typed = {"etag": unescape(etag[1]), "name": "After", "price": price}
        answer = client.post("/admin/products/gone-1", data=typed, headers=HERE)
        assert answer.status_code == 409 and "Someone deleted this product" in answer.text
        assert 'action="/admin/new-product"' in answer.text
        assert all(f'value="{value}"' in answer.text for value in ("gone-1", "After", price))


def test_what_was_typed_survives_a_limit(web_engine: Engine, web_shop: WebShop, key: str) -> None:
    client = client_of(web_engine, web_shop, limit_per_address=3)
    client.environ_base["REMOTE_ADDR"] = "203.0.113.62"
    log_in(client, key)
    typed = {"kind": "nothing", "folds": "7"}
    answers = [client.post("/admin/jobs", data=typed, headers=HERE) for _ in range(8)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and all('name="folds" value="7"' in answer.text for answer in refused)


def test_an_address_that_names_what_no_database_holds_is_no_page(client: FlaskClient, key: str) -> None:
    log_in(client, key)
    assert client.get("/admin/products/a%00").status_code == 404
    assert client.post("/admin/products/a/photos/%00/remove", headers=HERE).status_code == 404


def test_files_are_not_read_for_strangers(client: FlaskClient) -> None:
    body = {"archive": (BytesIO(b"PK" * 1000), "shop.zip"), "admin_key": "pk_admin_no"}
    answer = client.post("/admin/imports", data=body, headers=HERE, content_type="multipart/form-data")
    assert answer.status_code == 401 and "choose the files again" in answer.text


def test_what_was_typed_survives_a_database_that_is_away(web_engine: Engine, web_shop: WebShop, key: str) -> None:
    client = client_of(web_engine, web_shop)
    log_in(client, key)
    with web_engine.begin() as connection:
        connection.execute(text("ALTER TABLE products RENAME TO products_away"))
    try:
        answer = client.post("/admin/new-product", data={"sku": "away-1", "name": "Kept"}, headers=HERE)
    finally:
        with web_engine.begin() as connection:
            connection.execute(text("ALTER TABLE products_away RENAME TO products"))
    assert answer.status_code == 500 and "away" not in re.sub(r"away-1", "", answer.text)
    assert 'name="name" value="Kept"' in answer.text
