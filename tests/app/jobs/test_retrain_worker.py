"""A retraining over HTTP by real workers that are killed: one version comes of it, whole, and nothing else."""

from __future__ import annotations

import time
from uuid import UUID

import psutil
from sqlalchemy import text

from app.store.database import make_engine
from models.bundle import Bundle
from tests.app.jobs.test_worker import (  # noqa: F401  place and installation are fixtures
    DEADLINE_S,
    Installation,
    children,
    gone,
    installation,
    place,
)
from tests.app.learning import shots

CHAMPION_LOCK = "SELECT pg_advisory_lock(hashtext('pickture.champion'))"


def killed(worker: psutil.Popen) -> None:
    """Kill a worker as kill -9 does, and see its job's process end."""
    at_work = children(worker)
    assert at_work
    worker.kill()
    assert gone(at_work)


def test_killed_in_training_and_again_between_writing_and_recording(
    installation: Installation,  # noqa: F811  the fixture
) -> None:
    for number, sku in enumerate(("apple", "bread", "cocoa")):
        installation.shop.add_product(sku, shots(number, 2))
    answer = installation.admin.post("/v1/admin/retrain")
    assert answer.status_code == 202, answer.text
    job_id = answer.json["job_id"]
    bundles = installation.home / "bundles"
    with installation.worker() as worker:
        installation.running(job_id, "far-foreign photos")
        killed(worker)
    assert not bundles.exists()
    holder = make_engine(installation.engine.url)
    with holder.connect() as connection:
        connection.execute(text(CHAMPION_LOCK))  # the job writes its bundle and cannot record it
        with installation.worker() as worker:
            deadline = time.monotonic() + DEADLINE_S
            while not list(bundles.glob(f"*-{UUID(job_id).hex[:12]}")):
                assert time.monotonic() < deadline, installation.job(job_id)
                time.sleep(0.05)
            killed(worker)
    holder.dispose()
    [folder] = bundles.iterdir()
    assert installation.admin.get("/v1/admin/models").json["models"] == []
    (bundles / f".{folder.name}-cut").mkdir()
    with installation.worker():
        done = installation.ended(job_id)
    assert (done["state"], done["attempts"]) == ("succeeded", 3), done
    assert any(f"an earlier attempt has made {folder.name}" in line for line in done["log"])
    assert (done["result"]["version"], done["result"]["promoted"]) == (folder.name, True)
    assert done["result"]["reason"] == "first model"
    assert [path.name for path in bundles.iterdir()] == [folder.name]
    [model] = installation.admin.get("/v1/admin/models").json["models"]
    assert (model["version"], model["state"], model["reason"]) == (folder.name, "champion", "promoted: first model")
    assert Bundle.load(folder).version == folder.name
