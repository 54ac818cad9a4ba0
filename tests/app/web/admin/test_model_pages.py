"""The dashboard's pages about models in a browser: versions, promoting, rolling back, and looking into one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select

from app.store.database import transaction
from app.store.tables import Bundle, Promotion
from tests.app.web.admin.conftest import LOOKS, Admin
from tests.app.web.admin.model_world import CHAMPION, OLD, REASON, REFUSED, Photo, publish_versions
from tests.app.web.conftest import Service
from tests.app.web.test_shopper import look_at
from tests.app.web.test_trouble import expected


@pytest.fixture(scope="module")
def versions(service: Service, web_home: Path) -> Iterator[list[Photo]]:
    """Three versions; the catalogue's photos."""
    yield publish_versions(service.engine, web_home, service.shop.shop.space_id)
    with transaction(service.engine) as session:
        session.execute(delete(Promotion))
        session.execute(delete(Bundle))
    rmtree(web_home / "bundles")


def champion(service: Service) -> str | None:
    with transaction(service.engine) as session:
        return session.scalar(select(Bundle.version).where(Bundle.state == "champion"))


@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_about_models(admin: Admin, service: Service, versions: list[Photo], look: str) -> None:
    page = admin("/admin/models", look=look).page
    expect(page.locator("tbody tr")).to_have_count(3)
    look_at(page, f"admin-{look}-models")
    page.click(f'a[href$="/{REFUSED}/promote"]')
    expect(page.locator(".alert-warning")).to_contain_text(REASON)
    if "phone" in look:
        look_at(page, f"admin-{look}-promote")
    page.click("main form.actions button")
    expect(page.locator("[role=status]")).to_be_visible()
    assert champion(service) == REFUSED
    page.click('a[href$="/models/rollback"]')
    expect(page.locator("tbody tr").last).to_contain_text(CHAMPION)
    page.click("main form.actions button")
    expect(page.locator("[role=status]")).to_be_visible()
    assert champion(service) == CHAMPION
    page.click(f'th a[href$="/models/{CHAMPION}"]')
    expect(page.locator("#figures")).to_be_visible()
    look_at(page, f"admin-{look}-model")
    page.click('a[href$="/confusions"]')
    confusions(page, look)
    page.goto(f"{service.url}/admin/models/{CHAMPION}/map")
    product_map(page, look)
    page.goto(f"{service.url}/admin/models/{CHAMPION}/variants")
    expect(page.locator("section")).to_have_count(4)
    expect(page.locator("section").first.locator("svg")).to_have_count(9)
    look_at(page, f"admin-{look}-variants")
    page.goto(f"{service.url}/admin/spaces")
    expect(page.locator("progress")).to_have_count(1)
    if "desktop" in look:
        look_at(page, f"admin-{look}-spaces")
    page.goto(f"{service.url}/admin/care")
    data_care(page, look)


def confusions(page: Page, look: str) -> None:
    rows = page.locator(".matrix tbody tr")
    expect(rows).to_have_count(12)
    expect(rows.first.locator("td.right")).to_have_text("")
    look_at(page, f"admin-{look}-confusions")
    rows.first.locator("td a").click()
    expect(page.locator("ul.pictures img")).to_have_count(1)
    expect(page.locator("dl.facts .of-label")).to_have_count(2)
    if "desktop" in look:
        look_at(page, f"admin-{look}-confused-photos")


def product_map(page: Page, look: str) -> None:
    crowded = page.locator(".map li.x-1.y-1")
    expect(crowded.locator(".more")).to_have_text("+2")
    box = page.locator(".map li").nth(3).bounding_box()
    assert box is not None and min(box["width"], box["height"]) >= 24
    look_at(page, f"admin-{look}-map")
    crowded.locator("a").click()
    expect(page).to_have_url(re.compile("zoom=2"))
    expect(page.locator(".map")).to_be_visible()


def data_care(page: Page, look: str) -> None:
    findings = page.locator("details.finding")
    expect(findings).to_have_count(6)
    for place in range(6):
        findings.nth(place).locator("summary").click()
    expect(page.locator("#mislabels .picture")).to_have_count(2)
    expect(page.locator("#mislabels .picture-none")).to_have_count(1)
    look_at(page, f"admin-{look}-care")


@pytest.mark.usefixtures("versions")
def test_the_map_comes_closer_and_leads_to_products(admin: Admin, service: Service) -> None:
    page = admin(f"/admin/models/{CHAMPION}/map").page
    for zoom in (2, 4, 8, 16):
        page.locator(".map li", has=page.locator(".more")).first.locator("a").click()
        expect(page).to_have_url(re.compile(f"zoom={zoom}"))
    expect(page.locator("details li")).to_have_count(3)
    page.locator(".map li a").first.click()
    expect(page).to_have_url(re.compile("/admin/products/"))
    for rule, right in (("knn", "1"), ("svm", "")):
        page.goto(f"{service.url}/admin/models/{CHAMPION}/confusions?rule={rule}")
        expect(page.locator("nav.actions [aria-current]")).to_have_text({"knn": "k-NN", "svm": "SVM"}[rule])
        expect(page.locator(".matrix tbody tr").first.locator("td.right")).to_have_text(right)
    page.click("nav.pager a[rel=next]")
    page.click("nav.pager a[rel=next]")
    expect(page.locator("nav.pager a[rel=next]")).to_have_count(0)
    expect(page.locator(".matrix tbody tr").first).to_be_visible()


@pytest.mark.usefixtures("versions")
def test_what_cannot_be_done_is_said(admin: Admin, service: Service, web_home: Path) -> None:
    seen = admin(f"/admin/models/{OLD}")
    page = seen.page
    (web_home / "bundles" / REFUSED).rename(web_home / "bundles" / "elsewhere")
    try:
        page.goto(f"{service.url}/admin/models/{REFUSED}")
        expect(page.locator(".alert-warning")).to_contain_text("files of this version are missing")
        page.goto(f"{service.url}/admin/models/{REFUSED}/promote")
        page.click("main form.actions button")
        expect(page.locator("[role=alert]")).to_contain_text("files of this model version are missing")
        assert champion(service) == CHAMPION
    finally:
        (web_home / "bundles" / "elsewhere").rename(web_home / "bundles" / REFUSED)
    page.goto(f"{service.url}/admin/models/nobody")
    expect(page.locator("[role=alert]")).to_contain_text("no such model version")
    for part in ("confusions", "map", "variants"):
        page.goto(f"{service.url}/admin/models/{OLD}/{part}")
        expect(page.locator("main")).to_contain_text("was made without this part")
    expected(seen.complaints, "503", "404")
    answer = page.goto(f"{service.url}/admin/models/{CHAMPION}/report")
    assert answer is not None and "Report" in answer.text()
    policy = answer.headers["content-security-policy"]
    assert "sandbox" in policy and "script-src" not in policy
