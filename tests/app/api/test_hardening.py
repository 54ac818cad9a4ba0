"""What nobody may make the service do; ``docs/hardening.md`` lists which test watches what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from app.api.fields import PAGE_LIMIT
from app.config import Settings
from app.factory import create_app
from app.wiring import assemble
from tests.app.api.conftest import problem_of, signed_in
from tests.app.api.test_search import search
from tests.app.api.world import KnnLoader, Shop, draw

ROOT = Path(__file__).resolve().parents[3]
FETCHERS = {"requests", "urllib.request", "urllib3", "http.client", "httpx", "aiohttp", "ftplib", "socket"}
SERVING = ("app/api", "app/services", "app/factory.py", "app/wiring.py", "models/photo", "models/recognizer.py")
OWN_PROCESSES = {"socket"}
"""Used between a process and its own decoders (socketpair), never to reach an address."""

WITHOUT_PAGES = {
    "/v1/admin/models": "versions: one a training",
    "/v1/admin/spaces": "spaces: one a weight source",
    "/v1/admin/text": "two models",
    "/v1/admin/text/stop-words": "the first of what one training proposes",
    "/v1/categories": "at most 2,000 nodes; `truncated` says so",
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_nothing_that_serves_can_fetch_an_address_that_a_client_names() -> None:
    files = [
        path
        for place in SERVING
        for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    assert len(files) > 30
    for path in files:
        found = set(imported(path)) & FETCHERS
        if path.is_relative_to(ROOT / "models" / "photo"):
            found -= OWN_PROCESSES
        assert not found, f"{path.relative_to(ROOT)} imports {found}"


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_every_list_is_cut_into_pages(anyone: FlaskClient) -> None:
    spec = anyone.get("/openapi.json").json
    schemas = spec["components"]["schemas"]
    seen = 0
    for method, path, operation in operations(spec):
        answer = operation["responses"].get("200", {}).get("content", {}).get("application/json")
        if method != "get" or answer is None:
            continue
        name = answer["schema"].get("$ref", "").rsplit("/", 1)[-1]
        fields = schemas.get(name, {}).get("properties", {})
        if not any(key in fields for key in ("items", "models", "spaces", "categories")):
            continue
        seen += 1
        limits = [p["schema"].get("maximum") for p in operation.get("parameters", ()) if p["name"] == "limit"]
        assert limits == [PAGE_LIMIT] or path in WITHOUT_PAGES, path
    assert seen >= 7


def _unbounded(schema: Any, schemas: dict[str, Any], where: str) -> Iterator[str]:
    """Places of a request's schema where a text may be of any length, or a list of any size."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        yield from _unbounded(schemas[name], schemas, name)
        return
    for choice in schema.get("anyOf", ()):
        yield from _unbounded(choice, schemas, where)
    is_text = schema.get("type") == "string" and schema.get("format") not in ("uuid", "binary", "date-time")
    if is_text and not {"maxLength", "enum", "const", "pattern", "examples"} & schema.keys():
        yield where
    if schema.get("type") == "array":
        if "maxItems" not in schema and "minItems" not in schema:
            yield f"{where}[]"
        yield from _unbounded(schema.get("items", {}), schemas, f"{where}[]")
    for name, field in schema.get("properties", {}).items():
        yield from _unbounded(field, schemas, f"{where}.{name}")


BOUNDED_OTHERWISE = {
    "post /v1/search.crop",
    "RecommendationRequest.min_price",
    "RecommendationRequest.max_price",
}
"""Numbers written as text: what is no number of the right size is refused."""


def test_every_text_and_list_of_a_request_is_bounded_by_its_description(anyone: FlaskClient) -> None:
    """Of a shopper's; an administrator's products are columns of any length within a body of 256 KiB."""
    spec = anyone.get("/openapi.json").json
    found: list[str] = []
    for method, path, operation in operations(spec):
        if "/admin/" in path:
            continue
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                found += _unbounded(
                    parameter["schema"], spec["components"]["schemas"], f"{method} {path} {parameter['name']}"
                )
        for content in operation.get("requestBody", {}).get("content", {}).values():
            found += _unbounded(content["schema"], spec["components"]["schemas"], f"{method} {path}")
    assert set(found) <= BOUNDED_OTHERWISE


@pytest.fixture
def strict(application: Flask, settings: Settings, loader: KnnLoader, shop: Shop) -> FlaskClient:
    """A service that takes small photos only."""
    small = settings.model_copy(update={"max_photo_pixels": 20_000, "max_upload_bytes": 100_000})
    container = application.extensions["pickture"]
    return signed_in(create_app(assemble(small, container.engine, loader)), shop)


def test_the_pixel_limit_is_a_setting(strict: FlaskClient) -> None:
    assert search(strict, draw((1, 2, 3), size=(120, 100))).status_code == 200
    answer = search(strict, draw((1, 2, 3), size=(300, 100)))
    assert answer.status_code == 413
    assert problem_of(answer)["code"] == "photo_too_large"


def test_the_size_limit_is_a_setting(strict: FlaskClient) -> None:
    answer = search(strict, draw((1, 2, 3), size=(120, 100)) + bytes(100_000))
    assert answer.status_code == 413
    assert problem_of(answer)["code"] == "request_too_large"


def test_a_name_or_a_type_that_lies_decides_nothing(client: FlaskClient, shop: Shop) -> None:
    out = BytesIO()
    Image.open(BytesIO(shop.photos["cap"])).save(out, "PNG")
    for name, kind in (
        ("a.exe", "application/x-msdownload"),
        ("../../etc/passwd", "image/gif"),
        ("a.svg", "image/svg+xml"),
    ):
        photo = (BytesIO(out.getvalue()), name, kind)
        assert client.post("/v1/search", data={"photo": photo}).status_code == 200
    script = (BytesIO(b"<svg onload='x()'/>"), "a.jpg", "image/jpeg")
    assert problem_of(client.post("/v1/search", data={"photo": script}))["code"] == "photo_format_unsupported"
