"""The dashboard in a browser, logged in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.app.web.conftest import Service, Visit, Visitor

Admin = Callable[..., Visit]
LOOKS = {
    "phone-light-en": ("phone", "light", "en-GB"),
    "desktop-dark-ko": ("desktop", "dark", "ko-KR"),
}
"""Both sizes, both languages, light and dark, in two visits."""


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
