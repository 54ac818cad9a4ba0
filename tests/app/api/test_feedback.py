"""POST /v1/feedback and DELETE /v1/queries/{id}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from app.store.media import MediaStore, content_hash
from tests.app.api.conftest import problem_of, signed_in
from tests.app.api.test_search import search
from tests.app.api.world import Shop, draw


@pytest.fixture
def query_id(client: FlaskClient, shop: Shop) -> str:
    """A search of this client's session."""
    found: str = search(client, shop.photos["milk-1"]).json["query_id"]
    return found


def picks_of(engine: Engine, query_id: str) -> list[Mapping[str, Any]]:
    """The rows of one query's picks."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM picks WHERE query_id = :id"), {"id": query_id})
        return list(rows.mappings())


def say(client: FlaskClient, query_id: str, outcome: str, **more: Any) -> Any:
    """Send feedback."""
    return client.post("/v1/feedback", json={"query_id": query_id, "outcome": outcome, **more})


def test_a_pick_is_recorded_once_however_often_it_is_sent(
    client: FlaskClient, query_id: str, service_engine: Engine
) -> None:
    first = say(client, query_id, "picked", sku="milk-1")
    second = say(client, query_id, "picked", sku="milk-1")
    assert first.status_code == second.status_code == 200
    assert first.json == second.json
    assert first.json["sku"] == "milk-1" and first.json["outcome"] == "picked"
    [row] = picks_of(service_engine, query_id)
    assert (row["outcome"], row["sku"]) == ("picked", "milk-1")


def test_a_shopper_may_change_their_mind(client: FlaskClient, query_id: str, service_engine: Engine) -> None:
    say(client, query_id, "picked", sku="milk-1")
    assert say(client, query_id, "picked", sku="cap").json["sku"] == "cap"
    assert say(client, query_id, "none_of_these").json["sku"] is None
    [row] = picks_of(service_engine, query_id)
    assert (row["outcome"], row["sku"]) == ("none_of_these", None)


@pytest.mark.parametrize(
    ("outcome", "more", "field"),
    [
        ("picked", {}, "sku"),
        ("picked", {"sku": "no-such"}, "sku"),
        ("picked", {"sku": ""}, "sku"),
        ("picked", {"sku": 7}, "sku"),
        ("none_of_these", {"sku": "milk-1"}, "sku"),
        ("bought", {}, "outcome"),
        ("picked", {"sku": "milk-1", "stars": 5}, "stars"),
    ],
)
def test_feedback_that_makes_no_sense_names_the_field(
    client: FlaskClient, query_id: str, service_engine: Engine, outcome: str, more: dict[str, Any], field: str
) -> None:
    answer = say(client, query_id, outcome, **more)
    assert answer.status_code == 422
    assert problem_of(answer)["problems"][0]["field"] == field
    assert picks_of(service_engine, query_id) == []


@pytest.mark.parametrize("body", ["", "not json", "[]", '"text"', "null", '{"query_id": "7", "outcome": "picked"}'])
def test_a_body_that_is_no_feedback_is_refused(client: FlaskClient, body: str) -> None:
    answer = client.post("/v1/feedback", data=body, content_type="application/json")
    assert answer.status_code == 422
    assert problem_of(answer)["code"] == "request_invalid"


def test_anothers_query_looks_like_one_that_does_not_exist(
    application: Flask, client: FlaskClient, query_id: str, shop: Shop, service_engine: Engine
) -> None:
    stranger = signed_in(application, shop)
    for attempt in (
        say(stranger, query_id, "none_of_these"),
        say(stranger, str(uuid4()), "none_of_these"),
        stranger.delete(f"/v1/queries/{query_id}"),
        stranger.delete(f"/v1/queries/{uuid4()}"),
        stranger.post("/v1/recommendations", json={"sku": "cap", "query_id": query_id}),
    ):
        assert attempt.status_code == 404
        assert problem_of(attempt)["code"] == "query_not_found"
    assert picks_of(service_engine, query_id) == []
    assert client.delete(f"/v1/queries/{query_id}").status_code == 204


def test_an_admin_may_delete_any_query(anyone: FlaskClient, query_id: str, shop: Shop) -> None:
    answer = anyone.delete(f"/v1/queries/{query_id}", headers={"Authorization": f"Bearer {shop.admin_key}"})
    assert answer.status_code == 204


def test_deleting_takes_the_row_the_pick_and_the_kept_photo(
    client: FlaskClient, service_engine: Engine, media: MediaStore
) -> None:
    photo = draw((77, 88, 99))
    kept = search(client, photo, keep_photo="true").json["query_id"]
    say(client, kept, "picked", sku="cap")
    assert media.exists(content_hash(photo))
    answer = client.delete(f"/v1/queries/{kept}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert picks_of(service_engine, kept) == []
    with service_engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM queries WHERE id = :id"), {"id": kept}) == 0
    assert not media.exists(content_hash(photo))
    assert client.delete(f"/v1/queries/{kept}").status_code == 404


def test_a_photo_goes_with_the_last_that_refers_to_it(client: FlaskClient, shop: Shop, media: MediaStore) -> None:
    photo = draw((99, 88, 77))
    first, second = (search(client, photo, keep_photo="true").json["query_id"] for _ in range(2))
    client.delete(f"/v1/queries/{first}")
    assert media.exists(content_hash(photo))
    client.delete(f"/v1/queries/{second}")
    assert not media.exists(content_hash(photo))
    reference = shop.photos["shoe"]
    kept = search(client, reference, keep_photo="true").json["query_id"]
    client.delete(f"/v1/queries/{kept}")
    assert media.exists(content_hash(reference))


def test_an_id_that_is_none_is_refused(client: FlaskClient) -> None:
    answer = client.delete("/v1/queries/7")
    assert answer.status_code == 422
    assert problem_of(answer)["problems"][0]["field"] == "query_id"
