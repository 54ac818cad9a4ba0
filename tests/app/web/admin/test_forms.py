"""Forms of the dashboard that come again, come late, or go to the wrong place; over HTTP, without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from io import BytesIO
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, delete, text
from werkzeug.test import TestResponse

from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.tables import Bundle, Promotion
from tests.app.api.conftest import problem_of
from tests.app.web.admin.conftest import client_of
from tests.app.web.admin.model_world import write_version
from tests.app.web.admin.test_gate import HERE, log_in
from tests.app.web.shop import WebShop

NOBODYS = "0dd12412-0a24-4422-89b2-2020effae854"


@pytest.fixture
def admin(client: FlaskClient, key: str) -> FlaskClient:
    """Logged in."""
    assert log_in(client, key).status_code == 303
    return client


def hidden(page: TestResponse, name: str, form: str = "") -> str:
    """The value of a hidden field, of the form whose address ends so."""
    [place] = re.findall(rf'name="{name}" value="([^"]*{form})"', page.text)
    return unescape(place)


def is_a_page(answer: TestResponse) -> bool:
    """Whether it looks like the dashboard, as someone who is logged in sees it."""
    return answer.mimetype == "text/html" and '<nav class="menu"' in answer.text and "<h1>" in answer.text


# Sent again


def forget_jobs(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM jobs"))
        connection.execute(text("DELETE FROM procrastinate_jobs"))


@pytest.fixture
def no_jobs(web_engine: Engine) -> Iterator[None]:
    """No jobs, before and after."""
    forget_jobs(web_engine)
    yield
    forget_jobs(web_engine)


@pytest.mark.usefixtures("no_jobs")
def test_a_form_that_the_browser_brought_back_is_given_again_with_what_was_changed(admin: FlaskClient) -> None:
    once = hidden(admin.get("/admin/jobs"), "once", "-t")
    asked = {"kind": "train", "once": once, "folds": "3"}
    first = admin.post("/admin/jobs", data=asked, headers=HERE)
    assert first.status_code == 303
    assert admin.post("/admin/jobs", data=asked, headers=HERE).location == first.location
    admin.post(first.location.split("?")[0] + "/cancel", headers=HERE)
    changed = admin.post("/admin/jobs", data={**asked, "folds": "5", "without_variants": "true"}, headers=HERE)
    assert changed.status_code == 409 and "This form was sent before with other answers" in changed.text
    assert "Idempotency" not in changed.text
    mine = re.search(r'<details class="card-fold" open>.*?</details>', changed.text, re.DOTALL)
    assert mine is not None and 'value="5"' in mine[0] and " checked" in mine[0] and 'value="train"' in mine[0]
    fresh = hidden(changed, "once", "-t")
    assert fresh != once
    again = admin.post("/admin/jobs", data={**asked, "once": fresh, "folds": "5"}, headers=HERE)
    assert again.status_code == 303 and again.location != first.location


@pytest.mark.usefixtures("no_jobs")
def test_a_retraining_is_asked_for_as_it_was_filled_in(admin: FlaskClient, web_engine: Engine) -> None:
    asked = {"kind": "retrain", "promote": "never", "folds": "", "without_variants": "true"}
    assert admin.post("/admin/jobs", data=asked, headers=HERE).status_code == 303
    with web_engine.connect() as connection:
        payload = connection.execute(text("SELECT payload FROM jobs WHERE kind = 'retrain'")).scalar_one()
    assert payload == {"promote": "never", "without_variants": True}


# Come late


def test_a_product_that_was_changed_since_the_question_is_not_deleted(admin: FlaskClient) -> None:
    admin.post("/admin/new-product", data={"sku": "late-1", "name": "Before"}, headers=HERE)
    address = "/admin/products/late-1"
    seen = hidden(admin.get(f"{address}/delete"), "etag")
    saved = admin.post(address, data={"etag": seen, "name": "After", "price": "2.50"}, headers=HERE)
    assert saved.status_code == 303
    for etag in (seen, "", None):
        refused = admin.post(f"{address}/delete", data={} if etag is None else {"etag": etag}, headers=HERE)
        assert refused.status_code == 409 and "so it was not deleted" in refused.text
        assert "After" in refused.text and "2.50" in refused.text
    done = admin.post(f"{address}/delete", data={"etag": hidden(refused, "etag")}, headers=HERE)
    assert (done.status_code, admin.get(address).status_code) == (303, 404)


V1, V2, V3 = "20260101T000000000Z", "20260201T000000000Z", "20260301T000000000Z"


@pytest.fixture
def versions(web_engine: Engine, web_shop: WebShop, tmp_path: Path) -> Iterator[BundleStore]:
    """Three versions, served one after the other; the last one is the champion."""
    store = BundleStore(tmp_path)
    for version in (V1, V2, V3):
        digest = write_version(tmp_path, version, {}, None)
        with transaction(web_engine) as session:
            store.publish(session, version, web_shop.shop.space_id, digest, {})
    yield store
    with transaction(web_engine) as session:
        session.execute(delete(Promotion))
        session.execute(delete(Bundle))


def served(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return connection.execute(text("SELECT version FROM bundles WHERE state = 'champion'")).scalar_one_or_none()


def test_a_version_is_promoted_in_place_of_the_one_that_was_seen_alone(
    admin: FlaskClient, web_engine: Engine, versions: BundleStore
) -> None:
    address = f"/admin/models/{V1}/promote"
    seen = hidden(admin.get(address), "champion")
    assert seen == V3
    with transaction(web_engine) as session:
        versions.promote(session, V2)
    for champion in ({"champion": seen}, {"champion": ""}, {}):
        refused = admin.post(address, data=champion, headers=HERE)
        assert refused.status_code == 409 and "Another version has been served since you looked" in refused.text
        assert served(web_engine) == V2
    now = {"champion": hidden(refused, "champion")}
    assert now == {"champion": V2}
    for _ in range(2):  # sent twice, it is done once
        assert admin.post(address, data=now, headers=HERE).status_code == 303
        assert served(web_engine) == V1


def test_a_rollback_goes_where_it_said_or_nowhere(
    admin: FlaskClient, web_engine: Engine, versions: BundleStore
) -> None:
    address = "/admin/models/rollback"
    page = admin.get(address)
    seen = {"champion": hidden(page, "champion"), "before": hidden(page, "before")}
    assert seen == {"champion": V3, "before": V2}
    # The same champion by another way: a rollback would lead elsewhere.
    with transaction(web_engine) as session:
        versions.promote(session, V1)
        versions.promote(session, V3)
    for said in (seen, {"champion": V1, "before": V1}, {}):
        refused = admin.post(address, data=said, headers=HERE)
        assert refused.status_code == 409 and "Another version has been served since you looked" in refused.text
        assert served(web_engine) == V3
    now = {"champion": hidden(refused, "champion"), "before": hidden(refused, "before")}
    assert admin.post(address, data=now, headers=HERE).status_code == 303
    assert served(web_engine) == V1 == now["before"]
    assert admin.post(address, data=now, headers=HERE).status_code == 409  # sent twice, it goes back once
    assert served(web_engine) == V1


# The language of an answer


@pytest.mark.parametrize(
    ("address", "data", "status", "leads_to"),
    [
        ("/admin/new-product?x=1", {"sku": "", "name": "Typed"}, 422, "/admin/new-product?x=1&lang=ko"),
        ("/admin/words/stop-words", {"category": "", "word": ""}, 422, "/admin/words?lang=ko"),
        (f"/admin/imports/{NOBODYS}/import", {}, 404, "/admin/imports?lang=ko"),
        (f"/admin/jobs/{NOBODYS}/cancel", {}, 404, f"/admin/jobs/{NOBODYS}?lang=ko"),
        ("/admin/review?state=all", {"id": "1", "action": "accept"}, 422, "/admin/review?state=all&lang=ko"),
        (
            f"/admin/products/{quote('초코 #1')}/delete",
            {},
            404,
            f"/admin/products/{quote('초코 #1')}/delete?lang=ko",
        ),
        ("/admin/nothing/at/all", {}, 404, "/admin?lang=ko"),
    ],
)
def test_the_language_of_an_answer_leads_to_a_page(
    admin: FlaskClient, address: str, data: dict[str, str], status: int, leads_to: str
) -> None:
    answer = admin.post(address, data=data, headers=HERE)
    assert answer.status_code == status
    link = re.search(r'href="([^"]+)" lang="ko"', answer.text)
    assert link is not None and unescape(link[1]) == leads_to
    page = admin.get(leads_to)
    assert '<html lang="ko">' in page.text and page.status_code != 405
    assert "그런 페이지가 없습니다" not in page.text


# The wrong place


@pytest.mark.parametrize(
    ("method", "address", "status", "allowed"),
    [
        ("POST", "/admin", 405, "GET"),
        ("DELETE", "/admin/", 405, "GET"),
        ("POST", "/admin/care", 405, "GET"),
        ("PUT", "/admin/jobs", 405, "GET, POST"),
        ("PATCH", "/admin/products/milk-1", 405, "GET, POST"),
        ("GET", f"/admin/jobs/{NOBODYS}/cancel", 405, "POST"),
        ("POST", "/admin/nothing", 404, None),
        ("DELETE", "/admin/nothing/at/all", 404, None),
        ("POST", "/admin/jobs/no-id/cancel", 404, None),
        ("GET", "/admin/jobs/no-id", 404, None),
    ],
)
def test_what_goes_to_the_wrong_place_gets_a_page(
    admin: FlaskClient, method: str, address: str, status: int, allowed: str | None
) -> None:
    answer = admin.open(address, method=method, headers=HERE)
    assert answer.status_code == status and is_a_page(answer)
    told = {404: "There is no such page.", 405: "This address takes no such request."}[status]
    assert told in answer.text
    assert answer.headers.get("Allow") == allowed
    by_script = admin.open(address, method=method, headers={**HERE, "X-Pickture-Script": "1"})
    assert (by_script.status_code, by_script.mimetype) == (status, "application/problem+json")


def test_strangers_are_asked_for_the_key_and_other_sites_refused_there_too(client: FlaskClient) -> None:
    assert (
        client.post("/admin/nothing", headers=HERE, content_type="application/x-www-form-urlencoded").status_code == 401
    )
    assert client.delete("/admin/care").status_code == 403


def test_what_is_too_large_is_told_with_the_limit(
    web_engine: Engine, web_shop: WebShop, key: str, tmp_path: Path
) -> None:
    client = client_of(web_engine, web_shop, home=tmp_path, max_upload_bytes=20_000, max_import_bytes=30_000)
    log_in(client, key)
    for address, field, most in (
        ("/admin/products/milk-1/photos", "photo", "20 kB"),
        ("/admin/imports", "table", "30 kB"),
    ):
        answer = client.post(
            address,
            data={field: (BytesIO(b"x" * 40_000), "large.bin")},
            headers=HERE,
            content_type="multipart/form-data",
        )
        assert answer.status_code == 413 and is_a_page(answer)
        assert f"What was sent is too large: at most {most} can be sent at once." in answer.text


@pytest.mark.parametrize("kind", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_text_that_is_too_long_is_not_told_the_limit_of_files(admin: FlaskClient, kind: str) -> None:
    form = {"sku": "long-1", "description": "x" * 600_000}
    answer = admin.post("/admin/new-product", data=form, headers=HERE, content_type=kind)
    assert answer.status_code == 413 and is_a_page(answer)
    assert "What was sent is too large." in answer.text and "can be sent at once" not in answer.text


def test_a_stranger_s_form_is_not_read_beyond_a_text(client: FlaskClient) -> None:
    body = b"a&" * 300_000
    answer = client.post("/admin/jobs", data=body, headers=HERE, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413


# What no database holds


NUL = "a\x00b"


@pytest.mark.parametrize(
    ("address", "data"),
    [
        ("/admin/words/stop-words", {"category": NUL, "word": "sale", "approved": "true"}),
        ("/admin/words/stop-words", {"category": "", "word": NUL, "approved": "true"}),
        ("/admin/new-product", {"sku": NUL}),
        ("/admin/new-product", {"sku": "nul-1", "name": NUL, "description": NUL, "category": NUL}),
        ("/admin/jobs", {"kind": NUL, "once": NUL}),
        ("/admin/jobs", {"kind": "train", "folds": NUL}),
        ("/admin/review", {"id": NUL, "action": NUL}),
        (f"/admin/review/{NOBODYS}", {"action": "relabel", "sku": NUL, "etag": NUL}),
        ("/admin/proposals", {"id": NUL, "action": "accept"}),
        ("/admin/products/milk-1", {"etag": NUL, "name": NUL}),
        ("/admin/products/milk-1/delete", {"etag": NUL}),
        (f"/admin/imports/{NOBODYS}/import", {"strict": NUL, "once": NUL}),
        (f"/admin/models/{V1}/promote", {"champion": NUL}),
        ("/admin/models/rollback", {"champion": NUL, "before": NUL}),
    ],
)
def test_what_no_database_holds_is_refused_in_words(admin: FlaskClient, address: str, data: dict[str, str]) -> None:
    answer = admin.post(address, data=data, headers=HERE)
    assert 400 <= answer.status_code < 500 and is_a_page(answer)


def test_names_of_files_that_no_database_holds_do_no_harm(admin: FlaskClient) -> None:
    body = {"photo": (BytesIO(b"no photo"), f"{NUL}.jpg")}
    answer = admin.post("/admin/products/milk-1/photos", data=body, headers=HERE, content_type="multipart/form-data")
    assert answer.status_code == 422 and is_a_page(answer)


@pytest.mark.parametrize("name", ["text", "category", "brand", "available", "cursor", "state", "kind", "field", "flag"])
def test_filters_that_no_database_holds_find_nothing(admin: FlaskClient, name: str) -> None:
    for address in ("/admin/products", "/admin/jobs", "/admin/review", "/admin/proposals"):
        answer = admin.get(address, query_string={name: NUL})
        assert answer.status_code in (200, 404, 422) and is_a_page(answer)


def test_the_api_refuses_it_too(client: FlaskClient, key: str) -> None:
    bearer = {"Authorization": f"Bearer {key}"}
    for body in ({"category": NUL, "word": "sale", "approved": True}, {"category": "", "word": NUL, "approved": True}):
        refused = problem_of(client.post("/v1/admin/text/stop-words", json=body, headers=bearer))
        assert refused["code"] == "request_invalid"


@pytest.mark.parametrize("sku", ["", " ", "\u3000"])
def test_a_product_without_a_number_is_not_created(admin: FlaskClient, key: str, sku: str) -> None:
    answer = admin.post("/admin/new-product", data={"sku": sku, "name": "Nameless"}, headers=HERE)
    assert answer.status_code == 422 and "is empty" in answer.text and 'value="Nameless"' in answer.text
    if sku:
        bearer = {"Authorization": f"Bearer {key}"}
        refused = admin.put(f"/v1/admin/products/{quote(sku)}", json={"name": "Nameless"}, headers=bearer)
        assert problem_of(refused)["code"] == "request_invalid"


# A list


def test_a_product_found_by_its_number_heads_the_first_page_and_no_other(
    admin: FlaskClient, web_engine: Engine
) -> None:
    try:
        for number in range(24):
            sku = "pageful" if number == 23 else f"page-{number:02}"
            made = admin.post("/admin/new-product", data={"sku": sku, "name": f"Pageful {number:02}"}, headers=HERE)
            assert made.status_code == 303
        pages = [admin.get("/admin/products?text=pageful")]
        while (following := re.search(r'href="([^"]+)" rel="next"', pages[-1].text)) is not None:
            pages.append(admin.get(unescape(following[1])))
        found = [re.findall(r'href="/admin/products/([^"]+)"', page.text) for page in pages]
        assert len(found) == 2 and found[0][0] == "pageful"
        assert sorted(chain(*found)) == [*(f"page-{number:02}" for number in range(23)), "pageful"]
    finally:
        with web_engine.begin() as connection:
            connection.execute(text("DELETE FROM products WHERE sku LIKE 'page%'"))
