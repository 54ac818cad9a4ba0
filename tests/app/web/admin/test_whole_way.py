"""The administrator's whole way: import after a check, retrain, promote, roll back; with a real worker and training.

One training is real; the version that is promoted after it is a copy, as if a second one had come to the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from app.services.access import AccessService
from app.store.bundles import BundleStore, Gate, NewBundle, new_version
from app.store.database import make_engine, transaction
from app.store.tables import Bundle
from models.bundle import MANIFEST, read_manifest, write_bundle
from tests.app.api.conftest import migrated_database
from tests.app.api.test_gunicorn import ROOT, running, wait_for
from tests.app.learning import shots
from tests.app.web.admin.conftest import show_key
from tests.app.web.conftest import HOST, Visitor
from tests.app.web.test_shopper import look_at

SERVICE = ["-m", "gunicorn", "--config", "python:app.gunicorn_conf"]
CHECK, AT_ONCE = "true", "false"
"""Values of the buttons that send a catalogue: whether it is a dry run."""

TRAINING_MS = 180_000
"""How long a training may take while other tests run beside it."""


@dataclass(frozen=True)
class Way:
    """An empty installation that serves and works. url: as a phone sees it."""

    url: str
    key: str
    engine: Engine
    home: Path


@pytest.fixture(scope="module")
def way(database_url: str, prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """The service as it is run, on an empty database, and a worker that does its jobs."""
    home = tmp_path_factory.mktemp("way-home")
    shutil.copytree(prepared_home / "backbones", home / "backbones")
    with migrated_database(database_url, "pickture_way_test") as url:
        engine = make_engine(url)
        key = AccessService(engine, 60).create_key("admin").key
        settings = {"PICKTURE_DATABASE_URL": url, "PICKTURE_ADMIN_WEB": "open", "PICKTURE_DECODERS": "1"}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PICKTURE_")}
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.app.web.admin.way_worker", "work"],
            cwd=ROOT,
            env={**environment, **settings, "PICKTURE_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        try:
            with running(SERVICE, settings, home) as (address, process):
                wait_for(f"{address}/healthz", 200, process, home)
                yield Way(address.replace("127.0.0.1", HOST), key, engine, home)
        finally:
            engine.dispose()
            worker.terminate()
            worker.wait(60)


FIRST_ROWS = "sku,name,price\napple,Apple,1.20\nbread,Bread,2.30\ncocoa,Cocoa,3\ndates,Dates,cheap\n"
NEW_PRICES = "sku,name,price\napple,Apple,1.30\nbread,Bread,2.40\ncocoa,Cocoa,dear\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A catalogue of three products with two photos each, and a row with an error."""
    path = tmp_path / "shop.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("products.csv", FIRST_ROWS)
        for place, sku in enumerate(("apple", "bread", "cocoa")):
            for number, photo in enumerate(shots(place, 2)):
                opened.writestr(f"images/{sku}/{number}.jpg", photo)
    return path


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """A table alone, with new prices, and a row with an error."""
    path = tmp_path / "prices.csv"
    path.write_text(NEW_PRICES)
    return path


def is_done(page: Page) -> None:
    """Wait until the job on this page has ended well; the page notices by itself."""
    expect(page.locator(".state .badge.text-bg-success")).to_be_visible(timeout=TRAINING_MS)


def upload(page: Page, field: str, file: Path, button: str) -> None:
    """Send a file, and wait for what becomes of it: one row is refused, and said where and why."""
    page.click("nav.menu a[href='/admin/imports']")
    page.set_input_files(f"#{field}", file)
    page.click(f"form.wide button[value={button}]")
    is_done(page)
    expect(page.locator("table.list td[lang=en]")).to_have_count(1)
    expect(page.locator("table.list tbody tr")).to_contain_text("price")


def retrain(page: Page) -> str:
    """Retrain, and wait; returns the version that came of it."""
    page.click("nav.menu a[href='/admin/jobs']")
    page.locator(".card-fold > summary").first.click()
    page.fill("details[open] [name=folds]", "2")
    page.check("details[open] [name=without_variants]")
    page.click("details[open] button")
    is_done(page)
    return page.locator("section a[href^='/admin/models/']").inner_text()


def as_if_trained_again(way: Way, version: str) -> str:
    """A challenger like this version, kept for an administrator to decide on."""
    store = BundleStore(way.home)
    folder, again = store.path_for(version), new_version(datetime.now(UTC))
    kept = {name: value for name, value in read_manifest(folder)[0].items() if name not in ("format", "files")}

    def copy(target: Path) -> None:
        for path in folder.iterdir():
            if path.name != MANIFEST:
                shutil.copyfile(path, target / path.name)

    digest = write_bundle(store.path_for(again), {**kept, "version": again}, copy)
    with transaction(way.engine) as session:
        first = session.get_one(Bundle, version)
        new = NewBundle(again, first.space_id, digest, first.metrics)
        assert store.settle(session, new, Gate("kept", "it was to be kept", version)) is not None
    return again


def serve(page: Page, version: str) -> None:
    """Promote a version, after its confirmation."""
    page.click("nav.menu a[href='/admin/models']")
    page.click(f"a[href='/admin/models/{version}/promote']")
    page.click("main form.actions button")
    expect(page.locator("tr", has_text=version).locator(".text-bg-success")).to_be_visible()


def roll_back(page: Page, version: str) -> None:
    """Roll back, after its confirmation, to this version."""
    page.click("nav.menu a[href='/admin/models']")
    page.click("a[href='/admin/models/rollback']")
    page.click("main form.actions button")
    expect(page.locator("tr", has_text=version).locator(".text-bg-success")).to_be_visible()


def test_import_retrain_promote_and_roll_back_at_both_sizes(
    way: Way, visit: Visitor, archive: Path, prices: Path
) -> None:
    phone = visit("phone", path="/admin", url=way.url).page
    show_key(phone, way.key)
    expect(phone.locator(".task-danger").first).to_be_visible()
    upload(phone, "archive", archive, CHECK)
    look_at(phone, "admin-phone-light-en-checked")
    phone.click("nav.menu a[href='/admin/imports']")
    look_at(phone, "admin-phone-light-en-imports")
    phone.click("#kept ~ table th a")
    phone.click("main form:has([name=strict]) button")
    expect(phone.locator("p.alert-success")).to_be_visible()
    is_done(phone)
    desktop = visit("desktop", path="/admin", url=way.url, color_scheme="dark", locale="ko-KR").page
    show_key(desktop, way.key)
    upload(desktop, "table", prices, AT_ONCE)
    look_at(desktop, "admin-desktop-dark-ko-imported")
    desktop.click("nav.menu a[href='/admin/products']")
    expect(desktop.locator("table.list")).to_contain_text("1.30")

    first = retrain(phone)
    look_at(phone, "admin-phone-light-en-retrained")
    desktop.goto(phone.url)
    look_at(desktop, "admin-desktop-dark-ko-retrained")
    desktop.click("nav.menu a[href='/admin']")
    expect(desktop.locator("dl.facts dd", has_text=first)).to_be_visible()
    second = as_if_trained_again(way, first)
    for page in (desktop, phone):
        serve(page, second)
        roll_back(page, first)
