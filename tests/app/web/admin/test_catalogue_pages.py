"""The catalogue in the dashboard, in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.app.api.admin_world import scene
from tests.app.web.admin.conftest import LOOKS, Admin
from tests.app.web.conftest import Service
from tests.app.web.test_shopper import look_at
from tests.app.web.test_trouble import expected


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Two photos, and a file that is none."""
    paths = [tmp_path / name for name in ("front.jpg", "side.jpg", "broken.jpg")]
    for number, path in enumerate(paths[:2]):
        path.write_bytes(scene(20 + number))
    paths[2].write_bytes(b"no photo at all")
    return paths


@pytest.mark.parametrize("look", LOOKS)
def test_a_product_from_its_creation_to_its_end(admin: Admin, photos: list[Path], look: str) -> None:
    seen = admin("/admin/products", look=look)
    page = seen.page
    expect(page.locator("table.list tbody tr")).to_have_count(20)
    page.click(".pager [rel=next]")
    expect(page.locator(".pager a:not([rel])")).to_be_visible()
    page.fill("#brand", "brisbrook")
    page.keyboard.press("Enter")
    expect(page.locator("table.list tbody tr")).to_have_count(8)
    look_at(page, f"admin-{look}-catalogue")

    # Created, with an error first: nothing typed is lost.
    page.goto(page.url.split("?")[0].replace("products", "new-product"))
    page.fill("#sku", f"oat-{look}")
    page.fill("#name", "Oat Drink")
    page.fill("#price", "cheap")
    page.click("form.wide button")
    expect(page.locator("#price-wrong")).to_be_visible()
    expect(page.locator("#name")).to_have_value("Oat Drink")
    look_at(page, f"admin-{look}-new-product-wrong")
    expected(seen.complaints, "422")
    page.fill("#price", "2.49")
    page.fill("#category", "Grocery > Drinks")
    page.click("form.wide button")
    expect(page.locator(".alert-success")).to_be_visible()

    # Photos: one that is none refuses all of them, in a sentence with its name.
    page.set_input_files("#photo", [photos[0], photos[2]])
    page.click("form[enctype] button")
    expect(page.locator(".alert-danger li")).to_contain_text("broken.jpg")
    expected(seen.complaints, "422")
    page.set_input_files("#photo", photos[:2])
    page.click("form[enctype] button")
    expect(page.locator(".photos li")).to_have_count(2)
    look_at(page, f"admin-{look}-product")
    page.locator(".photos a.btn").first.click()
    expect(page.locator(".large-photo")).to_be_visible()
    page.click("main form.actions button")
    expect(page.locator(".photos li")).to_have_count(1)

    # Found by its number, and deleted.
    page.click("nav.menu a[href='/admin/products']")
    page.fill("#text", f"oat-{look}")
    page.keyboard.press("Enter")
    expect(page.locator("table.list tbody tr")).to_have_count(1)
    page.click("table.list a")
    page.click("a.btn-outline-danger")
    look_at(page, f"admin-{look}-delete")
    page.click("main form.actions button")
    expect(page.locator(".alert-success")).to_be_visible()


def test_who_saves_over_someone_elses_change_is_told(admin: Admin, service: Service) -> None:
    seen = admin("/admin/products/milk-1")
    page = seen.page
    other = page.context.new_page()
    other.goto(page.url)
    other.fill("#brand", "Elsewhere")
    other.click("main form:has([name=etag]) button")
    expect(other.locator(".alert-success")).to_be_visible()
    page.fill("#description", "fresh")
    page.click("main form:has([name=etag]) button")
    expect(page.locator("#problem li").first).to_contain_text("Elsewhere")
    expect(page.locator("#description")).to_have_value("fresh")
    expected(seen.complaints, "409")
    page.fill("#brand", "Dairyland")
    page.fill("#description", "")
    page.click("main form:has([name=etag]) button")
    expect(page.locator(".alert-success")).to_be_visible()


def test_a_filter_that_names_nothing_is_told_beside_its_field(admin: Admin) -> None:
    seen = admin("/admin/products?category=Nowhere&text=oat")
    expect(seen.page.locator("#category-wrong")).to_be_visible()
    expect(seen.page.locator("#text")).to_have_value("oat")
    expected(seen.complaints, "422")


def test_a_form_that_comes_back_holds_no_button_of_before(admin: Admin) -> None:
    page = admin("/admin/imports").page
    # 204: the browser stays where it is, as on a page that it brings back from its memory.
    page.route("**/admin/imports", lambda route: route.fulfill(status=204))
    for button in ("true", "false"):
        with page.expect_request(lambda request: request.method == "POST"):
            page.click(f"button[name=dry_run][value={button}]")
        expect(page.locator("input[name=dry_run]")).to_have_count(0)
        page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
