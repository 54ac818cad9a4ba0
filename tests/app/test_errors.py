"""The table of errors: a row each, and a test a row."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

import pytest
from flask import Flask, g
from sqlalchemy.exc import OperationalError

from app import errors as app_errors
from app.api import headers, problems
from app.error_table import HTTP_CODES, TABLE, row_for
from app.errors import FieldProblem, RequestInvalid
from models import errors as models_errors
from models.errors import PicktureError

EXPECTED = {
    "internal": 500,
    "limit_exceeded": 429,
    "photo_invalid": 422,
    "photo_empty": 422,
    "photo_too_large": 413,
    "photo_format_unsupported": 415,
    "photo_damaged": 422,
    "photo_undecodable": 422,
    "backbone_error": 503,
    "network_busy": 503,
    "deadline_exceeded": 503,
    "weights_not_found": 503,
    "weights_mismatch": 503,
    "backbone_not_ready": 503,
    "bundle_error": 503,
    "bundle_not_found": 503,
    "bundle_damaged": 503,
    "bundle_mismatch": 503,
    "usage_error": 422,
    "request_error": 400,
    "request_invalid": 422,
    "not_available": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "cursor_invalid": 422,
    "idempotency_key_reused": 422,
    "conflict": 409,
    "job_running": 409,
    "job_ended": 409,
    "upload_gone": 409,
    "uploads_full": 409,
    "review_decided": 409,
    "review_flagged": 409,
    "review_limit": 409,
    "precondition_failed": 412,
    "precondition_required": 428,
    "no_earlier_model": 409,
    "space_mismatch": 409,
    "space_incomplete": 409,
    "text_not_trained": 409,
    "space_in_use": 409,
    "proposal_decided": 409,
    "proposal_outdated": 409,
    "proposal_not_found": 404,
    "text_model_not_found": 404,
    "space_not_found": 404,
    "catalogue_changed": 409,
    "not_found": 404,
    "product_not_found": 404,
    "category_not_found": 404,
    "query_not_found": 404,
    "media_not_found": 404,
    "key_not_found": 404,
    "job_not_found": 404,
    "review_item_not_found": 404,
    "model_not_found": 404,
    "database_error": 503,
    "database_unavailable": 503,
    "database_outdated": 503,
    "unavailable": 503,
    "not_ready": 503,
    "overloaded": 503,
    "storage_full": 503,
}


def defined() -> Iterator[type[PicktureError]]:
    """Every error class of the two trees."""
    for module in (models_errors, app_errors):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, PicktureError) and value.__module__ == module.__name__:
                yield value


@pytest.fixture
def bare() -> Flask:
    """An application with nothing but the error handling."""
    app = Flask("bare")
    headers.init_app(app, 1024, ())
    problems.init_app(app)
    return app


@pytest.mark.parametrize("kind", sorted(TABLE, key=lambda kind: kind.code), ids=lambda kind: kind.code)
def test_each_row_answers_with_its_status_and_code(bare: Flask, kind: type[PicktureError]) -> None:
    secret = "/var/lib/pickture/secret"

    @bare.get("/")
    def fail() -> str:
        raise kind(f"came 7, expected 8 at {secret}")

    answer = bare.test_client().get("/")
    assert answer.status_code == EXPECTED[kind.code] == TABLE[kind].status
    assert answer.mimetype == "application/problem+json"
    body = answer.get_json()
    assert (body["status"], body["code"], body["title"]) == (answer.status_code, kind.code, TABLE[kind].title)
    assert body["instance"] == f"urn:uuid:{answer.headers['X-Request-Id']}"
    assert (body.get("detail") is not None) is TABLE[kind].public
    assert (secret in answer.text) is TABLE[kind].public
    assert ("Retry-After" in answer.headers) is (answer.status_code in (429, 503))
    assert ("WWW-Authenticate" in answer.headers) is (answer.status_code == 401)


def test_the_expectations_above_are_the_whole_table() -> None:
    assert {kind.code: row.status for kind, row in TABLE.items()} == EXPECTED
    assert len({row.title for row in TABLE.values()}) == len(TABLE)


def test_every_error_of_the_service_has_a_row_and_every_code_is_unique_and_tidy() -> None:
    kinds = [kind for kind in defined() if not issubclass(kind, models_errors.TrainingError)]
    assert {kind.__name__ for kind in kinds} == {kind.__name__ for kind in TABLE}
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z][a-z_]+", code) for code in codes)


def test_a_class_without_a_row_takes_its_ancestors() -> None:
    class Foreseen(app_errors.NotFoundError):
        code = "foreseen"

    assert row_for(Foreseen) is TABLE[app_errors.NotFoundError]
    assert row_for(models_errors.NotEnoughData) is TABLE[PicktureError]
    assert row_for(ZeroDivisionError) is TABLE[PicktureError]


def test_an_unexpected_exception_shows_the_client_nothing_of_itself(
    bare: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @bare.get("/")
    def fail() -> str:
        raise ZeroDivisionError("password=hunter2")

    answer = bare.test_client().get("/")
    assert answer.status_code == 500
    body = answer.get_json()
    assert body == {
        "type": "about:blank",
        "title": "The service failed",
        "status": 500,
        "code": "internal",
        "instance": f"urn:uuid:{answer.headers['X-Request-Id']}",
    }
    assert answer.headers["X-Request-Id"] in caplog.text
    assert "hunter2" in caplog.text


class _DiskFull(Exception):
    """What psycopg2 raises where PostgreSQL cannot write."""

    pgcode = "53100"


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/var/lib/secret"), 503, "storage_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 503, "storage_full"),
        (OSError(errno.EIO, "Input/output error"), 500, "internal"),
        (OperationalError("INSERT ...", {}, _DiskFull("could not extend file")), 503, "storage_full"),
        (OperationalError("SELECT 1", {}, Exception("connection refused")), 503, "database_unavailable"),
    ],
    ids=["full", "quota", "other", "database-full", "database-away"],
)
def test_a_full_disk_is_told_apart(bare: Flask, raised: Exception, status: int, code: str) -> None:
    @bare.get("/")
    def fail() -> str:
        raise raised

    answer = bare.test_client().get("/")
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert "secret" not in answer.text
    assert ("Retry-After" in answer.headers) is (status == 503)


def test_invalid_fields_are_listed(bare: Flask) -> None:
    @bare.get("/")
    def fail() -> str:
        raise RequestInvalid("two wrong", [FieldProblem("a", "too long"), FieldProblem("b.0", "missing")])

    assert bare.test_client().get("/").get_json()["problems"] == [
        {"field": "a", "reason": "too long"},
        {"field": "b.0", "reason": "missing"},
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [("GET", "/nowhere", b"", 404), ("DELETE", "/", b"", 405), ("POST", "/", b"x" * 2000, 413)],
)
def test_what_the_framework_refuses_has_the_same_shape(
    bare: Flask, method: str, path: str, body: bytes, status: int
) -> None:
    @bare.post("/")
    def read() -> str:
        from flask import request

        return str(len(request.get_data()))

    answer = bare.test_client().open(path, method=method, data=body)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["code"] == HTTP_CODES[status]
    if status == 405:
        assert "POST" in answer.headers["Allow"]


def test_the_request_id_is_the_services_own(bare: Flask) -> None:
    @bare.get("/")
    def name() -> str:
        return str(g.request_id)

    answer = bare.test_client().get("/", headers={"X-Request-Id": "<script>"})
    assert answer.text == answer.headers["X-Request-Id"] != "<script>"
