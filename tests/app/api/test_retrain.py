"""POST /v1/admin/retrain without a worker: who may, what may be said, what is the same request, the audit line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from tests.app.api.conftest import problem_of
from tests.app.api.world import Shop

PATH = "/v1/admin/retrain"


@pytest.fixture
def admin(application: Flask, shop: Shop, service_engine: Engine) -> Iterator[FlaskClient]:
    """A client with an admin key; the jobs it asks for are forgotten afterwards."""
    made = application.test_client()
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {shop.admin_key}"
    yield made
    with service_engine.begin() as connection:
        connection.execute(text("DELETE FROM jobs"))
        connection.execute(text("DELETE FROM procrastinate_jobs"))


def shown(admin: FlaskClient, answer: Any) -> dict[str, Any]:
    """The job that an answer names."""
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = admin.get(answer.headers["Location"]).json
    assert job["job_id"] == answer.json["job_id"]
    return job


def test_only_admin_keys_may(client: FlaskClient, anyone: FlaskClient) -> None:
    assert problem_of(client.post(PATH, json={}))["code"] == "forbidden"
    assert problem_of(anyone.post(PATH, json={}))["code"] == "unauthorized"


def test_nothing_need_be_said(admin: FlaskClient) -> None:
    job = shown(admin, admin.post(PATH))
    assert (job["kind"], job["state"], job["parameters"]) == ("retrain", "queued", {"promote": "auto"})


def test_what_is_said_reaches_the_job(admin: FlaskClient) -> None:
    body = {"folds": 3, "without_variants": True, "promote": "never"}
    assert shown(admin, admin.post(PATH, json=body))["parameters"] == body


def test_another_training_is_named_and_a_retraining_keeps_others_out(admin: FlaskClient) -> None:
    first = admin.post(PATH, json={})
    for again in (admin.post(PATH, json={}), admin.post("/v1/admin/jobs", json={"kind": "train"})):
        refused = problem_of(again)
        assert (refused["status"], refused["code"], refused["job_id"]) == (409, "job_running", first.json["job_id"])
    assert "(retrain) is queued" in refused["detail"]


def test_the_same_key_and_request_give_the_same_job(admin: FlaskClient) -> None:
    headers = {"Idempotency-Key": "tonight"}
    first = admin.post(PATH, json={"folds": 3}, headers=headers)
    assert admin.post(PATH, json={"folds": 3}, headers=headers).json == first.json
    assert problem_of(admin.post(PATH, json={"folds": 4}, headers=headers))["code"] == "idempotency_key_reused"
    assert problem_of(admin.post(PATH, json={}, headers={"Idempotency-Key": ""}))["code"] == "request_invalid"


@pytest.mark.parametrize(
    "body", [{"folds": 1}, {"promote": "maybe"}, {"kind": "train"}, {"originals_only": True}, [], "auto", 7]
)
def test_unfit_requests_are_refused(admin: FlaskClient, body: Any) -> None:
    assert problem_of(admin.post(PATH, json=body))["code"] == "request_invalid"
    assert admin.get("/v1/admin/jobs").json["items"] == []


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_a_body_that_cannot_be_read_is_not_taken_for_none(admin: FlaskClient, content_type: str) -> None:
    answer = admin.post(PATH, data='{"promote": "never"', content_type=content_type)
    assert problem_of(answer)["code"] == "request_invalid"


def test_it_is_written_to_the_audit_log(admin: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="pickture.audit"):
        admin.post(PATH, json={})
    [line] = [json.loads(record.message) for record in caplog.records if record.name == "pickture.audit"]
    assert (line["action"], line["status"]) == ("POST /v1/admin/retrain", 202)
    assert line["key_id"] is not None
