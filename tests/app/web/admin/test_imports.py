"""Importing what was checked, over HTTP without a browser; no worker is there, and what one does is done by hand."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from werkzeug.test import TestResponse

from app.config import Settings
from app.jobs.attempt import Attempts
from app.services.catalogue.uploads import MOST_CHECKED, remove_upload, upload_folder, uploaded
from tests.app.web.admin.test_gate import HERE, client_of, log_in
from tests.app.web.shop import WebShop

TABLE = b"sku,name\nnew-1,New\n"


@pytest.fixture
def client(web_engine: Engine, web_shop: WebShop, tmp_path: Path) -> FlaskClient:
    """Logged in, with a state folder of this test."""
    client = client_of(web_engine, web_shop, home=tmp_path)
    assert log_in(client, web_shop.shop.admin_key).status_code == 303
    return client


def send(client: FlaskClient, **fields: Any) -> TestResponse:
    """As a browser sends the form: fields without a file come empty."""
    empty = {name: (BytesIO(b""), "") for name in ("archive", "table", "images")}
    return client.post("/admin/imports", data={**empty, **fields}, headers=HERE, content_type="multipart/form-data")


def job_of(answer: TestResponse) -> UUID:
    """The job that an answer leads to."""
    assert answer.status_code == 303, answer.text
    return UUID(answer.location.split("?")[0].rsplit("/", 1)[1])


def kept_on(page: str) -> str:
    """The part of the page that lists what is kept after checks."""
    return "".join(re.findall(r'<section aria-labelledby="kept".*?</section>', page, re.DOTALL))


def facts(engine: Engine, job_id: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(text("SELECT kind, payload FROM jobs WHERE id = :id"), {"id": job_id}).one()


def state(engine: Engine, job_id: UUID) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text("SELECT state FROM jobs WHERE id = :id"), {"id": job_id}).scalar_one())


def ended(engine: Engine, job_id: UUID, home: Path, result: Mapping[str, Any] | None = None) -> None:
    """The job has been done, and its upload is tidied up as a worker does it."""
    with engine.begin() as connection:
        done = (
            "UPDATE jobs SET state = 'succeeded', finished_at = now(), result = CAST(:result AS jsonb) WHERE id = :id"
        )
        connection.execute(text(done), {"id": job_id, "result": None if result is None else json.dumps(result)})

    async def tidy() -> None:
        await Attempts(Settings(home=home), engine, asyncio.Event()).run(job_id, 0)

    asyncio.run(tidy())


def test_what_was_checked_is_imported_without_sending_it_again(
    client: FlaskClient, web_engine: Engine, tmp_path: Path
) -> None:
    checked = job_of(send(client, table=(BytesIO(TABLE), "shop.csv"), dry_run="true"))
    assert facts(web_engine, checked).payload == {
        "dry_run": True, "strict": False, "files": ["products.csv"], "keep_files": True
    }  # fmt: skip
    address = f"/admin/imports/{checked}/import"
    assert address not in client.get(f"/admin/jobs/{checked}").text
    assert client.post(address, headers=HERE).status_code == 409, "it has not been checked yet"
    ended(web_engine, checked, tmp_path)
    assert address in client.get(f"/admin/jobs/{checked}").text
    first = job_of(client.post(address, data={"strict": "true", "once": "a"}, headers=HERE))
    again = job_of(client.post(address, data={"strict": "true", "once": "a"}, headers=HERE))
    assert first == again != checked
    assert facts(web_engine, first).payload == {"dry_run": False, "strict": True, "files": ["products.csv"]}
    assert (upload_folder(tmp_path, first) / "products.csv").read_bytes() == TABLE
    remove_upload(tmp_path, checked)
    assert (upload_folder(tmp_path, first) / "products.csv").read_bytes() == TABLE


def test_a_form_sent_twice_is_one_upload(client: FlaskClient, tmp_path: Path) -> None:
    once = re.findall(r'name="once" value="([^"]+)"', client.get("/admin/imports").text)
    assert len(once) == 1
    form = {"dry_run": "true", "once": once[0]}
    first, again = (job_of(send(client, table=(BytesIO(TABLE), "a.csv"), **form)) for _ in range(2))
    assert first == again and uploaded(tmp_path) == [first]
    # A page that the browser brought back, with another button, answer or file: that is wanted, and nothing is lost.
    changed = [
        job_of(send(client, table=(BytesIO(TABLE), "a.csv"), **form, strict="true")),
        job_of(send(client, table=(BytesIO(TABLE), "a.csv"), dry_run="false", once=once[0])),
        job_of(send(client, table=(BytesIO(TABLE + b"new-2,Two\n"), "a.csv"), **form)),
    ]
    assert len({first, *changed}) == 4


def test_no_more_is_kept_after_checks_than_may_be(client: FlaskClient, web_engine: Engine, tmp_path: Path) -> None:
    tables = [TABLE + b"new-%d,More\n" % number for number in range(MOST_CHECKED + 1)]
    *kept, more = tables
    jobs = [job_of(send(client, table=(BytesIO(table), "a.csv"), dry_run="true", once="x")) for table in kept]
    ended(web_engine, jobs[0], tmp_path)
    refused = send(client, table=(BytesIO(more), "a.csv"), dry_run="true", strict="true")
    assert refused.status_code == 409 and "No more checked files can be kept" in refused.text
    assert re.search(r'id="strict"[^>]* checked', refused.text)
    assert [f"/admin/imports/{job}/forget" in refused.text for job in jobs] == [True] * MOST_CHECKED
    assert set(uploaded(tmp_path)) == set(jobs)
    # The same form as before makes nothing new, and what is imported at once is not kept.
    assert job_of(send(client, table=(BytesIO(kept[-1]), "a.csv"), dry_run="true", once="x")) == jobs[-1]
    at_once = job_of(send(client, table=(BytesIO(more), "a.csv"), dry_run="false"))
    for job in jobs[:2]:  # one that was checked, and one that waits
        answer = client.post(f"/admin/imports/{job}/forget", headers=HERE)
        assert answer.status_code == 303 and "The checked files are deleted." in client.get(answer.location).text
        assert client.post(f"/admin/imports/{job}/forget", headers=HERE).status_code == 409
    assert set(uploaded(tmp_path)) == {*jobs[2:], at_once}
    assert state(web_engine, jobs[1]) == "cancelled"
    job_of(send(client, table=(BytesIO(more), "a.csv"), dry_run="true"))
    assert client.post(f"/admin/imports/{at_once}/forget", headers=HERE).status_code == 409
    assert client.post("/admin/imports/0dd12412-0a24-4422-89b2-2020effae854/forget", headers=HERE).status_code == 404


def test_what_has_been_imported_is_kept_no_longer(client: FlaskClient, web_engine: Engine, tmp_path: Path) -> None:
    checked = job_of(send(client, table=(BytesIO(TABLE), "a.csv"), dry_run="true"))
    ended(web_engine, checked, tmp_path)
    address = f"/admin/imports/{checked}/import"
    strict = job_of(client.post(address, data={"strict": "true", "once": "a"}, headers=HERE))
    nothing = {"applied": False, "added": 0, "changed": 0}
    ended(web_engine, strict, tmp_path, nothing)  # there were errors, and it was to be all or nothing
    assert uploaded(tmp_path) == [checked] and str(checked) in kept_on(client.get("/admin/imports").text)
    done = job_of(client.post(address, data={"once": "b"}, headers=HERE))
    assert set(uploaded(tmp_path)) == {checked, done}
    ended(web_engine, done, tmp_path, {**nothing, "applied": True})
    assert uploaded(tmp_path) == [] and kept_on(client.get("/admin/imports").text) == ""


def test_a_check_whose_files_are_there_in_part_is_not_imported(
    client: FlaskClient, web_engine: Engine, tmp_path: Path
) -> None:
    images = BytesIO()
    with ZipFile(images, "w") as archive:
        archive.writestr("new-1/a.txt", "no photo")
    images.seek(0)
    checked = job_of(send(client, table=(BytesIO(TABLE), "a.csv"), images=(images, "a.zip"), dry_run="true"))
    ended(web_engine, checked, tmp_path)
    (upload_folder(tmp_path, checked) / "images.zip").unlink()  # as while another request deletes them
    answer = client.post(f"/admin/imports/{checked}/import", headers=HERE)
    assert answer.status_code == 409 and "Choose them again" in answer.text
    assert uploaded(tmp_path) == [checked]


def test_checks_asked_for_at_the_same_moment_are_counted_together(
    client: FlaskClient, web_engine: Engine, web_shop: WebShop, tmp_path: Path
) -> None:
    for number in range(MOST_CHECKED - 1):
        job_of(send(client, table=(BytesIO(TABLE + b"new-%d,More\n" % number), "a.csv"), dry_run="true"))
    others = [client_of(web_engine, web_shop, home=tmp_path) for _ in range(4)]
    for other in others:
        log_in(other, web_shop.shop.admin_key)
    start = Barrier(len(others))

    def ask(number: int) -> int:
        start.wait()
        table = BytesIO(TABLE + b"late-%d,Late\n" % number)
        return send(others[number], table=(table, "a.csv"), dry_run="true").status_code

    with ThreadPoolExecutor(len(others)) as at_once:
        answers = list(at_once.map(ask, range(len(others))))
    assert sorted(answers) == [303, 409, 409, 409]
    assert len(uploaded(tmp_path)) == MOST_CHECKED


def test_what_is_kept_after_checks_is_bounded_in_bytes_too(
    web_engine: Engine, web_shop: WebShop, tmp_path: Path
) -> None:
    client = client_of(web_engine, web_shop, home=tmp_path, max_import_bytes=3000)
    log_in(client, web_shop.shop.admin_key)
    answers = [
        send(client, table=(BytesIO(TABLE + b"#" * size), "a.csv"), dry_run="true") for size in (2200, 2201, 2202, 900)
    ]
    assert [answer.status_code for answer in answers] == [303, 303, 409, 303]
    assert "of 6 kB together" in client.get("/admin/imports").text


def test_files_that_are_gone_are_said_to_be(client: FlaskClient, web_engine: Engine, tmp_path: Path) -> None:
    checked = job_of(send(client, table=(BytesIO(TABLE), "shop.csv"), dry_run="true"))
    ended(web_engine, checked, tmp_path)
    remove_upload(tmp_path, checked)
    page = client.get(f"/admin/jobs/{checked}").text
    assert "The files are not kept any more." in page
    answer = client.post(f"/admin/imports/{checked}/import", headers=HERE)
    assert answer.status_code == 409 and "Choose them again" in answer.text
    nobodys = "0dd12412-0a24-4422-89b2-2020effae854"
    assert client.post(f"/admin/imports/{nobodys}/import", headers=HERE).status_code == 404


def test_at_once_nothing_is_kept(client: FlaskClient, web_engine: Engine) -> None:
    job = job_of(send(client, table=(BytesIO(TABLE), "shop.csv"), dry_run="false", strict="true"))
    assert facts(web_engine, job).payload == {"dry_run": False, "strict": True, "files": ["products.csv"]}


def test_no_file_and_files_that_do_not_go_together_are_told(client: FlaskClient, tmp_path: Path) -> None:
    for fields in ({}, {"images": (BytesIO(b"x"), "a.zip")}, {"table": (BytesIO(TABLE), "a.csv"), "what": "1"}):
        answer = send(client, **fields)
        assert answer.status_code == 422, answer.text
    assert list((tmp_path / "uploads").iterdir()) == []
