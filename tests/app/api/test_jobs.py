"""/v1/admin/jobs and /v1/admin/imports without a worker: who may, what is refused, what is the same request."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from app.api.headers import InMemoryRequest
from app.config import Settings
from app.factory import create_app
from app.services.catalogue.uploads import upload_folder, uploads_folder
from app.wiring import assemble
from tests.app.api.conftest import problem_of
from tests.app.api.world import KnnLoader, Shop


@pytest.fixture
def admin(application: Flask, shop: Shop, service_engine: Engine) -> Iterator[FlaskClient]:
    """A client with an admin key; the jobs it asks for are forgotten afterwards."""
    made = application.test_client()
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {shop.admin_key}"
    with service_engine.begin() as connection:  # workers that other tests killed count as alive for a while
        connection.execute(text("DELETE FROM procrastinate_workers"))
    yield made
    with service_engine.begin() as connection:
        connection.execute(text("DELETE FROM jobs"))
        connection.execute(text("DELETE FROM procrastinate_jobs"))


def zipped(**files: bytes) -> bytes:
    """A zip file; the same content gives the same bytes."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name, data in files.items():
            opened.writestr(zipfile.ZipInfo(name.replace("__", "/")), data)
    return out.getvalue()


def upload(client: FlaskClient, key: str | None = None, **fields: Any) -> Any:
    """POST /v1/admin/imports; bytes are files."""
    data = {name: (BytesIO(value), "a") if isinstance(value, bytes) else value for name, value in fields.items()}
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/v1/admin/imports", data=data, headers=headers)


NO_JOB = "79e93b94-8e7f-4419-84e0-89ee3ba790e8"
"""An id that no job has; fixed, because it names tests and every process must collect the same ones."""

ROUTES = [
    ("GET", "/v1/admin/jobs"),
    ("POST", "/v1/admin/jobs"),
    ("GET", f"/v1/admin/jobs/{NO_JOB}"),
    ("POST", f"/v1/admin/jobs/{NO_JOB}/cancel"),
    ("POST", "/v1/admin/imports"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_only_admin_keys_may(client: FlaskClient, anyone: FlaskClient, method: str, path: str) -> None:
    assert problem_of(client.open(path, method=method))["code"] == "forbidden"
    assert problem_of(anyone.open(path, method=method))["code"] == "unauthorized"


def test_a_second_training_is_refused_and_the_first_is_named(admin: FlaskClient) -> None:
    first = admin.post("/v1/admin/jobs", json={"kind": "train", "folds": 3})
    assert first.status_code == 202
    job_id = first.json["job_id"]
    assert first.headers["Location"] == f"/v1/admin/jobs/{job_id}"
    shown = admin.get(f"/v1/admin/jobs/{job_id}").json
    assert (shown["kind"], shown["state"], shown["parameters"]) == ("train", "queued", {"folds": 3})
    assert (shown["row_errors"], shown["log"], shown["result"], shown["error"]) == ([], [], None, None)
    for kind in ("train", "bottlenecks"):
        refused = problem_of(admin.post("/v1/admin/jobs", json={"kind": kind}))
        assert (refused["status"], refused["code"], refused["job_id"]) == (409, "job_running", job_id)
    assert admin.post(f"/v1/admin/jobs/{job_id}/cancel").json["state"] == "cancelled"
    assert admin.post(f"/v1/admin/jobs/{job_id}/cancel").json["state"] == "cancelled"
    assert admin.post("/v1/admin/jobs", json={"kind": "bottlenecks"}).status_code == 202


def test_what_has_ended_cannot_be_cancelled(admin: FlaskClient, service_engine: Engine) -> None:
    job_id = admin.post("/v1/admin/jobs", json={"kind": "bottlenecks"}).json["job_id"]
    with service_engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET state = 'succeeded', finished_at = now()"))
    refused = problem_of(admin.post(f"/v1/admin/jobs/{job_id}/cancel"))
    assert (refused["status"], refused["code"], refused["job_id"]) == (409, "job_ended", job_id)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "publish"},
        {"kind": "import"},
        {"kind": "train", "folds": 1},
        {"kind": "train", "originals_only": True},
        {"kind": "bottlenecks", "folds": 3},
        {"kind": "bottlenecks", "surprise": 1},
    ],
)
def test_unfit_requests_are_refused(admin: FlaskClient, body: dict[str, Any]) -> None:
    assert problem_of(admin.post("/v1/admin/jobs", json=body))["code"] == "request_invalid"


def test_an_unknown_job_is_not_found(admin: FlaskClient) -> None:
    assert problem_of(admin.get(f"/v1/admin/jobs/{NO_JOB}"))["code"] == "job_not_found"
    assert problem_of(admin.post(f"/v1/admin/jobs/{NO_JOB}/cancel"))["code"] == "job_not_found"
    assert problem_of(admin.get("/v1/admin/jobs/7"))["code"] == "request_invalid"


def test_the_same_key_and_request_give_the_same_job(admin: FlaskClient) -> None:
    headers = {"Idempotency-Key": "monday"}
    first = admin.post("/v1/admin/jobs", json={"kind": "train"}, headers=headers)
    again = admin.post("/v1/admin/jobs", json={"kind": "train"}, headers=headers)
    assert (again.status_code, again.json) == (202, first.json)
    other = problem_of(admin.post("/v1/admin/jobs", json={"kind": "bottlenecks"}, headers=headers))
    assert (other["status"], other["code"]) == (422, "idempotency_key_reused")
    assert admin.get("/v1/admin/jobs?kind=train").json["items"][1:] == []
    for bad in ("", "x" * 201, "é"):
        refused = admin.post("/v1/admin/jobs", json={"kind": "train"}, headers={"Idempotency-Key": bad})
        assert problem_of(refused)["problems"][0]["field"] == "Idempotency-Key"


