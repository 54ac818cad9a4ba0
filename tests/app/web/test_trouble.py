"""What goes wrong is said in a sentence, and nothing that was entered is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import requests
from playwright.sync_api import Page, Route, expect
from sqlalchemy import text

from app.jobs.shared import publish_shared
from app.services.words import FOLDER
from app.store.database import transaction
from app.store.shared_tables import SharedSpaceRow
from app.store.spaces import remove_shared
from tests.app.api.test_gunicorn import free_port, running, wait_for
from tests.app.web.conftest import BLOCKED, COMMAND, PATIENCE_MS, Service, Visitor
from tests.app.web.test_shopper import choose_photo, look_at
from tests.contracts.fake_backbone import FakeBackbone
from tests.shared_world import made_bundle


def end_sessions(service: Service) -> None:
    """Every session ends, as when its time is over."""
    with service.engine.begin() as connection:
        connection.execute(text("UPDATE sessions SET expires_at = now() - interval '1 second'"))


def expected(complaints: list[str], *parts: str) -> None:
    """The browser itself reports failed requests on its console: these, and nothing else."""
    said = [line for line in complaints if line != BLOCKED]
    assert said and all(any(part in line for part in parts) for line in said), said
    complaints.clear()


def test_a_session_that_ends_is_replaced_unseen(visit: Visitor, service: Service, photo: Path) -> None:
    seen = visit("phone")
    page = seen.page
    choose_photo(page, photo)
    end_sessions(service)
    page.click("#search")
    expect(page.locator(".candidate")).to_have_count(5)
    expected(seen.complaints, "401")
    end_sessions(service)
    page.locator(".candidate button").first.click()
    expect(page.locator(".product").first).to_be_visible()
    expect(page.locator("#problem")).to_be_hidden()
    expected(seen.complaints, "401", "404")


def test_a_file_that_is_no_photo(visit: Visitor, tmp_path: Path) -> None:
    page = visit("phone").page
    page.click("#narrow > summary")
    page.select_option("#category-large", "Fashion")
    for name, content in (("letter.jpg", b"Dear shop"), ("cut.jpg", b"\xff\xd8\xff\xe0"), ("nothing.jpg", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        page.set_input_files("#choose", path)
        expect(page.locator("#problem")).to_be_focused()
        expect(page.locator("#problem-text")).to_contain_text("photo")
        expect(page.locator("#photo-part")).to_be_hidden()
        page.click("#problem-close")
    expect(page.locator("#category-large")).to_have_value("Fashion")


def test_a_photo_that_only_the_service_finds_damaged(visit: Visitor, tmp_path: Path) -> None:
    seen = visit("phone")
    page = seen.page
    path = tmp_path / "broken.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 500)
    choose_photo(page, path)
    expect(page.locator("#unseen")).to_be_visible()
    page.click("#search")
    expect(page.locator("#problem-text")).to_contain_text("Take it again")
    expect(page.locator("#problem-again")).to_be_hidden()  # the same photo would be damaged again
    look_at(page, "phone-light-en-7-problem")
    expect(page.locator("#photo-part")).to_be_visible()
    expected(seen.complaints, "422")


def test_the_service_restarts_in_the_middle_of_a_search(
    visit: Visitor, service: Service, photo: Path, web_home: Path, tmp_path: Path
) -> None:
    port = free_port()
    settings = {**service.settings, "PICKTURE_PORT": str(port), "PICKTURE_MEDIA_URL": str(web_home / "media")}
    local = f"http://127.0.0.1:{port}"
    with running(COMMAND, settings, tmp_path) as (_, process):
        wait_for(f"{local}/readyz", 200, process, tmp_path)
        seen = visit("phone", url=local)
        page = seen.page
        choose_photo(page, photo)
        page.click("#narrow > summary")
        page.select_option("#category-large", "Grocery")
        page.click("#edges > summary")
        page.locator("#edge-left").fill("10")
        [worker] = [
            child for child in psutil.Process(process.pid).children() if "gunicorn" in " ".join(child.cmdline())
        ]
        worker.suspend()
        with page.expect_request("**/v1/search"):
            page.click("#search")
        expect(page.locator("#progress")).to_be_visible()
        expect(page.locator("#search")).to_be_disabled()
        process.kill()
        worker.kill()
        expect(page.locator("#problem-text")).to_contain_text("nothing you entered is lost", timeout=30_000)
        page.click("#problem-again")  # too early
        expect(page.locator("#problem-text")).to_contain_text("nothing you entered is lost")
    with running(COMMAND, settings, tmp_path) as (_, process):
        wait_for(f"{local}/readyz", 200, process, tmp_path)
        page.click("#problem-again")
        expect(page.locator("#problem")).to_be_hidden()
        expect(page.locator(".candidate").first).to_be_visible(timeout=30_000)
        expect(page.locator("#edge-left")).to_have_value("10")
        expect(page.locator("#category-large")).to_have_value("Grocery")
        page.wait_for_load_state("networkidle")
    expected(seen.complaints, "ERR_CONNECTION_", "ERR_EMPTY_RESPONSE", "ERR_SOCKET_NOT_CONNECTED")


REFUSALS = [
    ("overloaded", 503, "Many people are searching"),
    ("limit_exceeded", 429, "(In 7 seconds.)"),
    ("bundle_not_found", 503, "cannot answer"),
    ("internal", 500, "cannot answer"),
    ("unauthorized", 401, "does not let this page in"),
    ("category_not_found", 404, "gone from the shop"),
]


def test_what_the_service_refuses_is_said_in_words(visit: Visitor, photo: Path) -> None:
    seen = visit("phone")
    page = seen.page
    choose_photo(page, photo)
    for code, status, said in REFUSALS:
        refuse_searches(page, code, status)
        page.click("#search")
        expect(page.locator("#problem")).to_be_visible()
        expect(page.locator("#problem-text")).to_contain_text(said)
        page.unroute("**/v1/search")
        again = "#problem-again" if status != 404 else "#search"
        expect(page.locator("#problem-again")).to_be_visible(visible=status != 404)
        page.click(again)
        expect(page.locator("#found-title")).to_be_focused()
        expect(page.locator(".candidate")).to_have_count(5)
        expected(seen.complaints, str(status))
        page.go_back()
        expect(page.locator("#search")).to_be_visible()


def refuse_searches(page: Page, code: str, status: int) -> None:
    """Answer every search so, from now on."""
    body = json.dumps({"code": code, "status": status})
    headers = {"Retry-After": "7", "Content-Type": "application/problem+json"}
    page.route("**/v1/search", lambda route: route.fulfill(status=status, body=body, headers=headers))


def test_a_search_can_be_cancelled(visit: Visitor, photo: Path) -> None:
    seen = visit("phone")
    page = seen.page
    choose_photo(page, photo)
    page.route("**/v1/search", lambda route: None)
    page.click("#search")
    page.click("#cancel")
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#problem")).to_be_hidden()
    expect(page.locator("#search")).to_be_enabled()
    page.unroute_all(behavior="ignoreErrors")


def changed(page: Page, change: Callable[[dict[str, object]], None]) -> None:
    """Let a search's answer come changed."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        change(body)
        route.fulfill(response=response, json=body)

    page.route("**/v1/search", answer)


