"""Whatever the description allows, or nearly allows, is answered as the description says; nothing is a fault of ours.

Schemathesis makes the requests from ``/openapi.json``; they reach the application by WSGI, and a real database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from app.factory import create_app
from tests.app.api.admin_world import TwoProcesses, two_processes
from tests.app.api.fuzz import sizes

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]
UNAVAILABLE = {503}
"""Of the 5xx only this may come: the house is full, or something has been taken away (a model, by a rollback)."""

SECRETS = (b"Traceback", b"sqlalchemy", b"psycopg", b"SELECT ", b"INSERT INTO", b"site-packages", b"werkzeug", b".py")
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[TwoProcesses]:
    """A shop of its own: made-up requests change it."""
    with two_processes(tmp_path_factory.mktemp("fuzzed-home"), database_url) as service:
        yield service


@pytest.fixture(scope="module")
def application(service: TwoProcesses) -> Flask:
    return create_app(service.first.container)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_the_service_does_what_its_description_says(
    application: Flask, service: TwoProcesses, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", application)
    answers: Counter[int] = Counter()
    asked = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        bearers = _bearers(service, operation.path)
        strategy = operation.as_strategy(generation_mode=mode)
        try:
            _ask(operation, strategy, bearers, answers)
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, operation.label
            continue  # a route that takes nothing has nothing to be wrong
        asked.add((operation.method.upper(), operation.path))
    print(f"{mode.value}: {sum(answers.values())} requests to {len(asked)} routes: {dict(sorted(answers.items()))}")
    assert len(asked) >= (25 if mode is GenerationMode.NEGATIVE else 37)
    assert min(answers) >= 200 and any(200 <= status < 300 for status in answers) and 422 in answers


def _bearers(service: TwoProcesses, path: str) -> list[str]:
    """Who asks: the right one mostly, then somebody who may not."""
    shopper = service.first.shopper.environ_base["HTTP_AUTHORIZATION"]
    admin = service.first.admin.environ_base["HTTP_AUTHORIZATION"]
    right, other = (admin, shopper) if "/admin/" in path else (shopper, admin)
    return [right, right, right, other, right, right, right, "Bearer nobody"]


def _ask(operation: Any, strategy: Any, bearers: list[str], answers: Counter[int]) -> None:
    """Make requests of one route and judge each answer."""

    @seed(sizes.seed())
    @settings(
        max_examples=sizes.examples(),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case: Any) -> None:
        bearer = bearers[sum(answers.values()) % len(bearers)]
        answer = case.call(headers={"Authorization": bearer})
        answers[answer.status_code] += 1
        _judge(case, answer)

    ask()


def _judge(case: Any, answer: Any) -> None:
    what = f"{case.method} {case.formatted_path}: {answer.status_code} {answer.content[:300]!r}"
    assert not [secret for secret in SECRETS if secret in answer.content], what
    headers = {name.lower(): values[0] for name, values in answer.headers.items()}
    assert headers.items() >= HEADERS.items(), what
    assert "x-request-id" in headers, what
    if answer.status_code in UNAVAILABLE:
        assert "retry-after" in headers, what
        return
    if answer.status_code >= 400:
        problem = answer.json()
        assert headers["content-type"] == "application/problem+json", what
        assert problem["status"] == answer.status_code and problem["code"], what
    case.validate_response(answer, checks=CHECKS)