def test_jobs_come_newest_first_a_page_at_a_time(admin: FlaskClient) -> None:
    made = [upload(admin, table=b"sku\n" + str(n).encode()).json["job_id"] for n in range(3)]
    trained = admin.post("/v1/admin/jobs", json={"kind": "train"}).json["job_id"]
    admin.post(f"/v1/admin/jobs/{made[0]}/cancel")
    first = admin.get("/v1/admin/jobs?limit=2").json
    assert [job["job_id"] for job in first["items"]] == [trained, made[2]]
    assert first["workers"] == 0
    second = admin.get("/v1/admin/jobs", query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    assert [job["job_id"] for job in second["items"]] == [made[1], made[0]]
    assert second["next_cursor"] is None
    assert [job["job_id"] for job in admin.get("/v1/admin/jobs?state=cancelled").json["items"]] == [made[0]]
    assert [job["job_id"] for job in admin.get("/v1/admin/jobs?kind=train").json["items"]] == [trained]
    wrong = admin.get("/v1/admin/jobs", query_string={"kind": "train", "cursor": first["next_cursor"]})
    assert problem_of(wrong)["code"] == "cursor_invalid"
    assert problem_of(admin.get("/v1/admin/jobs?state=lost"))["code"] == "request_invalid"


def folders(home: Path) -> list[Path]:
    """What lies among the uploads."""
    return list(uploads_folder(home).iterdir()) if uploads_folder(home).is_dir() else []


def test_uploads_lie_under_names_of_ours_and_go_with_their_job(admin: FlaskClient, home: Path) -> None:
    before = len(folders(home))
    photos = zipped(a__1=b"x")
    with_table = upload(admin, table=b'\xef\xbb\xbf\n {"sku": "a"}', images=photos, dry_run="true")
    folder = upload_folder(home, with_table.json["job_id"])
    assert sorted(path.name for path in folder.iterdir()) == ["images.zip", "products.jsonl"]
    assert (folder / "images.zip").read_bytes() == photos
    assert folder.stat().st_mode & 0o077 == 0
    csv = upload_folder(home, upload(admin, table=b"sku,name\na,A\n").json["job_id"])
    assert [path.name for path in csv.iterdir()] == ["products.csv"]
    whole = upload(admin, archive=zipped(**{"products.csv": b"sku\na\n"})).json["job_id"]
    assert [path.name for path in upload_folder(home, whole).iterdir()] == ["archive.zip"]
    shown = admin.get(f"/v1/admin/jobs/{with_table.json['job_id']}").json
    assert shown["parameters"] == {"dry_run": True, "strict": False, "files": ["images.zip", "products.jsonl"]}
    for job_id in (with_table.json["job_id"], csv.name, whole):
        admin.post(f"/v1/admin/jobs/{job_id}/cancel")
    assert len(folders(home)) == before


def test_a_repeated_upload_is_recognised_by_its_content(admin: FlaskClient, home: Path) -> None:
    first = upload(admin, "k", table=b"sku\na\n")
    before = folders(home)
    assert upload(admin, "k", table=b"sku\na\n").json == first.json
    assert problem_of(upload(admin, "k", table=b"sku\nb\n"))["code"] == "idempotency_key_reused"
    assert problem_of(upload(admin, "k", table=b"sku\na\n", strict="true"))["code"] == "idempotency_key_reused"
    assert folders(home) == before
    assert upload(admin, "l", table=b"sku\na\n").json["job_id"] != first.json["job_id"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "archive"),
        ({"images": zipped(a=b"x")}, "archive"),
        ({"archive": zipped(a=b"x"), "table": b"sku\n"}, "archive"),
        ({"photo": b"x"}, "archive"),
        ({"archive": b"PK no zip at all"}, "archive"),
        ({"table": b"sku\na\n", "images": b"no zip"}, "images"),
        ({"table": b"sku\na\n", "dry_run": "perhaps"}, "dry_run"),
        ({"table": b"sku\na\n", "surprise": "1"}, "surprise"),
    ],
)
def test_unfit_uploads_are_refused_and_leave_nothing(
    admin: FlaskClient, home: Path, fields: dict[str, Any], field: str
) -> None:
    before = folders(home)
    problem = problem_of(upload(admin, **fields))
    assert (problem["code"], problem["problems"][0]["field"]) == ("request_invalid", field)
    assert folders(home) == before


def test_catalogues_have_a_limit_of_their_own(
    home: Path, service_engine: Engine, loader: KnnLoader, shop: Shop, admin: FlaskClient
) -> None:
    settings = Settings(home=home, max_upload_bytes=50_000, max_import_bytes=200_000)  # type: ignore[call-arg]
    client = create_app(assemble(settings, service_engine, loader)).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {shop.admin_key}"
    before = folders(home)
    assert problem_of(upload(client, table=b"sku\n" + b"a" * 200_000))["status"] == 413
    assert folders(home) == before
    assert upload(client, table=b"sku\n" + b"a" * 100_000).status_code == 202


def test_a_full_disk_is_said_in_words_and_leaves_nothing(
    admin: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: InMemoryRequest, *arguments: Any, **named: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(InMemoryRequest, "_get_file_stream", full)
    before = folders(home)
    answer = upload(admin, table=b"sku\na\n")
    assert problem_of(answer)["code"] == "storage_full"
    assert answer.headers["Retry-After"] == "60"
    assert folders(home) == before
