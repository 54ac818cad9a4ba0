"""Keys and sessions over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from app.errors import KeyNotFound, Unauthorized
from app.services.access import AccessService, digest
from app.wiring import Container
from models.errors import UsageError
from tests.app.api.conftest import problem_of, signed_in
from tests.app.api.world import Shop


def test_a_session_lives_as_long_as_the_settings_say(anyone: FlaskClient, shop: Shop) -> None:
    answer = anyone.post("/v1/sessions", json={"app_key": shop.app_key})
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    left = datetime.fromisoformat(answer.json["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(minutes=60)
    assert len(answer.json["token"]) >= 43


def test_every_token_is_another(anyone: FlaskClient, shop: Shop) -> None:
    tokens = {anyone.post("/v1/sessions", json={"app_key": shop.app_key}).json["token"] for _ in range(3)}
    assert len(tokens) == 3


@pytest.mark.parametrize("key", ["nonsense", "pk_app_" + "A" * 43, "", "admin"])
def test_a_wrong_app_key_opens_nothing(anyone: FlaskClient, shop: Shop, key: str) -> None:
    answer = anyone.post("/v1/sessions", json={"app_key": shop.admin_key if key == "admin" else key})
    assert problem_of(answer)["code"] in ("unauthorized", "request_invalid")
    assert answer.status_code in (401, 422)


def test_unknown_revoked_and_admin_keys_get_the_same_answer(
    anyone: FlaskClient, shop: Shop, container: Container
) -> None:
    revoked = container.access.create_key("app")
    container.access.revoke_key(revoked.info.id)
    bodies = []
    for key in ("pk_app_unknown", revoked.key, shop.admin_key):
        answer = anyone.post("/v1/sessions", json={"app_key": key})
        assert answer.status_code == 401
        body = problem_of(answer)
        del body["instance"]
        bodies.append(body)
    assert bodies[0] == bodies[1] == bodies[2]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Bearer ",
        "Basic eDp5",
        "Bearer ps_unknown",
        "Bearer " + "A" * 300,
        "bearer ps_\u00e9",
    ],
)
def test_v1_asks_for_a_live_token(anyone: FlaskClient, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = anyone.get("/v1/products", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert problem_of(answer)["code"] == "unauthorized"


def test_an_app_key_is_no_token_and_an_admin_key_is(anyone: FlaskClient, shop: Shop) -> None:
    def status(token: str) -> int:
        return anyone.get("/v1/products", headers={"Authorization": f"Bearer {token}"}).status_code

    assert status(shop.app_key) == 401
    assert status(shop.admin_key) == 200


def test_revoking_a_key_ends_its_sessions(application: Flask, container: Container, shop: Shop) -> None:
    key = container.access.create_key("app")
    client = signed_in(application, Shop(shop.space_id, {}, key.key, ""))
    assert client.get("/v1/products").status_code == 200
    container.access.revoke_key(key.info.id)
    assert client.get("/v1/products").status_code == 401


def test_an_expired_session_is_refused_and_later_removed(service_engine: Engine, shop: Shop) -> None:
    access = AccessService(service_engine, 60)
    grant = access.open_session(shop.app_key, "192.0.2.7")
    where = {"hash": digest(grant.token)}
    with service_engine.begin() as connection:
        connection.execute(
            text("UPDATE sessions SET expires_at = now() - interval '1 second' WHERE token_sha256 = :hash"),
            where,
        )
    with pytest.raises(Unauthorized):
        access.authenticate(grant.token)
    with service_engine.begin() as connection:
        connection.execute(
            text("UPDATE sessions SET expires_at = now() - interval '8 days' WHERE token_sha256 = :hash"),
            where,
        )
    access.open_session(shop.app_key, None)
    with service_engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sessions WHERE token_sha256 = :hash"), where) == 0


def test_neither_keys_nor_tokens_are_stored(service_engine: Engine, shop: Shop) -> None:
    access = AccessService(service_engine, 60)
    made = access.create_key("app", "not stored")
    token = access.open_session(made.key, None).token
    with service_engine.connect() as connection:
        keys = connection.execute(text("SELECT access_keys::text FROM access_keys")).scalars().all()
        sessions = connection.execute(text("SELECT sessions::text FROM sessions")).scalars().all()
    stored = "\n".join([*keys, *sessions])
    assert made.key not in stored and token not in stored
    assert digest(made.key) in stored and digest(token) in stored


def test_keys_are_listed_by_prefix_and_revoking_keeps_the_first_time(service_engine: Engine, shop: Shop) -> None:
    access = AccessService(service_engine, 60)
    made = access.create_key("admin", "the till")
    assert made.key.startswith("pk_admin_")
    access.revoke_key(made.info.id)
    [first] = [key for key in access.list_keys() if key.id == made.info.id]
    access.revoke_key(made.info.id)
    [second] = [key for key in access.list_keys() if key.id == made.info.id]
    assert first == second
    assert first.revoked_at is not None and first.name == "the till"
    assert made.key.startswith(first.prefix) and len(first.prefix) == 12
    with pytest.raises(KeyNotFound, match="keys list"):
        access.revoke_key(2_000_000)
    with pytest.raises(UsageError, match="app, admin"):
        access.create_key("root")
