"""Importing what was checked, over HTTP without a browser; no worker is there, and what one does is done by hand."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from werkzeug.test import TestResponse

from app.services.catalogue.uploads import keep_upload, remove_upload, upload_folder
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


def facts(engine: Engine, job_id: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(text("SELECT kind, payload FROM jobs WHERE id = :id"), {"id": job_id}).one()


def ended(engine: Engine, job_id: UUID, home: Path) -> None:
    """The check has been done, as a worker does it."""
    with engine.begin() as connection:
        done = "UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE id = :id"
        connection.execute(text(done), {"id": job_id})
    keep_upload(home, job_id)


def test_what_was_checked_is_imported_without_sending_it_again(
    client: FlaskClient, web_engine: Engine, tmp_path: Path
) -> None:
    checked = job_of(send(client, table=(BytesIO(TABLE), "shop.csv"), dry_run="true"))
    assert facts(web_engine, checked).payload == {
        "dry_run": True, "strict": False, "files": ["products.csv"], "keep_files": True
    }  # fmt: skip
    address = f"/admin/imports/{checked}/import"
    assert address not in client.get(f"/admin/jobs/{checked}").text
    ended(web_engine, checked, tmp_path)
    assert address in client.get(f"/admin/jobs/{checked}").text
    first = job_of(client.post(address, data={"strict": "true", "once": "a"}, headers=HERE))
    again = job_of(client.post(address, data={"strict": "true", "once": "a"}, headers=HERE))
    assert first == again != checked
    assert facts(web_engine, first).payload == {"dry_run": False, "strict": True, "files": ["products.csv"]}
    assert (upload_folder(tmp_path, first) / "products.csv").read_bytes() == TABLE
    remove_upload(tmp_path, checked)
    assert (upload_folder(tmp_path, first) / "products.csv").read_bytes() == TABLE


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
