"""The shopper's page: the page itself, what makes it installable, and its own way to a session."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from flask import Blueprint, Response, json, jsonify, render_template, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.api import limits
from app.api.context import container
from app.api.problems import invalid
from app.web.site import POLICY, asset_url, asset_urls, language, protect, require_same_origin, site
from app.web.site import translate as _

_SCRIPTS: Final = ("common", "shopper")
_THEME: Final = "#0b5d4e"

pages = Blueprint("shopper", __name__, template_folder="templates")
pages.after_request(protect)


class PageSessionRequest(BaseModel):
    """Which installation of the page asks."""

    model_config = ConfigDict(extra="forbid")

    installation_id: UUID = Field(description="A random id that the page made on this device.")


@pages.get("/")
def page() -> str:
    """The page. Asks the database nothing: what is missing the page says in words."""
    settings = container().settings
    return render_template(
        "shopper/page.html",
        messages=language().script_messages(_SCRIPTS),
        facts={
            "language": language().tag,
            "maxUploadBytes": settings.max_upload_bytes,
            "currency": settings.currency,
            "manifest": "/manifest.webmanifest",
            "worker": "/service-worker.js",
        },
    )


@pages.post("/web/sessions")
def open_session() -> tuple[Response, int]:
    """Open a session for the page on this device; no key is shown to anyone.

    :raise Forbidden: another site's page asks. :raise RequestInvalid: the body is not one of the page's.
    """
    require_same_origin()
    limits.count_request()
    try:
        asked = PageSessionRequest.model_validate(request.get_json())
    except ValidationError as error:
        raise invalid(error) from None
    grant = container().access.open_page_session(request.remote_addr, asked.installation_id)
    words = container().words.now() is not None
    opened = {"token": grant.token, "expires_at": grant.expires_at.isoformat(), "words": words}
    return jsonify(opened), 201


@pages.get("/manifest.webmanifest")
def manifest() -> Response:
    """What a browser needs to install the page; pages ask for it where that is possible."""
    told = {
        "name": "Pickture",
        "short_name": "Pickture",
        "description": _("Find a product with a photo"),
        "lang": language().tag,
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": _THEME,
        "icons": [
            {"src": asset_url("common/icon.svg"), "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
            {"src": asset_url("common/icon-512.png"), "sizes": "512x512", "type": "image/png", "purpose": "any"},
            {"src": asset_url("common/icon-512.png"), "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
        ],
    }
    return Response(json.dumps(told, ensure_ascii=False), mimetype="application/manifest+json")


@pages.get("/service-worker.js")
def service_worker() -> Response:
    """The worker that keeps the page's files on the device. It must lie above what it serves."""
    files = [*asset_urls("common/", ""), *asset_urls("shopper/", ""), asset_url("vendor/bootstrap.css")]
    told = json.dumps({"version": site().assets.version, "files": files})
    text = render_template("shopper/service-worker.js", told=told)
    response = Response(text, mimetype="text/javascript")
    response.headers["Content-Security-Policy"] = POLICY  # it bounds what the worker may fetch
    return response
