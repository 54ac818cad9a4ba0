"""/openapi.json and /docs: Swagger UI from the installed package, nothing from another host."""

from __future__ import annotations

from pathlib import Path

import flask_openapi3_swagger
from flask import Blueprint, Response, abort, current_app, jsonify, send_from_directory
from flask_openapi3.openapi import OpenAPI

SPEC_PATH = "/openapi.json"

_ASSETS = Path(flask_openapi3_swagger.__file__).parent / "templates" / "swagger"
_NAMES = frozenset({"css/swagger-ui.css", "js/swagger-ui-bundle.js"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pickture API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/css/swagger-ui.css">
</head>
<body>
<div id="docs">This page needs JavaScript; the same is at <a href="/openapi.json">/openapi.json</a>.</div>
<script src="/docs/js/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

# validatorUrl: null, or Swagger UI would send the description's address to a validator on another host.
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null
});
"""

pages = Blueprint("docs", __name__)


@pages.get(SPEC_PATH)
def spec() -> Response:
    """The OpenAPI 3.1 description."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    assert isinstance(app, OpenAPI)
    return jsonify(app.api_doc)


@pages.get("/docs")
def docs() -> Response:
    """The page for people."""
    response = Response(_PAGE, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@pages.get("/docs/start.js")
def start() -> Response:
    """Starts Swagger UI; a file of its own, so that the policy can forbid inline scripts."""
    return Response(_START, mimetype="text/javascript")


@pages.get("/docs/<path:name>")
def asset(name: str) -> Response:
    """One of Swagger UI's files."""
    if name not in _NAMES:
        abort(404)
    return send_from_directory(_ASSETS, name, max_age=3600)
