"""The dashboard's pages about shoppers' photos and about words, and its live figures, in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from playwright.sync_api import expect
from sqlalchemy import delete, text

from app.services.cursors import Cursors
from app.services.proposals import ProposalService
from app.store.database import transaction
from app.store.proposal_table import Proposal
from app.store.tables import Product
from app.store.text_models import TextModelStore
from tests.app.api.world import draw
from tests.app.text_world import STOP_WORD, use_model
from tests.app.web.admin.conftest import LOOKS, Admin
from tests.app.web.conftest import Service
from tests.app.web.test_shopper import look_at
from tests.app.web.test_trouble import expected

PICKS = ("cap", "milk-2", None, "shoe")
"""What shoppers pick, each on a photo that looks like the cap: the last one is no answer of the model's."""


def send(service: Service, number: int, pick: str | None) -> str:
    """Search with consent for a photo that nobody has sent before, and pick; the query's id."""
    opened = requests.post(
        f"{service.local}/v1/sessions",
        json={"app_key": service.shop.shop.app_key, "installation_id": str(uuid4())},
        timeout=30,
    )
    headers = {"Authorization": f"Bearer {opened.json()['token']}"}
    photo = draw((231, 221, 41), size=(360 + number, 330))
    sent = {"photo": ("a.jpg", BytesIO(photo), "image/jpeg")}
    fields = {"keep_photo": "true", "top_k": "3"}
    answer = requests.post(f"{service.local}/v1/search", headers=headers, files=sent, data=fields, timeout=30)
    assert answer.status_code == 200, answer.text
    query_id = str(answer.json()["query_id"])
    said = {"outcome": "none_of_these"} if pick is None else {"outcome": "picked", "sku": pick}
    told = requests.post(
        f"{service.local}/v1/feedback", headers=headers, json={"query_id": query_id, **said}, timeout=30
    )
    assert told.status_code == 200, told.text
    return query_id


@pytest.fixture
def waiting(service: Service) -> Iterator[list[str]]:
    """Photos that wait for review, one for each of PICKS; ids."""
    yield [send(service, number, pick) for number, pick in enumerate(PICKS)]
    with service.engine.begin() as connection:
        connection.execute(text("DELETE FROM queries WHERE photo_hash IS NOT NULL"))


def decided(service: Service, query_id: str) -> tuple[str, str | None]:
    """The state of an item, and the product that it was decided for."""
    with service.engine.connect() as connection:
        statement = text("SELECT state, decided_sku FROM review_items WHERE query_id = :id")
        row = connection.execute(statement, {"id": query_id}).one()
    return row.state, row.decided_sku


@pytest.mark.parametrize("look", LOOKS)
def test_photos_are_accepted_renamed_and_discarded(
    admin: Admin, service: Service, waiting: list[str], look: str
) -> None:
    seen = admin("/admin/review", look=look)
    page = seen.page
    cap, milk, none, shoe = waiting
    expect(page.locator("li.review")).to_have_count(4)
    expect(page.locator("li.review .flags").first).to_be_visible()
    look_at(page, f"admin-{look}-review")
    page.locator("li.review", has=page.locator(f'a[href*="{cap}"]')).locator("button[value=accept]").click()
    expect(page.locator("li.review")).to_have_count(3)
    assert decided(service, cap) == ("accepted", "cap")

    # Another product: what was typed is still there when there is no such product.
    page.goto(f"{service.url}/admin/review/{milk}?state=undecided")
    page.fill("#sku", "no-such-sku")
    page.locator("form.narrow button").click()
    expect(page.locator("#sku-wrong")).to_be_visible()
    expect(page.locator("#sku")).to_have_value("no-such-sku")
    look_at(page, f"admin-{look}-review-item")
    expected(seen.complaints, "422")
    page.fill("#sku", "shoe")
    page.locator("form.narrow button").click()
    expect(page.locator("li.review")).to_have_count(2)
    assert decided(service, milk) == ("relabelled", "shoe")

    # Many at once: what has a doubt is left, and said.
    page.check(f"#id-{none}")
    page.check(f"#id-{shoe}")
    page.locator(".actions button[value=accept]").click()
    expect(page.locator("#left a")).to_have_count(2)
    if "phone" in look:
        look_at(page, f"admin-{look}-review-many")
    expected(seen.complaints, "409")
    page.locator("main p a.btn").click()
    page.locator(f'li.review a[href*="{shoe}"]').first.click()
    page.locator("form.actions button[value=discard]").click()
    expect(page.locator("li.review")).to_have_count(1)
    assert decided(service, shoe) == ("discarded", None)


