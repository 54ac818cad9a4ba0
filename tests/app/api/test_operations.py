"""Liveness, readiness, metrics, the description and its page, and what every response shares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from app.config import Settings
from app.factory import create_app
from app.store.database import make_engine
from app.wiring import assemble
from tests.app.api.conftest import problem_of
from tests.app.api.test_search import search
from tests.app.api.world import VERSION, KnnLoader, Shop

ROUTES = {
    ("GET", "/v1/admin/products/{sku}"),
    ("PUT", "/v1/admin/products/{sku}"),
    ("DELETE", "/v1/admin/products/{sku}"),
    ("POST", "/v1/admin/products/{sku}/images"),
    ("DELETE", "/v1/admin/products/{sku}/images/{content_hash}"),
    ("GET", "/v1/admin/models"),
    ("GET", "/v1/admin/models/{version}"),
    ("GET", "/v1/admin/models/{version}/report"),
    ("POST", "/v1/admin/models/{version}/promote"),
    ("POST", "/v1/admin/models/rollback"),
    ("POST", "/v1/admin/imports"),
    ("GET", "/v1/admin/jobs"),
    ("POST", "/v1/admin/jobs"),
    ("GET", "/v1/admin/jobs/{job_id}"),
    ("POST", "/v1/admin/jobs/{job_id}/cancel"),
    ("POST", "/v1/admin/retrain"),
    ("GET", "/v1/admin/review"),
    ("POST", "/v1/admin/review"),
    ("GET", "/v1/admin/review/{query_id}"),
    ("POST", "/v1/admin/review/{query_id}"),
    ("GET", "/v1/admin/review/{query_id}/photo"),
    ("DELETE", "/v1/admin/queries/{query_id}"),
    ("GET", "/v1/admin/spaces"),
    ("GET", "/v1/admin/proposals"),
    ("POST", "/v1/admin/proposals"),
    ("GET", "/v1/admin/proposals/{proposal_id}"),
    ("POST", "/v1/admin/proposals/{proposal_id}"),
    ("GET", "/v1/admin/text"),
    ("GET", "/v1/admin/text/report"),
    ("GET", "/v1/admin/text/stop-words"),
    ("POST", "/v1/admin/text/stop-words"),
    ("POST", "/v1/sessions"),
    ("POST", "/v1/search"),
    ("POST", "/v1/recommendations"),
    ("POST", "/v1/feedback"),
    ("DELETE", "/v1/feedback/{query_id}"),
    ("DELETE", "/v1/queries/{query_id}"),
    ("GET", "/v1/products"),
    ("GET", "/v1/products/{sku}"),
    ("GET", "/v1/categories"),
    ("GET", "/v1/brands"),
    ("GET", "/media/{token}/{rendition}.webp"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
}


def test_alive_and_ready(anyone: FlaskClient, shop: Shop) -> None:
    assert anyone.get("/healthz").json == {"status": "alive"}
    answer = anyone.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {
        "status": "ready",
        "database": "ok",
        "model_version": VERSION,
        "weights": "fake",
        "space": "fake-space",
        "refused": None,
    }


def test_not_ready_without_a_model(anyone: FlaskClient, loader: KnnLoader) -> None:
    loader.published = None
    answer = anyone.get("/readyz")
    assert answer.status_code == 503
    assert problem_of(answer)["code"] == "bundle_not_found"
    assert anyone.get("/healthz").status_code == 200


def test_without_its_database_the_service_is_alive_and_not_ready(loader: KnnLoader, tmp_path: Path) -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/nothing")
    lost = create_app(assemble(Settings(home=tmp_path), engine, loader)).test_client()
    assert lost.get("/healthz").status_code == 200
    for answer in (lost.get("/readyz"), lost.post("/v1/sessions", json={"app_key": "x"})):
        assert answer.status_code == 503
        assert problem_of(answer)["code"] == "database_unavailable"
        assert "127.0.0.1" not in answer.text


def test_metrics_count_requests_by_route_and_searches_by_verdict(client: FlaskClient, shop: Shop) -> None:
    search(client, shop.photos["cap"])
    client.get("/v1/products/cap")
    client.get("/v1/products/shoe")
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    assert 'pickture_searches_total{verdict="known"} 1.0' in text
    assert 'route="/v1/products/<path:sku>",status="200"} 2.0' in text
    assert 'route="unmatched",status="404"} 1.0' in text
    assert 'pickture_search_stage_seconds_count{stage="network"} 1.0' in text
    assert "pickture_searches_in_work 0.0" in text
    assert "cap" not in re.sub(r"#.*", "", text)


def test_the_description_is_valid_and_names_every_route(anyone: FlaskClient) -> None:
    spec = anyone.get("/openapi.json").json
    validate(spec)
    assert spec["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, item in spec["paths"].items() for method in item}
    assert described == ROUTES


def test_the_description_says_who_needs_a_token_and_how_failures_look(anyone: FlaskClient) -> None:
    spec = anyone.get("/openapi.json").json
    for path, item in spec["paths"].items():
        for operation in item.values():
            open_to_all = not path.startswith("/v1") or path == "/v1/sessions"
            assert operation.get("security") == (None if open_to_all else [{"bearer": []}]), path
            assert operation["summary"]
            assert set(operation["responses"]["422"]["content"]) == {"application/problem+json"}
            assert set(operation["responses"]["default"]["content"]) == {"application/problem+json"}
    form = spec["paths"]["/v1/search"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {
        "photo", "text", "category", "crop", "top_k", "keep_photo", "explain",
    }  # fmt: skip
    assert spec["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_the_page_loads_nothing_from_another_host(anyone: FlaskClient) -> None:
    page = anyone.get("/docs")
    assert page.mimetype == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "http" not in page.headers["Content-Security-Policy"]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 4
    for address in loaded:
        assert address.startswith("/") or address == "data:,"
        if address.startswith("/"):
            assert anyone.get(address).status_code == 200, address
    assert "<script>" not in page.text
    assert "validatorUrl: null" in anyone.get("/docs/start.js").text
    assert anyone.get("/docs/css/../../plugins.py").status_code == 404
    assert anyone.get("/docs/__init__.py").status_code == 404


def test_every_response_carries_the_protective_headers(anyone: FlaskClient, shop: Shop) -> None:
    for path in ("/healthz", "/docs", "/v1/products", "/nowhere", "/media/AAAAAAAAAAAAAAAAAAAAAAAA/800.webp"):
        answer = anyone.get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"]
        assert len(answer.headers["X-Request-Id"]) == 36


def test_cors_is_closed_by_default(anyone: FlaskClient) -> None:
    origin = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    for answer in (anyone.get("/healthz", headers=origin), anyone.options("/v1/search", headers=origin)):
        assert "Access-Control" not in str(answer.headers)


def test_cors_opens_for_the_origins_named(settings: Settings, application: Flask, loader: KnnLoader) -> None:
    container = application.extensions["pickture"]
    opened = settings.model_copy(update={"cors_origins": ("https://shop.example",)})
    client = create_app(assemble(opened, container.engine, loader)).test_client()
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = client.options("/v1/search", headers={"Origin": "https://shop.example", **preflight})
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "authorization" in allowed.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    refused = client.options("/v1/search", headers={"Origin": "https://shop.example.evil.test", **preflight})
    assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/feedback", "/v1/recommendations"])
def test_json_bodies_are_bounded_far_below_photos(client: FlaskClient, path: str) -> None:
    answer = client.post(path, data=b'{"app_key": "' + b"x" * 70_000 + b'"}', content_type="application/json")
    assert answer.status_code == 413
    assert problem_of(answer)["code"] == "request_too_large"


def test_uploads_stay_in_memory(application: Flask, shop: Shop) -> None:
    from io import BytesIO

    with application.test_request_context(
        "/v1/search", method="POST", data={"photo": (BytesIO(bytes(1_500_000)), "a.jpg")}
    ):
        from flask import request

        assert isinstance(request.files["photo"].stream, BytesIO)
