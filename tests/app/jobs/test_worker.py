"""Real workers on a real database: imported over HTTP, killed, stopped, cancelled, cut off from the database."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, select, text

from app.config import Settings
from app.factory import create_app
from app.services.catalogue.uploads import uploads_folder
from app.store.database import make_engine, open_database, transaction, upgrade
from app.store.embedded import EmbeddedServer
from app.store.job_table import Job
from app.store.media import content_hash
from app.store.neighbours import PgNeighbours
from app.store.spaces import find_space
from app.store.tables import Image, Product
from app.wiring import Container, assemble
from models.backbone.locking import exclusive
from models.backbone.preprocessing import fit_input
from models.backbone.store import load_backbone
from models.photo import read_photo
from tests.app.learning import LearningShop, shots
from tests.conftest import QUICK

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 90.0


class Installation:
    """A state folder with its own embedded database, the service as a client sees it, and workers to start."""

    def __init__(self, home: Path, prepared: Path) -> None:
        self.home = home
        self.server = EmbeddedServer(home, options=QUICK)
        self.server.start()
        shutil.copytree(prepared / "backbones", home / "backbones")
        self.settings = Settings(home=home)  # type: ignore[call-arg]
        self.engine = open_database(self.settings)
        upgrade(self.engine)
        self.container: Container = assemble(self.settings, self.engine)
        self.shop = LearningShop(self.settings, self.engine, self.container.media)
        self.admin: FlaskClient = create_app(self.container).test_client()
        key = self.container.access.create_key("admin").key
        self.admin.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"

    @property
    def space(self) -> str:
        """The space of the backbone."""
        return load_backbone("embedded", self.home).space

    def empty(self) -> None:
        """No products, no jobs."""
        with transaction(self.engine) as session:
            session.execute(delete(Job))
            session.execute(text("DELETE FROM procrastinate_jobs"))
            session.execute(delete(Product))
        shutil.rmtree(self.home / "bottlenecks", ignore_errors=True)
        shutil.rmtree(self.home / "media", ignore_errors=True)

    def ask(self, kind: str = "bottlenecks", **parameters: Any) -> str:
        """Ask for a job; returns its id."""
        answer = self.admin.post("/v1/admin/jobs", json={"kind": kind, **parameters})
        assert answer.status_code == 202, answer.text
        return str(answer.json["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as the API shows it, once the database answers."""
        deadline = time.monotonic() + DEADLINE_S
        while (answer := self.admin.get(f"/v1/admin/jobs/{job_id}")).status_code == 503:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)
        shown: dict[str, Any] = answer.json
        return shown

    def until(self, job_id: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Look at a job until it is as wanted."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if wanted(job):
                return job
            time.sleep(0.05)
        log = (self.home / "worker.log").read_text()
        pytest.fail(f"the job did not get there: {self.job(job_id)}\n{log}")

    def ended(self, job_id: str) -> dict[str, Any]:
        """Look at a job until it has ended."""
        return self.until(job_id, lambda job: job["state"] in ("succeeded", "failed", "cancelled"))

    def running(self, job_id: str, words: str) -> dict[str, Any]:
        """Look at a job until it runs and its step has these words."""
        return self.until(job_id, lambda job: job["state"] == "running" and words in (job["step"] or ""))

    @contextmanager
    def worker(self) -> Iterator[psutil.Popen]:
        """A worker until the end of the block; a test may end it before."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PICKTURE_")}
        environment |= {"PICKTURE_HOME": str(self.home)}
        with (self.home / "worker.log").open("a") as log:
            process = psutil.Popen(
                [sys.executable, "-m", "tests.app.jobs.quick_worker"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                yield process
            finally:
                if process.is_running():
                    process.terminate()
                    process.wait(DEADLINE_S)


@pytest.fixture(scope="module")
def place(prepared_home: Path) -> Iterator[Installation]:
    """One installation for all tests here."""
    home = Path(tempfile.mkdtemp(prefix="pickture-worker-"))
    made = Installation(home, prepared_home)
    yield made
    made.container.close()
    made.server.stop()
    shutil.rmtree(home)


@pytest.fixture
def installation(place: Installation) -> Installation:
    """The installation, emptied."""
    place.empty()
    return place


def archive(photos: dict[str, list[bytes]], table: str) -> bytes:
    """A catalogue folder as a zip file."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        opened.writestr("shop/products.csv", table)
        for sku, files in photos.items():
            for number, data in enumerate(files):
                opened.writestr(f"shop/images/{sku}/{number}.jpg", data)
    return out.getvalue()


def children(worker: psutil.Popen) -> list[psutil.Process]:
    """The processes of a worker's jobs."""
    found: list[psutil.Process] = worker.children(recursive=True)
    return found


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them end soon."""
    return not psutil.wait_procs(processes, timeout=DEADLINE_S)[1]


def test_an_import_over_http_is_recognised_when_its_jobs_have_ended(installation: Installation) -> None:
    photos = {"apple": shots(0, 2), "bread": shots(1, 2), "cocoa": shots(2, 2)}
    packed = archive(photos, "sku,name,price\napple,Apple,1.20\nbread,Bread,x\ncocoa,Cocoa,3\noat,O\x00t,1\n")

    def post(**fields: Any) -> Any:
        return installation.admin.post(
            "/v1/admin/imports",
            data={"archive": (BytesIO(packed), "shop.zip"), **fields},
            headers={"Idempotency-Key": "first of May"},
        )

    answer = post()
    assert answer.status_code == 202
    job_id = answer.json["job_id"]
    assert answer.headers["Location"] == f"/v1/admin/jobs/{job_id}"
    assert post().json["job_id"] == job_id
    assert post(strict="true").json["code"] == "idempotency_key_reused"
    with installation.worker():
        imported = installation.ended(job_id)
        assert imported["state"] == "succeeded", imported
        assert (imported["result"]["added"], imported["result"]["images_added"]) == (2, 4)
        assert imported["row_errors_total"] == 2
        shown = [(error["line"], error["field"], error["value"]) for error in imported["row_errors"]]
        assert shown == [(3, "price", "x"), (5, "name", "O\\x00t")]
        assert imported["progress"] == 1
        [follow_up] = [job for job in installation.admin.get("/v1/admin/jobs").json["items"] if job["parent_id"]]
        assert (follow_up["kind"], follow_up["parent_id"]) == ("bottlenecks", job_id)
        assert installation.ended(follow_up["job_id"])["result"]["vectors"] == 4
        page = installation.admin.get("/v1/admin/jobs?state=succeeded&limit=1").json
        assert page["workers"] == 1
        assert page["next_cursor"]
    assert list(uploads_folder(installation.home).iterdir()) == []
    assert post().json == {"job_id": job_id, "state": "succeeded"}, "a late repetition imports nothing again"
    backbone = load_backbone("embedded", installation.home)
    with transaction(installation.engine) as session:
        space_id = find_space(session, backbone.space)
    assert space_id is not None
    vector = backbone.extract([fit_input(read_photo(shots(0, 1, first=7)[0]).pixels)])
    found = PgNeighbours(installation.engine, space_id, backbone.projection.apply).nearest(vector, 2)[0]
    assert found[0][0] == "apple"


def test_a_killed_worker_is_replaced_and_its_job_goes_on_where_it_was(installation: Installation) -> None:
    photos = shots(4, 24)
    installation.shop.add_product("milk", photos)
    # The last photo's bytes do not come until the test lets them: the job stands still after its first batch.
    last = installation.home / "media" / content_hash(photos[-1])[:2] / content_hash(photos[-1]) / "original"
    kept = last.rename(last.with_suffix(".kept"))
    os.mkfifo(last)
    job_id = installation.ask(originals_only=True)
    with installation.worker() as worker:
        installation.until(job_id, lambda job: job["progress"] > 0.6)
        refused = installation.admin.post("/v1/admin/jobs", json={"kind": "train"})
        assert refused.status_code == 409
        assert (refused.json["code"], refused.json["job_id"]) == ("job_running", job_id)
        assert job_id in refused.json["detail"]
        at_work = children(worker)
        assert at_work
        worker.kill()
        assert gone(at_work), "the job's process ends with its worker, also when that was killed"
    last.unlink()
    kept.rename(last)
    with installation.worker():
        done = installation.ended(job_id)
    assert done["state"] == "succeeded"
    assert done["attempts"] == 2
    assert (done["result"]["reused"], done["result"]["new"], done["result"]["vectors"]) == (16, 8, 24)
    assert "--- attempt 1 ---" in done["log"]
    assert "--- attempt 2 ---" in done["log"]


def test_a_stopped_worker_leaves_its_job_to_the_next_and_a_cancelled_one_is_done_by_nobody(
    installation: Installation,
) -> None:
    installation.shop.add_product("milk", shots(4, 2))
    (installation.home / "bottlenecks" / installation.space).mkdir(parents=True)
    job_id = installation.ask(originals_only=True)
    with exclusive(installation.home / "bottlenecks" / installation.space / "writer.lock"):
        with installation.worker() as worker:
            installation.running(job_id, "waiting where another run")
            at_work = children(worker)
            worker.terminate()
            assert worker.wait(DEADLINE_S) == 0
            assert gone(at_work)
        assert installation.job(job_id)["state"] == "queued"
        assert "next worker" in installation.job(job_id)["step"]
        with installation.worker() as worker:
            installation.running(job_id, "waiting where another run")
            at_work = children(worker)
            asked = installation.admin.post(f"/v1/admin/jobs/{job_id}/cancel")
            assert (asked.status_code, asked.json["cancel_requested"]) == (200, True)
            cancelled = installation.ended(job_id)
            assert (cancelled["state"], cancelled["attempts"]) == ("cancelled", 2)
            assert gone(at_work)
    assert installation.admin.post(f"/v1/admin/jobs/{job_id}/cancel").json["state"] == "cancelled"
    waiting = installation.ask()
    assert installation.admin.post(f"/v1/admin/jobs/{waiting}/cancel").json["state"] == "cancelled"


def test_a_database_that_is_killed_under_a_job_comes_back_and_the_job_goes_on(installation: Installation) -> None:
    installation.shop.add_product("milk", shots(4, 2))
    (installation.home / "bottlenecks" / installation.space).mkdir(parents=True)
    job_id = installation.ask(originals_only=True)
    with installation.worker() as worker:
        with exclusive(installation.home / "bottlenecks" / installation.space / "writer.lock"):
            installation.running(job_id, "waiting where another run")
            postmaster = installation.server.running()
            assert postmaster is not None
            os.kill(postmaster.pid, signal.SIGKILL)
            deadline = time.monotonic() + DEADLINE_S
            while (now := installation.server.running()) is None or now.pid == postmaster.pid:
                assert time.monotonic() < deadline, "the worker brings the server back by itself"
                time.sleep(0.05)
        done = installation.ended(job_id)
        assert done["state"] == "succeeded", done
        assert done["result"]["vectors"] == 2
        again = installation.ask(originals_only=True)
        assert installation.ended(again)["state"] == "succeeded", "the same worker goes on taking jobs"
        assert worker.is_running()
    assert "the database does not answer" in (installation.home / "worker.log").read_text()


def test_an_import_that_is_killed_at_its_lock_is_done_by_the_next_worker(installation: Installation) -> None:
    from app.services.catalogue.importing import IMPORT_LOCK

    answer = installation.admin.post(
        "/v1/admin/imports",
        data={"table": (BytesIO(b'{"sku": "tea"}\n'), "x"), "images": (zipped("tea/1.jpg", shots(3, 1)[0]), "y")},
    )
    job_id = answer.json["job_id"]
    holder = make_engine(installation.engine.url)
    with holder.connect() as connection:
        connection.execute(text(f"SELECT pg_advisory_lock({IMPORT_LOCK})"))
        with installation.worker() as worker:
            installation.running(job_id, "waiting for the end of another import")
            at_work = children(worker)
            worker.kill()
            assert gone(at_work)
    holder.dispose()
    with installation.worker():
        done = installation.ended(job_id)
    assert (done["state"], done["attempts"], done["result"]["images_added"]) == ("succeeded", 2, 1)
    with transaction(installation.engine) as session:
        assert session.scalars(select(Image.source_name)).all() == ["1.jpg"]


def zipped(name: str, data: bytes) -> BytesIO:
    """A zip file of one file."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        opened.writestr(name, data)
    out.seek(0)
    return out