def test_a_decision_on_what_has_changed_since_is_not_made(admin: Admin, service: Service, waiting: list[str]) -> None:
    seen = admin(f"/admin/review/{waiting[0]}")
    with service.engine.begin() as connection:
        statement = text("UPDATE review_items SET state = 'discarded', decided_at = now() WHERE query_id = :id")
        connection.execute(statement, {"id": waiting[0]})
    seen.page.locator("form.actions button[value=accept]").click()
    expect(seen.page.locator("#problem")).to_contain_text("Someone changed this")
    assert decided(service, waiting[0])[0] == "discarded"
    expected(seen.complaints, "412")


@pytest.fixture
def proposed(service: Service, web_home: Path) -> Iterator[None]:
    """What a text model of random values proposes for two bare products."""
    use_model(web_home, report="<!doctype html><html lang=en><title>Words</title><p>a report</p></html>")
    with transaction(service.engine) as session:
        session.add_all([Product(sku="bare-1", name="Akko red shirt"), Product(sku="bare-2", name="Akko blue dress")])
    ProposalService(service.engine, TextModelStore(web_home), Cursors(service.engine)).propose()
    yield
    with transaction(service.engine) as session:
        session.execute(delete(Proposal))
        session.execute(delete(Product).where(Product.sku.startswith("bare-")))
    shutil.rmtree(web_home / "text")


@pytest.mark.usefixtures("proposed")
@pytest.mark.parametrize("look", LOOKS)
def test_words_left_out_and_values_proposed(admin: Admin, service: Service, look: str) -> None:
    page = admin("/admin/words", look=look).page
    row = page.locator("table.list tr", has_text=str(STOP_WORD["word"]))
    expect(row.locator("[name=approved]")).to_have_value("true")
    look_at(page, f"admin-{look}-words")
    row.locator("button").click()
    expect(row.locator("[name=approved]")).to_have_value("false")
    row.locator("button").click()
    expect(row.locator("[name=approved]")).to_have_value("true")
    answer = page.goto(f"{service.url}/admin/words/report")
    assert answer is not None and "sandbox" in answer.headers["content-security-policy"]

    page.goto(f"{service.url}/admin/proposals?field=season")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(24)  # a page of them
    look_at(page, f"admin-{look}-proposals")
    rows.first.locator("button[value^=accept]").click()
    expect(page.locator("[role=status]")).to_be_visible()
    page.goto(f"{service.url}/admin/proposals?field=season")
    rows.first.locator("input[type=checkbox]").check()
    page.locator(".actions button[value=reject]").click()
    expect(page.locator("[role=status]")).to_be_visible()
    with service.engine.connect() as connection:
        found = connection.execute(text("SELECT state, count(*) FROM proposals GROUP BY state")).all()
    states = {str(row.state): int(row.count) for row in found}
    assert (states["accepted"], states["rejected"]) == (1, 1)
    page.select_option("#state", "rejected")
    page.locator("form.filters button").click()
    expect(rows).to_have_count(1)


@pytest.mark.parametrize("look", LOOKS)
def test_live_figures_follow_what_the_service_does(admin: Admin, service: Service, look: str) -> None:
    seen = admin("/admin/service", look=look)
    page = seen.page
    expect(page.locator("#pace-part")).to_be_visible()
    shown = page.locator("[data-figure=requests]")
    before = shown.inner_text()
    send(service, 40 if look.startswith("phone") else 41, "cap")
    expect(shown).not_to_have_text(before)
    expect(page.locator('[data-figure="verdict-known"]')).to_contain_text("100")
    expect(page.locator('[data-stage="latency"] [data-quantile="0.5"]')).to_contain_text("ms")
    points = page.locator("#chart-rate polyline").get_attribute("points")
    assert points and len(points.split()) >= 2
    look_at(page, f"admin-{look}-service")
    with service.engine.begin() as connection:
        connection.execute(text("DELETE FROM admin_logins"))
        connection.execute(text("DELETE FROM queries WHERE photo_hash IS NOT NULL"))
    expect(page.locator("#since")).to_have_attribute("data-state", "ended")
    expected(seen.complaints, "401")