def test_verdict_advice_and_suggested_parts_are_shown_where_they_come(
    visit: Visitor, service: Service, photo: Path
) -> None:
    page = visit("desktop", url=service.local).page  # the changed answer is fetched without the browser's names
    choose_photo(page, photo)

    def unsure(body: dict[str, object]) -> None:
        body["verdict"] = "unknown"
        body["calibrated"] = True
        body["advice"] = [{"code": "dark", "message": "x"}, {"code": "new_code", "message": "As the service says it."}]
        body["suggested_crops"] = [{"x": 0.25, "y": 0.5, "w": 0.5, "h": 0.25}]

    changed(page, unsure)
    page.click("#search")
    expect(page.locator("#verdict")).to_have_text("This product is probably not in this shop. These look most like it.")
    expect(page.locator("#advice li")).to_have_count(2)
    expect(page.locator("#advice li").last).to_have_text("As the service says it.")
    expect(page.locator(".candidate .badge").first).to_have_text("Less likely")
    look_at(page, "desktop-light-en-8-advice")
    with page.expect_response("**/v1/search"):
        page.locator("#suggested button").click()
    expect(page.locator("#edge-left")).to_have_value("25")
    expect(page.locator("#edge-bottom")).to_have_value("75")
    expect(page.locator("#suggested button")).to_have_count(1)
    page.unroute_all(behavior="wait")


def wait_for_words(service: Service, *, offered: bool) -> None:
    """Wait until the service has noticed: it looks only so often."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    asked = {"installation_id": str(uuid4())}
    said = None
    while said is not offered:
        assert time.monotonic() < deadline, f"words offered: {said}"
        time.sleep(0.3)
        answer = requests.post(f"{service.local}/web/sessions", json=asked, timeout=30)
        assert answer.status_code == 201, answer.text
        said = answer.json()["words"]


@pytest.fixture
def words_trained(service: Service, tmp_path_factory: pytest.TempPathFactory, web_home: Path) -> Iterator[None]:
    """Words can be searched by, until the test ends."""
    bundle = made_bundle(web_home / FOLDER, ("red shirt", "lemon soda can", "white milk"), "v1", FakeBackbone.space)
    publish_shared(service.engine, web_home / FOLDER, bundle, service.shop.shop.space_id)
    wait_for_words(service, offered=True)
    yield
    with transaction(service.engine) as session:
        for row in session.query(SharedSpaceRow).all():
            remove_shared(session, row)
    wait_for_words(service, offered=False)


@pytest.mark.usefixtures("words_trained")
def test_words_alone_and_with_a_photo(visit: Visitor, photo: Path) -> None:
    page = visit("phone").page
    expect(page.locator("#search")).to_be_disabled()
    page.fill("#words", "lemon soda can")
    page.keyboard.press("Enter")
    expect(page.locator("#found-title")).to_be_focused()
    expect(page.locator(".candidate").first).to_be_visible()
    expect(page.locator(".candidate-votes")).to_have_count(0)
    expect(page.locator("#verdict")).to_have_text("")
    page.go_back()
    choose_photo(page, photo)
    expect(page.locator("#words")).to_have_value("lemon soda can")
    expect(page.locator("#consent")).to_be_hidden()
    look_at(page, "phone-light-en-9-words")
    page.click("#search")
    expect(page.locator("#found-title")).to_be_focused()


def test_where_words_are_not_trained_they_are_not_offered(visit: Visitor) -> None:
    page = visit("phone").page
    expect(page.locator("#narrow")).to_be_visible()
    expect(page.locator("#words-part")).to_be_hidden()
