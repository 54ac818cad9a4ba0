"""The pages in a real browser: Debian's Chromium, the service as gunicorn runs it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright
from sqlalchemy import Engine

from app.store.database import make_engine
from app.store.media import MediaStore
from tests.app.api.conftest import migrated_database
from tests.app.api.gunicorn_app import SPACE_SETTING
from tests.app.api.test_gunicorn import ROOT, running, wait_for
from tests.app.web.shop import WebShop, build_web_shop

DATABASE = "pickture_web_test"
HOST = "shop.test"
"""What the browser takes for this machine: an address without TLS that is not its own, as a phone sees the service."""

BLOCKED = "Service Worker registration blocked by Playwright"
"""What it says itself on the console of a page at an address of this machine, when told to block them."""

PATIENCE_MS = 20_000
"""How long a test waits for what should come at once: other tests run beside it."""

SCREENS = ROOT / "var" / "screens"
COMMAND = ["-m", "gunicorn", "--config", "python:app.gunicorn_conf", "tests.app.api.gunicorn_app:make()"]
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
SIZES = {"phone": PHONE, "desktop": DESKTOP}


@dataclass(frozen=True)
class Service:
    """A running service. url: as a phone sees it. local: as this machine does."""

    url: str
    local: str
    shop: WebShop
    engine: Engine
    settings: dict[str, str]


@pytest.fixture(scope="session")
def web_database_url(database_url: str) -> Iterator[str]:
    """URL of a migrated database of these tests alone."""
    with migrated_database(database_url, DATABASE) as url:
        yield url


@pytest.fixture(scope="session")
def web_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the service in these tests."""
    return tmp_path_factory.mktemp("web-home")


@pytest.fixture(scope="session")
def web_engine(web_database_url: str) -> Iterator[Engine]:
    """An engine on that database."""
    engine = make_engine(web_database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def web_shop(web_engine: Engine, web_home: Path) -> WebShop:
    """The shop, built once."""
    return build_web_shop(web_engine, MediaStore(web_home / "media"))


@pytest.fixture(scope="session")
def service(
    web_shop: WebShop, web_engine: Engine, web_database_url: str, web_home: Path, chromium: Browser
) -> Iterator[Service]:
    """The service with its page, for all these tests; only where there is a browser to look at it."""
    settings = {
        "PICKTURE_DATABASE_URL": web_database_url,
        "PICKTURE_WEB": "true",
        "PICKTURE_ADMIN_WEB": "open",
        "PICKTURE_MAX_UPLOAD_BYTES": str(4 * 2**20),
        "PICKTURE_DECODERS": "1",
        SPACE_SETTING: str(web_shop.shop.space_id),
    }
    with running(COMMAND, settings, web_home) as (url, process):
        wait_for(f"{url}/readyz", 200, process, web_home)
        yield Service(url.replace("127.0.0.1", HOST), url, web_shop, web_engine, settings)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium here: the pages are not looked at (apt-get install chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    arguments = [f"--host-resolver-rules=MAP {HOST} 127.0.0.1", "--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


class Browsers:
    """Browsers of their own, as far as a page can tell: Chromium's contexts, emptied after each visit and used again.

    A new one opens a window with all that belongs to it, a second of CPU each; a tab in one costs a fifth of that.
    """

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._free: dict[str, list[BrowserContext]] = {}

    def take(self, options: dict[str, object]) -> BrowserContext:
        """One with these options that nobody is in."""
        free = self._free.setdefault(repr(sorted(options.items())), [])
        if free:
            return free.pop()
        context = self._chromium.new_context(**options)  # type: ignore[arg-type]
        context.new_page()  # keeps the window open
        return context

    def give_back(self, options: dict[str, object], context: BrowserContext, origins: set[str]) -> None:
        """Close its pages and forget what these origins left behind."""
        if options["service_workers"] != "block":
            context.close()
            return
        first, *others = context.pages
        for page in others:
            page.close()
        context.set_offline(False)
        context.clear_cookies()
        wire = context.new_cdp_session(first)
        for origin in origins:
            wire.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        wire.detach()
        self._free[repr(sorted(options.items()))].append(context)


@pytest.fixture(scope="session")
def browsers(chromium: Browser) -> Browsers:
    """The browsers that visits are made with."""
    return Browsers(chromium)


@dataclass
class Visit:
    """A page in a browser of its own. requests: everything it asked for. complaints: what its console said."""

    page: Page
    requests: list[Request]
    complaints: list[str]


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(browsers: Browsers, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """Opens the page at a size, e.g. ``visit("phone", color_scheme="dark")``; of ``service``, or of another at ``url``.

    After the test: the console was silent but for what the test expected, and no other host was asked.
    """
    visits: list[tuple[dict[str, object], BrowserContext, Visit]] = []

    def open_page(size: str = "phone", path: str = "/", url: str | None = None, **options: object) -> Visit:
        wanted = {"locale": "en-GB", "service_workers": "block", **SIZES[size], **options}
        context = browsers.take(wanted)
        page = context.new_page()
        seen = Visit(page, [], [])
        visits.append((wanted, context, seen))
        page.on("request", lambda request: seen.requests.append(request))  # noqa: PLW0108  a wrapper is set on it
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on(
            "console", lambda said: seen.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        home = request.getfixturevalue("service").url if url is None else url
        page.goto(f"{home}{path}")
        page.wait_for_selector("html[data-ready]")
        return seen

    yield open_page
    for wanted, context, seen in visits:
        asked = [urlsplit(request.url) for request in seen.requests if request.url.startswith("http")]
        browsers.give_back(wanted, context, {f"{address.scheme}://{address.netloc}" for address in asked})
    for _, _, seen in visits:
        hosts = {urlsplit(request.url).hostname for request in seen.requests if request.url.startswith("http")}
        assert hosts <= {HOST, "127.0.0.1"}
        assert [said for said in seen.complaints if said != BLOCKED] == []


@pytest.fixture
def photo(service: Service, tmp_path: Path) -> Path:
    """A phone photo of a product of the shop."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(service.shop.photo)
    return path


_WITH_PHOTOS = """() => Promise.all([...document.images].map((image) => {
    image.loading = "eager";
    return image.decode().catch(() => null);
}))"""
"""Until every photo can be painted, or cannot be had."""


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the whole page, its photos there, for people to look at: ``var/screens/NAME.png``."""
    page.wait_for_selector("html[data-ready]")
    page.evaluate(_WITH_PHOTOS)
    SCREENS.mkdir(parents=True, exist_ok=True)
    # One pixel a point: a phone's own two cost three times as much to pack, and show nothing that is looked for.
    page.screenshot(path=SCREENS / f"{name}.png", full_page=True, scale="css")
