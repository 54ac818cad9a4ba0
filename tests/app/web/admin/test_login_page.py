"""Logging in to the dashboard in a browser, and the first page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.app.web.admin.conftest import LOOKS, show_key
from tests.app.web.conftest import Service, Visitor
from tests.app.web.test_shopper import look_at


@pytest.mark.parametrize("look", LOOKS)
def test_from_the_key_to_the_overview(visit: Visitor, service: Service, look: str) -> None:
    size, colours, locale = LOOKS[look]
    seen = visit(size, path="/admin", color_scheme=colours, locale=locale)
    page = seen.page
    assert page.url.startswith(f"{service.url}/admin/login")
    look_at(page, f"admin-{look}-login")
    show_key(page, "pk_admin_mistyped")
    expect(page.locator("#problem")).to_be_visible()
    look_at(page, f"admin-{look}-login-wrong")
    seen.complaints.clear()  # the status of a refused key
    show_key(page, service.shop.shop.admin_key)
    expect(page.locator("nav.menu [aria-current=page]")).to_have_count(1)
    assert page.url == f"{service.url}/admin"
    look_at(page, f"admin-{look}-overview")
    [cookie] = [cookie for cookie in page.context.cookies() if "admin" in cookie["name"]]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["path"] == "/admin"
    page.click("nav.menu form button")
    expect(page.locator("form[data-login]")).to_be_visible()
    page.goto(f"{service.url}/admin")
    expect(page.locator("form[data-login]")).to_be_visible()
