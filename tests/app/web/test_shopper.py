"""The shopper's whole way in a real browser, at a phone's and a desktop's size."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import text

from tests.app.web.conftest import Service, Visitor, shoot

STANDARD = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],  # what is in order need not be told element by element
    "preload": False,  # style sheets and sounds are fetched again for rules that are not among these
}
LOOKS = {
    "phone-light-en": ("phone", "light", "en-GB"),
    "desktop-dark-ko": ("desktop", "dark", "ko-KR"),
}
"""Both sizes, both languages, light and dark, in two visits."""


def look_at(page: Page, name: str) -> None:
    """Keep a picture, and have axe-core check the page as it is."""
    shoot(page, name)
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = AxeResults(page.evaluate("(options) => axe.run(options)", STANDARD))
    assert found.violations_count == 0, found.generate_report()


def choose_photo(page: Page, path: Path) -> None:
    page.set_input_files("#choose", path)
    expect(page.locator("#photo-part")).to_be_visible()


def drag(page: Page, handle: Locator, dx: float, dy: float) -> None:
    """Drag from the middle of something, by CSS pixels."""
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()


@pytest.mark.parametrize("look", LOOKS)
def test_the_whole_way_from_a_photo_to_recommendations(
    visit: Visitor, service: Service, photo: Path, look: str
) -> None:
    size, colours, locale = LOOKS[look]
    seen = visit(size, color_scheme=colours, locale=locale)
    page = seen.page
    expect(page.locator("#narrow")).to_be_visible()
    assert page.locator("html").get_attribute("data-bs-theme") == colours
    assert page.locator("html").get_attribute("lang") == locale[:2]
    look_at(page, f"{look}-1-ask")

    # The first touch: a photo.
    choose_photo(page, photo)
    look_at(page, f"{look}-2-photo")
    # The second: search.
    page.click("#search")
    expect(page.locator("#found-title")).to_be_focused()
    expect(page.locator(".candidate")).to_have_count(5)
    expect(page.locator(".candidate h3").first).to_have_text(service.shop.name)
    page.locator(".candidate summary").first.click()
    expect(page.locator(".candidate .votes").first).to_be_visible()
    look_at(page, f"{look}-3-found")
    # The third: this is it.
    page.locator(".candidate button").first.click()
    expect(page.locator("#alike-title")).to_be_focused()
    expect(page.locator(".product").nth(19)).to_be_attached()
    expect(page.locator(".product").first.locator(".reasons li").first).to_be_visible()
    assert service.shop.name not in page.locator(".product h3").all_inner_texts()
    page.click("#choices > summary")
    look_at(page, f"{look}-4-alike")

    page.locator(".product button").nth(1).click()
    expect(page.locator("#product p.small").first).to_be_visible()
    look_at(page, f"{look}-5-product")
    page.keyboard.press("Escape")
    page.go_back()
    expect(page.locator("#found")).to_be_visible()
    page.go_back()
    expect(page.locator(".recent-entry")).to_have_count(1)
    look_at(page, f"{look}-6-recent")

    with service.engine.connect() as connection:
        pick = connection.execute(text("SELECT outcome, sku FROM picks ORDER BY created_at DESC LIMIT 1")).one()
        kept = connection.execute(text("SELECT photo_hash FROM queries ORDER BY created_at DESC LIMIT 1")).scalar_one()
    assert tuple(pick) == ("picked", service.shop.sku)
    assert kept is None


def test_more_products_come_as_one_scrolls(visit: Visitor, photo: Path) -> None:
    page = visit("phone").page
    choose_photo(page, photo)
    page.click("#search")
    page.locator(".candidate button").first.click()
    expect(page.locator(".product")).to_have_count(20)
    page.locator(".product").last.scroll_into_view_if_needed()
    expect(page.locator(".product").nth(20)).to_be_attached()
    names = page.locator(".product h3").all_inner_texts()
    assert len(names) == len(set(names)) > 25
    expect(page.locator("#more")).to_be_hidden()
    expect(page.locator("#alike-status")).to_contain_text(str(len(names)))


def test_choices_of_brand_colour_and_price_narrow_and_can_be_undone(visit: Visitor, photo: Path) -> None:
    page = visit("desktop").page
    choose_photo(page, photo)
    page.click("#search")
    page.locator(".candidate button").first.click()
    expect(page.locator(".product")).to_have_count(20)
    page.click("#choices > summary")

    box = page.locator("#brands input").first
    brand = (box.get_attribute("id") or "").removeprefix("brands-")
    box.focus()
    page.keyboard.press("Space")
    expect(page.locator("#chosen")).to_have_text("1")
    expect(page.locator(".product").first.locator(".facts")).to_contain_text(brand)
    expect(page.locator("#alike-status")).to_contain_text("all")
    facts = page.locator(".product .facts").all_inner_texts()
    assert 0 < len(facts) < 20 and all(brand in line for line in facts)
    expect(box).to_be_focused()

    page.fill("#price-max", "a lot")
    page.keyboard.press("Enter")
    expect(page.locator("#price-wrong")).to_contain_text("12.50")
    expect(page.locator("#price-max")).to_have_attribute("aria-invalid", "true")
    page.fill("#price-max", "0,01")
    page.keyboard.press("Enter")
    expect(page.locator("#alike-status")).to_contain_text("Nothing")
    expect(page.locator("#chosen")).to_have_text("2")
    page.click("#choices-clear")
    expect(page.locator(".product")).to_have_count(20)

    page.locator("#colours input").first.check()
    expect(page.locator("#chosen")).to_have_text("1")
    expect(page.locator("#alike-status")).to_contain_text("all")


def test_none_of_these_is_told_to_the_shop(visit: Visitor, service: Service, photo: Path) -> None:
    page = visit("phone").page
    choose_photo(page, photo)
    page.click("#search")
    page.click("#none")
    expect(page.locator("#none-said")).to_be_focused()
    with service.engine.connect() as connection:
        outcome = connection.execute(text("SELECT outcome FROM picks ORDER BY created_at DESC LIMIT 1")).scalar_one()
    assert outcome == "none_of_these"
    page.locator("#none-said button").click()
    expect(page.locator("#cropper")).to_be_visible()


def test_a_part_is_chosen_by_dragging(visit: Visitor, service: Service, photo: Path) -> None:
    page = visit("desktop").page
    choose_photo(page, photo)
    box = page.locator("#cropper").bounding_box()
    assert box is not None
    drag(page, page.locator('[data-corner="nw"]'), box["width"] / 4, box["height"] / 5)
    drag(page, page.locator('[data-corner="se"]'), -box["width"] / 2, -box["height"] / 2)
    expect(page.locator("#edge-left")).to_have_value("25")
    expect(page.locator("#edge-top")).to_have_value("20")
    expect(page.locator("#edge-right")).to_have_value("50")
    expect(page.locator("#edge-bottom")).to_have_value("50")
    drag(page, page.locator("#crop-frame"), box["width"], 0)  # a part stays within the photo
    expect(page.locator("#edge-left")).to_have_value("75")
    expect(page.locator("#edge-right")).to_have_value("100")
    page.click("#search")
    expect(page.locator("#found-title")).to_be_focused()
    assert cropped(service)
    page.click("#whole")
    expect(page.locator("#edge-left")).to_have_value("0")


def cropped(service: Service) -> bool:
    """Whether the last search looked at a part of the photo."""
    with service.engine.connect() as connection:
        found = connection.execute(text("SELECT cropped FROM queries ORDER BY created_at DESC LIMIT 1")).scalar_one()
    return bool(found)


def test_a_finger_drags_a_corner(visit: Visitor, photo: Path) -> None:
    page = visit("phone").page
    choose_photo(page, photo)
    page.locator("#cropper").scroll_into_view_if_needed()
    box = page.locator("#cropper").bounding_box()
    assert box is not None
    touch = page.context.new_cdp_session(page)
    at = {"x": box["x"] + 12, "y": box["y"] + 12}
    to = {"x": at["x"] + box["width"] / 4, "y": at["y"] + box["height"] / 4}
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [to]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#edge-left")).to_have_value("25")
    expect(page.locator("#edge-top")).to_have_value("25")


def test_the_whole_way_by_keyboard(visit: Visitor, service: Service, photo: Path) -> None:
    page = visit("desktop").page
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    choose_photo(page, photo)  # the file dialog is the browser's own
    expect(page.locator("#search")).to_be_focused()
    page.locator("#edges summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#edge-left")).to_be_focused()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#edge-left")).to_have_attribute("aria-valuetext", "5%")
    page.locator("#search").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#found-title")).to_be_focused()
    assert cropped(service)
    page.keyboard.press("Tab")
    expect(page.locator(".candidate button").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#alike-title")).to_be_focused()
    expect(page.locator(".product").first).to_be_visible()


def test_a_photo_can_be_dropped_and_pasted(visit: Visitor, service: Service) -> None:
    page = visit("desktop").page
    give = """([type, target, bytes]) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], "photo.jpg", { type: "image/jpeg" }));
        const event = type === "paste" ? new ClipboardEvent(type, { clipboardData: files, bubbles: true })
            : new DragEvent(type, { dataTransfer: files, bubbles: true, cancelable: true });
        document.querySelector(target).dispatchEvent(event);
    }"""
    for type_, target in (("drop", "#sources"), ("paste", "body")):
        page.evaluate(give, [type_, target, list(service.shop.shop.photos["cap"])])
        expect(page.locator("#cropper")).to_be_visible()
        page.click("#another")
        expect(page.locator("#cropper")).to_be_hidden()


def test_a_category_narrows_in_three_steps(visit: Visitor, photo: Path) -> None:
    page = visit("phone").page
    choose_photo(page, photo)
    page.click("#narrow > summary")
    expect(page.locator("#category-medium")).to_be_hidden()
    page.select_option("#category-large", "Grocery")
    page.select_option("#category-medium", "Grocery > Dairy")
    page.select_option("#category-small", "Grocery > Dairy > Milk")
    expect(page.locator("#narrowed")).to_have_text("Grocery > Dairy > Milk")
    page.click("#search")
    expect(page.locator(".candidate")).to_have_count(2)
    page.go_back()
    page.select_option("#category-large", "")
    expect(page.locator("#category-medium")).to_be_hidden()
    expect(page.locator("#narrowed")).to_be_hidden()


def test_a_photo_is_kept_with_consent_only_and_can_be_taken_back(visit: Visitor, service: Service, photo: Path) -> None:
    page = visit("phone").page
    choose_photo(page, photo)
    expect(page.locator("#keep")).not_to_be_checked()
    page.check("#keep")
    page.click("#search")
    expect(page.locator("#kept")).to_be_visible()
    with service.engine.connect() as connection:
        last = "SELECT id, photo_hash FROM queries ORDER BY created_at DESC LIMIT 1"
        query, kept = connection.execute(text(last)).one()
    assert kept is not None
    page.click("#take-back")
    expect(page.locator("#taken-back")).to_contain_text("deleted")
    with service.engine.connect() as connection:
        left = connection.execute(text("SELECT count(*) FROM queries WHERE id = :id"), {"id": query}).scalar_one()
    assert left == 0
    page.go_back()
    page.click("#another")
    choose_photo(page, photo)
    expect(page.locator("#keep")).not_to_be_checked()


def test_recent_searches_stay_on_the_device_until_they_are_forgotten(visit: Visitor, photo: Path) -> None:
    page = visit("phone").page
    choose_photo(page, photo)
    page.click("#search")
    expect(page.locator(".candidate")).to_have_count(5)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator("#cropper")).to_be_visible()  # what was entered is still there, too
    page.locator(".recent-entry").click()
    expect(page.locator(".candidate")).to_have_count(5)
    page.go_back()
    page.click("#recent-forget")
    expect(page.locator(".recent-entry")).to_have_count(0)
    page.reload()
    expect(page.locator("#recent-none")).to_be_visible()


def test_language_and_colours_are_chosen_on_the_page(visit: Visitor) -> None:
    page = visit("phone").page
    page.click('[data-language="ko"]')
    page.wait_for_selector('html[data-ready][lang="ko"]')
    expect(page.locator('label[for="choose"]')).to_have_text("사진 선택")
    page.click("#theme")
    page.click("#theme")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    expect(page.locator("#theme-name")).to_have_text("색상: 어둡게")
