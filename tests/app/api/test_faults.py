"""Faults of the service: the client gets an id and nothing else, the log gets everything, under that id."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from app.api import logs
from app.logs import JsonLines
from app.wiring import Container
from tests.app.api.conftest import problem_of
from tests.app.api.test_search import search
from tests.app.api.world import Shop

SECRET = "/srv/pickture/secret.key"


class Lines(logging.Handler):
    """Keeps what the service would write."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines(logs.request_id))
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(level)


def assert_nothing_told(answer: Any) -> dict[str, Any]:
    problem = problem_of(answer)
    assert "detail" not in problem
    for word in ("Traceback", "SELECT", "products", "psycopg", "sqlalchemy", SECRET, ".py"):
        assert word not in answer.text, word
    return problem


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError(f"cannot open {SECRET}"),
        FileNotFoundError(2, "No such file", SECRET),
        ProgrammingError("SELECT secret FROM products", {}, Exception(f"at {SECRET}")),
        KeyError(SECRET),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_fault_is_told_to_the_log_alone(
    client: FlaskClient,
    container: Container,
    shop: Shop,
    lines: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(container.search, "search", fail)
    answer = search(client, shop.photos["cap"])
    assert answer.status_code == 500
    assert assert_nothing_told(answer)["code"] == "internal"
    mine = [line for line in lines if line.get("request_id") == answer.headers["X-Request-Id"]]
    assert any(SECRET in line.get("error", "") and "Traceback" in line["error"] for line in mine)


def test_a_table_that_is_gone_is_a_fault_without_a_word_of_sql(
    client: FlaskClient, service_engine: Engine, lines: list[dict[str, Any]]
) -> None:
    with service_engine.begin() as connection:
        connection.execute(text("ALTER TABLE brands RENAME TO brands_gone"))
    try:
        answer = client.get("/v1/brands")
    finally:
        with service_engine.begin() as connection:
            connection.execute(text("ALTER TABLE brands_gone RENAME TO brands"))
    assert answer.status_code == 500
    assert_nothing_told(answer)
    assert any("UndefinedTable" in line.get("error", "") for line in lines)
    assert client.get("/v1/brands").status_code == 200


def test_each_request_is_one_line_with_its_id_and_without_address_or_path(
    client: FlaskClient, shop: Shop, lines: list[dict[str, Any]]
) -> None:
    answer = client.get("/v1/products/milk-1?x=1", environ_overrides={"REMOTE_ADDR": "192.0.2.9"})
    client.get("/healthz")
    client.get("/nowhere/secret")
    told = [line for line in lines if line.get("event") == "request"]
    assert [(line["route"], line["status"], line["code"]) for line in told] == [
        ("/v1/products/<path:sku>", answer.status_code, answer.json.get("code")),
        (None, 404, "route_not_found"),
    ]
    assert told[0]["request_id"] == answer.headers["X-Request-Id"]
    assert told[0]["ms"] > 0 and told[0]["method"] == "GET"
    everything = json.dumps(told)
    for secret in ("milk-1", "192.0.2.9", "secret", "x=1"):
        assert secret not in everything
