"""The dashboard over HTTP, and in a browser, logged in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from app.config import Settings
from app.factory import create_app
from app.services.access import AccessService
from app.wiring import assemble
from tests.app.api.world import KnnLoader
from tests.app.web.conftest import Service, Visit, Visitor
from tests.app.web.shop import WebShop

Admin = Callable[..., Visit]
LOOKS = {
    "phone-light-en": ("phone", "light", "en-GB"),
    "desktop-dark-ko": ("desktop", "dark", "ko-KR"),
}
"""Both sizes, both languages, light and dark, in two visits."""


def client_of(engine: Engine, shop: WebShop, **options: Any) -> FlaskClient:
    """A client of the service with its dashboard and without the shopper's page."""
    settings = Settings(**{"admin_web": "open", **options})
    return create_app(assemble(settings, engine, KnnLoader(engine, shop.shop.space_id))).test_client()


@pytest.fixture
def client(web_engine: Engine, web_shop: WebShop, tmp_path: Path) -> FlaskClient:
    return client_of(web_engine, web_shop, home=tmp_path)


@pytest.fixture
def key(web_engine: Engine) -> str:
    """An admin key of this test alone."""
    return AccessService(web_engine, 60).create_key("admin", "gate").key


def show_key(page: Page, key: str) -> None:
    """Fill in the login's form and send it."""
    page.fill("#admin_key", key)
    page.click("form[data-login] button")


@pytest.fixture
def admin(visit: Visitor, service: Service) -> Admin:
    """Opens a page of the dashboard, logged in: ``admin("/admin/jobs", "desktop")``; ``look`` is one of LOOKS."""

    def open_page(path: str = "/admin", size: str = "desktop", look: str | None = None, **options: object) -> Visit:
        if look is not None:
            size, colours, locale = LOOKS[look]
            options |= {"color_scheme": colours, "locale": locale}
        seen = visit(size, path=path, **options)
        show_key(seen.page, service.shop.shop.admin_key)
        expect(seen.page.locator("nav.menu")).to_be_visible()
        seen.page.wait_for_selector("html[data-ready]")
        return seen

    return open_page
