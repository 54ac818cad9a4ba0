"""What the page weighs, how soon it can be used, how small a photo goes up; installing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.app.web.conftest import PHONE, Service, Visitor
from tests.app.web.shop import twelve_megapixels
from tests.app.web.test_shopper import choose_photo
from tests.models.photo_files import heic

FIRST_PAGE_BYTES = 150_000
USABLE_S = 1.0
VISITS = 5
"""Tries: the machine may have other things to do at the moment."""

UPLOAD_BYTES = 500_000


_IN_CHARGE = """() => navigator.serviceWorker.controller !== null || new Promise((done) =>
    navigator.serviceWorker.addEventListener("controllerchange", () => done(true)))"""
"""Until the service worker answers for the page."""


def first_visit(chromium: Browser, service: Service) -> tuple[int, float]:
    """Bytes that came over the wire, and seconds until the page could be used, with nothing kept from before."""
    context = chromium.new_context(service_workers="block", **PHONE)  # type: ignore[arg-type]
    page = context.new_page()
    received: list[float] = []
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")

    def count(event: dict[str, Any]) -> None:
        received.append(event["encodedDataLength"])

    wire.on("Network.loadingFinished", count)
    page.goto(f"{service.url}/")
    page.wait_for_selector("html[data-ready]")
    page.wait_for_selector("#narrow:not([hidden])")
    page.wait_for_load_state("networkidle")
    ready_ms = page.evaluate("performance.getEntriesByName('pickture-ready')[0].startTime")
    context.close()
    assert len(received) > 10
    return int(sum(received)), ready_ms / 1000


def test_the_first_page_is_light_and_soon_usable(chromium: Browser, service: Service) -> None:
    quickest_s = float("inf")
    for _ in range(VISITS):
        size, seconds = first_visit(chromium, service)
        assert size < FIRST_PAGE_BYTES
        quickest_s = min(quickest_s, seconds)
        if quickest_s < USABLE_S:
            break
    print(f"first page: {size} bytes, usable after {quickest_s:.2f} s")
    assert quickest_s < USABLE_S


def upload_bytes(page: Page) -> int:
    """Search, and tell how much went up."""
    with page.expect_request_finished(lambda request: request.url.endswith("/v1/search")) as sent:
        page.click("#search")
    return int(sent.value.header_value("content-length") or 0)


def test_a_photo_of_twelve_megapixels_goes_up_small_upright_and_without_its_metadata(
    visit: Visitor, tmp_path: Path
) -> None:
    path = twelve_megapixels(tmp_path)
    assert path.stat().st_size > 4_000_000
    page = visit("phone").page
    choose_photo(page, path)
    expect(page.locator("#photo-facts")).to_contain_text("1,200 × 1,600 pixels", timeout=30_000)
    head = page.evaluate(
        "async () => [...new Uint8Array(await (await import(document.querySelector('script[type=module]').src"
        ".replace('main.js', 'draft.js'))).loadDraft().photo.blob.slice(0, 4000).arrayBuffer())]"
    )
    assert bytes(head[:2]) == b"\xff\xd8" and b"Exif" not in bytes(head)
    size = upload_bytes(page)
    print(f"12 megapixels, {path.stat().st_size} bytes, went up as {size}")
    assert 50_000 < size < UPLOAD_BYTES
    expect(page.locator("#found-title")).to_be_focused()


def test_a_heic_that_the_browser_cannot_show_goes_up_as_it_is(visit: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(heic("orientation_6"))
    page = visit("phone").page
    choose_photo(page, path)
    expect(page.locator("#unseen")).to_be_visible()
    expect(page.locator("#edges")).to_be_hidden()
    assert upload_bytes(page) > path.stat().st_size
    expect(page.locator("#found-title")).to_be_focused()
    page.go_back()
    expect(page.locator(".recent-entry .no-picture")).to_have_count(1)


def test_the_page_is_installable_where_it_may_be_and_opens_without_a_network(
    visit: Visitor, service: Service, photo: Path
) -> None:
    seen = visit("phone", url=service.local, service_workers="allow")
    page = seen.page
    expect(page.locator('link[rel="manifest"]')).to_have_count(1)
    page.evaluate(_IN_CHARGE)  # what waits by itself evaluates strings in the page, which its policy forbids
    problems = page.context.new_cdp_session(page).send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [problem["errorId"] for problem in problems if problem["errorId"] != "in-incognito"] == []
    kept = page.evaluate("caches.keys().then((names) => caches.open(names[0])).then((cache) => cache.keys())"
                         ".then((requests) => requests.map((request) => new URL(request.url).pathname))")  # fmt: skip
    assert "/" in kept and not any(path.startswith(("/v1", "/media")) for path in kept)
    choose_photo(page, photo)
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator("#problem-text")).to_contain_text("cannot be reached")
    expect(page.locator("#cropper")).to_be_visible()
    page.context.set_offline(False)
    page.click("#problem-again")
    expect(page.locator("#narrow")).to_be_visible()
    assert all("ERR_INTERNET_DISCONNECTED" in said for said in seen.complaints)
    seen.complaints.clear()


def test_without_tls_the_page_works_and_does_not_offer_installing(visit: Visitor) -> None:
    page = visit("phone").page
    assert page.evaluate("window.isSecureContext") is False
    expect(page.locator("#narrow")).to_be_visible()  # a session was opened all the same
    expect(page.locator('link[rel="manifest"]')).to_have_count(0)
