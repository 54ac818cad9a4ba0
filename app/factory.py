"""The Flask side of the wiring: one application from one container."""

from __future__ import annotations

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from werkzeug.middleware.proxy_fix import ProxyFix

from app.api import (
    admin_models,
    admin_products,
    audit,
    catalogue,
    docs,
    feedback,
    headers,
    imports,
    jobs,
    logs,
    media,
    metrics,
    operations,
    problems,
    proposals,
    recommendations,
    retrain,
    review,
    search,
    sessions,
    spaces,
    text,
)
from app.api.context import EXTENSION
from app.api.security import SCHEMES
from app.config import Settings
from app.web import shopper, site
from app.web.admin import dashboard
from app.wiring import Container, build_container

API_VERSION = "1.0.0"

_DESCRIPTION = """Recognise a product from a photo and recommend similar ones.

Open a session with the app's key, search with a photo, let the shopper pick, recommend from the pick.
Every failure is `application/problem+json` with a stable `code`."""


def create_app(container: Container) -> Flask:
    """An application that answers from ``container``. Opens no connection and loads no model.

    The container's settings fix the limits and the CORS allow-list.
    """
    app = OpenAPI(
        "pickture",
        info=Info(title="Pickture", version=API_VERSION, description=_DESCRIPTION),
        security_schemes=SCHEMES,
        validation_error_callback=problems.refuse_invalid,
        validation_error_model=problems.Problem,
        doc_ui=False,
        static_folder=None,
    )
    assert isinstance(app.json, DefaultJSONProvider)
    app.json.sort_keys = False
    app.json.ensure_ascii = False
    app.extensions[EXTENSION] = container
    if container.settings.proxies:
        # The address that counts is the one that the outermost trusted proxy saw.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=container.settings.proxies, x_proto=0)  # type: ignore[method-assign]
    # First, so that its clock runs before anything can refuse the request.
    metrics.init_app(app, container.model, container.observer)
    headers.init_app(app, container.settings.max_upload_bytes, container.settings.cors_origins)
    logs.init_app(app)
    problems.init_app(app)
    for module in (
        sessions,
        search,
        recommendations,
        feedback,
        catalogue,
        media,
        operations,
        admin_products,
        admin_models,
        spaces,
        imports,
        retrain,
        jobs,
        review,
        proposals,
        text,
    ):
        app.register_api(module.api)
    app.register_blueprint(docs.pages)
    with_dashboard = container.settings.admin_web != "closed"
    if container.settings.web or with_dashboard:
        site.init_app(app)
    if container.settings.web:
        app.register_blueprint(shopper.pages)
    if with_dashboard:
        dashboard.init_app(app)
    return app


def served_app() -> Flask:
    """What a gunicorn worker runs: the environment's settings, its container, the application.

    :raise UsageError: a malformed setting. :raise DatabaseError: the database cannot be used.
    """
    settings = Settings.from_env()
    logs.configure(settings)
    audit.to_standard_error()
    return create_app(build_container(settings, serving=True))
