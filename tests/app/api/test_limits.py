"""Limits on operations: who is counted, what counts as how much, and what the refused are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from app.config import Settings
from app.errors import LimitExceeded
from app.factory import create_app
from app.services.access import Principal
from app.services.limits import LimitRules, Limits, operations_of
from app.store.database import transaction
from app.store.operation_counts import count_operations
from app.wiring import assemble
from tests.app.api.conftest import problem_of
from tests.app.api.test_search import search
from tests.app.api.world import KnnLoader, Shop

Make = Callable[..., FlaskClient]


@pytest.fixture
def limited(settings: Settings, service_engine: Engine, loader: KnnLoader, shop: Shop) -> Iterator[Make]:
    """Makes clients of a service with these limits; each call is another process of it."""

    def make(*, per_installation: int = 0, per_address: int = 0, installation: str | None = None) -> FlaskClient:
        rules = {"limit_per_installation": per_installation, "limit_per_address": per_address}
        app = create_app(assemble(settings.model_copy(update=rules), service_engine, loader))
        client = app.test_client()
        # An address of its own, so that tests do not count on each other.
        client.environ_base["REMOTE_ADDR"] = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
        key = {"app_key": shop.app_key, **({} if installation is None else {"installation_id": installation})}
        token = client.post("/v1/sessions", json=key).json["token"]
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client

    yield make
    with service_engine.begin() as connection:
        connection.execute(text("TRUNCATE operation_counts"))


def statuses(client: FlaskClient, path: str, times: int) -> list[int]:
    return [client.get(path).status_code for _ in range(times)]


@pytest.fixture(autouse=True)
def within_one_minute(service_engine: Engine) -> None:
    """Start where a minute's end is far enough away for a test to lie within it."""
    with service_engine.connect() as connection:
        left = connection.scalar(text("SELECT 60 - extract(second FROM clock_timestamp())::float"))
        if left < 8:
            connection.execute(text("SELECT pg_sleep(:left)"), {"left": left + 0.1})


def test_an_installation_that_asks_too_often_is_told_when_to_come_back(limited: Make, shop: Shop) -> None:
    client = limited(per_installation=3)
    assert statuses(client, "/v1/brands?limit=1", 3) == [200, 200, 200]
    answer = search(client, shop.photos["cap"])
    assert answer.status_code == 429
    body = problem_of(answer)
    assert body["code"] == "limit_exceeded"
    assert "3 operations a minute from one installation" in body["detail"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert 'pickture_requests_limited_total{scope="installation"} 1.0' in client.get("/metrics").text


def test_a_photo_is_refused_before_it_is_read(limited: Make) -> None:
    client = limited(per_installation=1)
    assert statuses(client, "/v1/brands?limit=1", 1) == [200]
    # Not even a form: a body that was read would be refused as one.
    assert client.post("/v1/search", data=b"unread", content_type="text/plain").status_code == 429


def test_another_session_of_the_installation_and_another_process_count_on(limited: Make) -> None:
    installation = str(uuid4())
    first = limited(per_installation=4, installation=installation)
    second = limited(per_installation=4, installation=installation)
    assert statuses(first, "/v1/brands?limit=1", 3) == [200] * 3
    assert statuses(second, "/v1/brands?limit=1", 2) == [200, 429]
    other = limited(per_installation=4)
    assert statuses(other, "/v1/brands?limit=1", 1) == [200]


def test_an_address_counts_all_its_installations_and_opening_sessions(limited: Make, shop: Shop) -> None:
    client = limited(per_address=3)  # its session was one
    assert statuses(client, "/v1/brands?limit=1", 1) == [200]
    opened = client.post("/v1/sessions", json={"app_key": shop.app_key})
    assert opened.status_code == 201
    answer = client.get("/v1/brands?limit=1", headers={"Authorization": f"Bearer {opened.json['token']}"})
    assert answer.status_code == 429
    assert "one address" in problem_of(answer)["detail"]
    neighbour = client.environ_base["REMOTE_ADDR"].replace("::1", "::2")
    assert client.get("/v1/brands", environ_overrides={"REMOTE_ADDR": neighbour}).status_code == 429
    assert client.get("/v1/brands", environ_overrides={"REMOTE_ADDR": "192.0.2.77"}).status_code == 200


def test_whoever_guesses_tokens_is_stopped_and_learns_nothing_more(limited: Make, shop: Shop) -> None:
    client = limited(per_address=4)
    wrong = {"Authorization": "Bearer pk_admin_guessed"}
    assert [client.get("/v1/brands", headers=wrong).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    right = {"Authorization": f"Bearer {shop.admin_key}"}
    assert client.get("/v1/brands", headers=right).status_code == 429
    assert client.post("/v1/sessions", json={"app_key": "guessed"}).status_code == 429
    assert client.get("/v1/brands", headers={"Authorization": ""}).status_code == 429


def test_an_admin_key_is_no_installation(limited: Make, shop: Shop) -> None:
    client = limited(per_installation=1)
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {shop.admin_key}"
    assert statuses(client, "/v1/brands?limit=1", 4) == [200] * 4


@pytest.mark.parametrize(("items", "operations"), [(1, 1), (20, 1), (21, 2), (100, 5)])
def test_long_pages_count_more(limited: Make, items: int, operations: int) -> None:
    assert operations_of(items) == operations
    client = limited(per_installation=10)
    assert statuses(client, f"/v1/products?limit={items}", 10 // operations + 1)[-2:] == [200, 429]
    body = {"sku": "milk-1", "limit": items}
    other = limited(per_installation=10)
    codes = [other.post("/v1/recommendations", json=body).status_code for _ in range(10 // operations + 1)]
    assert codes == [200] * (10 // operations) + [429]


def test_each_photo_and_each_decision_of_a_batch_counts(limited: Make, shop: Shop) -> None:
    client = limited(per_address=6)  # its session was one
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {shop.admin_key}"
    ids = [str(uuid4()) for _ in range(5)]
    assert client.post("/v1/admin/review", json={"action": "discard", "ids": ids}).status_code == 200
    assert client.get("/v1/brands").status_code == 429
    photos = limited(per_address=3)
    photos.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {shop.admin_key}"
    form = {"photo": [(BytesIO(b"x"), f"{number}.jpg") for number in range(3)]}
    answer = photos.post("/v1/admin/products/milk-1/images", data=form)
    assert answer.status_code == 429


def test_without_limits_nothing_is_counted(limited: Make, service_engine: Engine) -> None:
    client = limited()
    statuses(client, "/v1/brands", 2)
    with service_engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM operation_counts")) == 0


def test_old_minutes_are_forgotten(service_engine: Engine) -> None:
    with transaction(service_engine) as session:
        session.execute(text("INSERT INTO operation_counts SELECT now() - interval '6 minutes', 'address old', 1"))
        [used] = count_operations(session, [f"address {uuid4()}"], 2)
        assert used.operations == 2
        assert session.scalar(text("SELECT count(*) FROM operation_counts WHERE subject = 'address old'")) == 0


def test_an_app_without_a_name_is_counted_by_its_session(service_engine: Engine) -> None:
    limits = Limits(service_engine, LimitRules(per_installation=2, per_address=0))
    session_id = uuid4().int % 10**9
    limits.spend(Principal("app", 1, session_id), None, 2)
    with pytest.raises(LimitExceeded, match="2 operations"):
        limits.spend(Principal("app", 1, session_id), None)
    limits.spend(Principal("app", 1, session_id + 1), None)
    limits.spend(None, None)
