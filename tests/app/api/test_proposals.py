"""/v1/admin/proposals and /v1/admin/text over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, delete, select

from app.jobs.shared import publish_shared
from app.services.words import FOLDER
from app.store.database import transaction
from app.store.proposal_table import Proposal
from app.store.shared_tables import SharedSpaceRow, SharedVector
from app.store.spaces import remove_shared
from app.store.tables import Product
from app.wiring import Container
from tests.app.api.conftest import problem_of
from tests.app.api.world import Shop
from tests.app.text_world import STOP_WORD, use_model
from tests.contracts.fake_backbone import FakeBackbone
from tests.shared_world import made_bundle

URL = "/v1/admin/proposals"


@pytest.fixture
def admin(application: Flask, shop: Shop) -> FlaskClient:
    made = application.test_client()
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {shop.admin_key}"
    return made


@pytest.fixture
def asked(container: Container, service_engine: Engine, shop: Shop, home: Path) -> Iterator[None]:
    """A bare product, and what a text model of random values proposes for the shop."""
    use_model(home, report="<p>a report</p>")
    with transaction(service_engine) as session:
        session.add(Product(sku="bare", name="Akko red shirt"))
    container.proposals.propose()
    yield
    with transaction(service_engine) as session:
        session.execute(delete(Proposal))
        session.execute(delete(Product).where(Product.sku == "bare"))
        for row in session.query(SharedSpaceRow).all():
            remove_shared(session, row)
    shutil.rmtree(home / "text")
    shutil.rmtree(home / FOLDER, ignore_errors=True)


def items(admin: FlaskClient, **query: Any) -> dict[tuple[str, str], dict[str, Any]]:
    answer = admin.get(URL, query_string={"limit": 100, **query})
    assert answer.status_code == 200, answer.text
    return {(item["sku"], item["field"]): item for item in answer.json["items"]}


def test_proposals_are_for_administrators(client: FlaskClient, anyone: FlaskClient) -> None:
    for method, path in (("GET", URL), ("POST", URL), ("GET", "/v1/admin/text"), ("POST", "/v1/admin/text/stop-words")):
        assert problem_of(anyone.open(path, method=method, json={}))["code"] == "unauthorized"
        assert problem_of(client.open(path, method=method, json={}))["code"] == "forbidden"


def test_a_proposal_is_listed_shown_and_accepted(
    admin: FlaskClient, asked: None, container: Container, service_engine: Engine, shop: Shop, home: Path
) -> None:
    words = made_bundle(home / FOLDER, ["Akko red shirt", "blue dress"], "words-1", FakeBackbone.space)
    publish_shared(service_engine, home / FOLDER, words, shop.space_id)
    found = items(admin)["bare", "colour"]
    assert set(found) == {
        "id", "sku", "name", "image_url", "field", "value", "confidence", "state", "model_version", "created_at",
        "decided_at",
    }  # fmt: skip
    assert (found["name"], found["state"], found["image_url"]) == ("Akko red shirt", "undecided", None)
    assert items(admin)["cap", "type"]["image_url"].startswith("/media/")
    assert admin.get(f"{URL}/{found['id']}").json == found

    place = select(SharedVector.digest).join(Product, Product.id == SharedVector.product_id)
    with transaction(service_engine) as session:
        before = session.scalars(place.where(Product.sku == "bare")).one()
    answer = admin.post(f"{URL}/{found['id']}", json={"action": "accept"})
    assert answer.status_code == 200 and answer.json["state"] == "accepted" and answer.json["decided_at"]
    assert admin.get("/v1/admin/products/bare").json["product"]["colour"] == found["value"]
    with transaction(service_engine) as session:
        assert session.scalars(place.where(Product.sku == "bare")).one() != before
    assert admin.post(f"{URL}/{found['id']}", json={"action": "accept"}).json == answer.json
    refused = problem_of(admin.post(f"{URL}/{found['id']}", json={"action": "reject"}))
    assert (refused["status"], refused["code"]) == (409, "proposal_decided")
    assert ("bare", "colour") in items(admin, state="accepted") and ("bare", "colour") not in items(admin)


def test_many_are_decided_each_by_itself(admin: FlaskClient, asked: None) -> None:
    found = items(admin)
    season, colour = found["bare", "season"]["id"], found["bare", "colour"]["id"]
    admin.post(f"{URL}/{colour}", json={"action": "accept"})
    answer = admin.post(URL, json={"action": "reject", "ids": [season, colour, 10**15, season]})
    assert answer.status_code == 200, answer.text
    told = [(one["id"], one["done"], one["problem"] and one["problem"]["code"]) for one in answer.json["results"]]
    assert told == [(season, True, None), (colour, False, "proposal_decided"), (10**15, False, "proposal_not_found")]
    assert set(items(admin, state="rejected")) == {("bare", "season")}


def test_a_product_that_says_so_itself_by_now_keeps_its_word(admin: FlaskClient, asked: None) -> None:
    kind = items(admin)["bare", "type"]["id"]
    etag = admin.get("/v1/admin/products/bare").json["etag"]
    put = admin.put(
        "/v1/admin/products/bare", json={"name": "Akko red shirt", "type": "Coat"}, headers={"If-Match": f'"{etag}"'}
    )
    assert put.status_code == 200, put.text
    assert problem_of(admin.post(f"{URL}/{kind}", json={"action": "accept"}))["code"] == "proposal_outdated"
    assert admin.get("/v1/admin/products/bare").json["product"]["type"] == "Coat"


def test_pages_and_what_is_refused(admin: FlaskClient, asked: None) -> None:
    first = admin.get(URL, query_string={"limit": 2}).json
    assert len(first["items"]) == 2 and first["undecided"] == len(items(admin))
    second = admin.get(URL, query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    assert not {item["id"] for item in first["items"]} & {item["id"] for item in second["items"]}
    other = admin.get(URL, query_string={"field": "colour", "cursor": first["next_cursor"]})
    assert problem_of(other)["code"] == "cursor_invalid"
    assert problem_of(admin.get(f"{URL}/{10**15}"))["code"] == "proposal_not_found"
    for body in ({}, {"action": "maybe"}, {"action": "accept", "sku": "x"}):
        assert problem_of(admin.post(f"{URL}/1", json=body))["code"] == "request_invalid"
    for ids in ([], [0], [2**63], list(range(1, 102))):
        assert problem_of(admin.post(URL, json={"action": "accept", "ids": ids}))["code"] == "request_invalid"


def test_the_text_models_their_report_and_stop_words(admin: FlaskClient, asked: None) -> None:
    told = admin.get("/v1/admin/text").json
    assert told["categories"]["version"] == "v1" and told["categories"]["decision"] is None
    assert told["words"] is None
    report = admin.get("/v1/admin/text/report")
    assert report.text == "<p>a report</p>" and report.mimetype == "text/html"
    assert "default-src 'none'" in report.headers["Content-Security-Policy"]
    assert admin.get("/v1/admin/text/stop-words").json == {"proposed": [STOP_WORD], "approved": {}}
    body = {"category": "Wear", "word": "Free!", "approved": True}
    assert admin.post("/v1/admin/text/stop-words", json=body).json["approved"] == {"Wear": ["free"]}
    body["approved"] = False
    assert admin.post("/v1/admin/text/stop-words", json=body).json["approved"] == {}
    body["word"] = "two words"
    assert problem_of(admin.post("/v1/admin/text/stop-words", json=body))["status"] == 422


def test_without_a_text_model_there_is_no_report(admin: FlaskClient) -> None:
    assert admin.get("/v1/admin/text").json == {"categories": None, "words": None}
    assert problem_of(admin.get("/v1/admin/text/report"))["code"] == "text_model_not_found"
    assert admin.get("/v1/admin/text/stop-words").json == {"proposed": [], "approved": {}}
