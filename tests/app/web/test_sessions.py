"""POST /web/sessions: the page's own way to a session, over HTTP against a real database."""

from __future__ import annotations

from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from app.config import Settings
from app.factory import create_app
from app.services.access import AccessService
from app.wiring import assemble
from tests.app.api.conftest import problem_of

PAGE = "http://localhost"


def client_of(engine: Engine, **options: object) -> FlaskClient:
    """A client of the service with its page."""
    return create_app(assemble(Settings(web=True, **options), engine)).test_client()  # type: ignore[arg-type]


@pytest.fixture
def client(web_engine: Engine) -> FlaskClient:
    return client_of(web_engine)


def opened(client: FlaskClient, **headers: str) -> str:
    answer = client.post("/web/sessions", json={"installation_id": str(uuid4())}, headers=headers)
    assert answer.status_code == 201, answer.text
    assert set(answer.json) == {"token", "expires_at", "words"}
    token: str = answer.json["token"]
    return token


def listing(client: FlaskClient, token: str) -> int:
    return client.get("/v1/brands", headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_session_of_the_page_reaches_what_a_shopper_may(client: FlaskClient, web_engine: Engine) -> None:
    installation = uuid4()
    answer = client.post("/web/sessions", json={"installation_id": str(installation)}, headers={"Origin": PAGE})
    bearer = {"Authorization": f"Bearer {answer.json['token']}"}
    assert client.get("/v1/brands", headers=bearer).status_code == 200
    assert problem_of(client.get("/v1/admin/jobs", headers=bearer))["code"] == "forbidden"
    with web_engine.connect() as connection:
        row = connection.execute(text("SELECT installation, key_id FROM sessions ORDER BY id DESC LIMIT 1")).one()
    assert row.installation == installation


def test_one_key_stands_for_the_page_and_revoking_it_ends_its_sessions(client: FlaskClient, web_engine: Engine) -> None:
    access = AccessService(web_engine, 60)
    first, second = opened(client), opened(client)
    [key] = [key for key in access.list_keys() if key.prefix == "shopper-page" and key.revoked_at is None]
    assert key.role == "app" and key.last_used_at is not None
    access.revoke_key(key.id)
    assert {listing(client, first), listing(client, second)} == {401}
    assert listing(client, opened(client)) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:81"},
        {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_get_no_session(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.post("/web/sessions", json={"installation_id": str(uuid4())}, headers=headers)
    assert problem_of(answer)["code"] == "forbidden"


@pytest.mark.parametrize("body", [{}, {"installation_id": "me"}, {"installation_id": str(uuid4()), "more": 1}])
def test_a_body_that_is_not_the_pages_is_refused(client: FlaskClient, body: dict[str, object]) -> None:
    assert problem_of(client.post("/web/sessions", json=body))["code"] == "request_invalid"


def test_a_form_is_refused(client: FlaskClient) -> None:
    answer = client.post("/web/sessions", data={"installation_id": str(uuid4())})
    assert problem_of(answer)["code"] == "media_type_unsupported"


def test_opening_sessions_counts_for_the_address(web_engine: Engine) -> None:
    client = client_of(web_engine, limit_per_address=3)
    client.environ_base["REMOTE_ADDR"] = "203.0.113.77"
    codes = [client.post("/web/sessions", json={"installation_id": str(uuid4())}).status_code for _ in range(8)]
    assert codes[0] == 201 and codes[-1] == 429
