"""Asking for jobs, watching and cancelling them in a browser; here no worker does them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import text

from tests.app.web.admin.conftest import LOOKS, Admin
from tests.app.web.conftest import Service
from tests.app.web.test_shopper import look_at
from tests.app.web.test_trouble import expected


@pytest.fixture
def no_jobs(service: Service) -> Iterator[None]:
    """No jobs, before and after."""

    def empty() -> None:
        with service.engine.begin() as connection:
            connection.execute(text("DELETE FROM jobs"))
            connection.execute(text("DELETE FROM procrastinate_jobs"))

    empty()
    yield
    empty()


def now(service: Service, change: str, **values: object) -> None:
    """As if a worker wrote to the jobs that have not ended."""
    with service.engine.begin() as connection:
        connection.execute(text(f"UPDATE jobs SET {change} WHERE state IN ('queued', 'running')"), values)


@pytest.mark.usefixtures("no_jobs")
@pytest.mark.parametrize("look", LOOKS)
def test_a_job_is_asked_for_watched_and_cancelled(admin: Admin, service: Service, look: str) -> None:
    seen = admin("/admin/jobs", look=look)
    page = seen.page
    page.locator(".card-fold > summary").first.click()
    look_at(page, f"admin-{look}-jobs")
    page.fill("details[open] [name=folds]", "3")
    page.click("details[open] button")
    expect(page.locator("#cancel-job")).to_be_visible()
    address = page.url
    page.evaluate("window.stays = true")

    log = "\n".join(f"step {number} of 40" for number in range(40))
    now(service, "state = 'running', progress = 0.4, step = 'training FCN', log_tail = :log", log=log)
    expect(page.locator(".state")).to_contain_text("training FCN")
    expect(page.locator("progress")).to_have_attribute("value", "0.4")
    at_end = "(log) => log.scrollTop + log.clientHeight >= log.scrollHeight - 4"
    assert page.locator("#log-text").evaluate(at_end)
    page.focus("#cancel-job")
    now(service, "step = 'training SVM'")
    expect(page.locator(".state")).to_contain_text("training SVM")
    expect(page.locator("#cancel-job")).to_be_focused()
    look_at(page, f"admin-{look}-job-running")

    # A second one is refused, with the way to the first, and what was typed is there.
    page.click("nav.menu a[href='/admin/jobs']")
    page.locator(".card-fold > summary").nth(1).click()
    page.fill("details[open] [name=folds]", "4")
    page.click("details[open] button")
    expect(page.locator("#problem a")).to_have_attribute("href", address.split("?")[0].removeprefix(service.url))
    expect(page.locator("details[open] [name=folds]")).to_have_value("4")
    expected(seen.complaints, "409")
    page.fill("details[open] [name=folds]", "400")
    page.click("details[open] button")
    expect(page.locator("#train-folds-wrong")).to_be_visible()
    expected(seen.complaints, "422")

    page.goto(address)
    page.click("#cancel-job")
    expect(page.locator(".alert-success")).to_be_visible()
    ended = "state = 'failed', finished_at = now(), error = CAST(:why AS jsonb), progress = 0.7"
    now(service, ended, why='{"code": "usage_error", "message": "no label has photos of two scenes"}')
    expect(page.locator(".alert-danger")).to_contain_text("no label has photos of two scenes")
    expect(page.locator("[data-live]")).to_have_count(0)


@pytest.mark.usefixtures("no_jobs")
def test_what_is_no_catalogue_is_told_beside_its_field(admin: Admin, tmp_path: Path) -> None:
    seen = admin("/admin/imports", "phone")
    page = seen.page
    page.click("form.wide .btn-primary")
    expect(page.locator("#archive-wrong")).to_be_visible()
    expected(seen.complaints, "422")
    (tmp_path / "shop.zip").write_bytes(b"no archive")
    page.set_input_files("#archive", tmp_path / "shop.zip")
    page.click("form.wide .btn-primary")
    expect(page.locator("#archive-wrong")).to_contain_text("not a zip archive")
    expected(seen.complaints, "422")
    look_at(page, "admin-phone-light-en-import-wrong")


@pytest.mark.usefixtures("no_jobs")
def test_nothing_is_lost_when_the_service_or_the_login_is_gone(admin: Admin, service: Service) -> None:
    seen = admin("/admin/new-product", "phone")
    page = seen.page
    page.fill("#sku", "lost-1")
    page.fill("#name", "Not lost")
    page.context.set_offline(True)
    page.click("form.wide button")
    expect(page.locator("[data-obstacle]")).to_be_visible()
    expect(page.locator("#name")).to_have_value("Not lost")
    page.context.set_offline(False)
    expected(seen.complaints, "ERR_INTERNET_DISCONNECTED")
    for language in ("ko", "en"):
        page.click(f'[data-language="{language}"]')
        page.wait_for_selector(f'html[data-ready][lang="{language}"]')
        expect(page.locator("#sku")).to_have_value("lost-1")
        expect(page.locator("#name")).to_have_value("Not lost")

    with service.engine.begin() as connection:
        connection.execute(text("UPDATE admin_logins SET expires_at = now()"))
    page.click("form.wide button")
    expect(page.locator("#admin_key")).to_be_visible()
    look_at(page, "admin-phone-light-en-login-ended")
    page.fill("#admin_key", "pk_admin_mistyped")
    page.click("form[data-login] button")
    expect(page.locator("#problem")).to_contain_text("not valid")
    page.fill("#admin_key", service.shop.shop.admin_key)
    page.click("form[data-login] button")
    expect(page.locator(".alert-success")).to_be_visible()
    expect(page.locator("#name")).to_have_value("Not lost")
    expected(seen.complaints, "401")
    page.click("a.btn-outline-danger")
    page.click("main form.actions button")
    expect(page.locator(".alert-success")).to_be_visible()
