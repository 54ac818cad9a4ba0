"""Moving to other weights while the service runs: catalogue writes, the flip, and the way back, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import delete, select

from app.cli.main import cli
from app.services.spaces import ask_outbox, filling_locks
from app.store import outbox
from app.store.bundles import BundleStore, Gate, NewBundle
from app.store.database import transaction
from app.store.job_table import Job
from app.store.jobs import NewJob, add_job
from app.store.spaces import ensure_space
from app.store.tables import Image, Product, ReferenceVector
from app.store.vectors import put_vectors
from models.backbone.locking import exclusive
from models.backbone.preprocessing import fit_input, normalise
from models.photo import read_photo
from models.values import Float32, UInt8
from tests.app.api.admin_world import (
    Process,
    ServingFake,
    TwoProcesses,
    post_photos,
    put,
    scene,
    search,
    two_processes,
    write_model,
)
from tests.app.api.conftest import problem_of
from tests.app.api.world import projection

OTHER = "other-space"


class OtherFake(ServingFake):
    """Another network: the same cells in another order."""

    space = OTHER
    weights = "file:tuned.npz"

    def extract(self, inputs: Sequence[UInt8]) -> Float32:
        """See ``models.values.Backbone.extract``."""
        return normalise(np.ascontiguousarray(np.roll(super().extract(inputs), 700, axis=1)) ** 2)


@dataclass(frozen=True)
class Move:
    """Two processes that serve v1, and v2 of another space: made, kept, and its space filled."""

    service: TwoProcesses
    other: int

    @property
    def admin(self) -> Any:
        return self.service.first.admin

    def photos_in(self, space_id: int, sku: str) -> int:
        """Photos of a product in a space's memory."""
        with transaction(self.service.engine) as session:
            wanted = (
                select(ReferenceVector.image_id)
                .join(Product, Product.id == ReferenceVector.product_id)
                .where(Product.sku == sku, ReferenceVector.space_id == space_id)
            )
            return len(session.scalars(wanted).all())

    def fill(self, space_id: int, network: ServingFake) -> int:
        """Give a space what its outbox names, as the worker's job does."""
        with transaction(self.service.engine) as session:
            waiting = outbox.waiting_photos(session, space_id, 0, 100)
            vectors = [self._vector(photo.content_hash, network) for photo in waiting]
            rows = [
                (photo.image_id or 0, photo.product_id, photo.label, vector)
                for photo, vector in zip(waiting, vectors, strict=True)
            ]
            return put_vectors(session, space_id, rows, projection().apply)

    def _vector(self, content_hash: str, network: ServingFake) -> Float32:
        data = self.service.first.container.media.open(content_hash, "original")
        vector: Float32 = network.extract([fit_input(read_photo(data).pixels)])[0]
        return vector

    def spaces(self) -> dict[str, dict[str, Any]]:
        return {item["space"]: item for item in self.admin.get("/v1/admin/spaces").json["spaces"]}


@pytest.fixture
def move(tmp_path: Path, database_url: str) -> Iterator[Move]:
    networks = {ServingFake.space: ServingFake, OTHER: OtherFake}
    with two_processes(tmp_path, database_url, network=lambda space: networks[space]()) as service:
        with transaction(service.engine) as session:
            other = ensure_space(session, OTHER, {"weights": OtherFake.weights, "precision": "float32"})
        for identifier in networks:
            folder = tmp_path / "backbones" / identifier
            folder.mkdir(parents=True)
            (folder / "space.json").write_text("{}")
        outbox.keep_complete(service.engine, other)
        made = Move(service, other)
        assert made.fill(other, OtherFake()) == len(service.shop.photos)
        digest = write_model(tmp_path, "v2", space=OTHER)
        with transaction(service.engine) as session:
            BundleStore(tmp_path).settle(session, NewBundle("v2", other, digest, {}), Gate("kept", "as asked", "v1"))
        for process in service.both:
            assert process.container.ready().space == ServingFake.space
        yield made


def version(process: Process) -> str:
    """Of the model that a process serves, looking now."""
    process.container.model._interval_s = 0.0
    return process.container.ready().version


def test_a_shop_moves_to_other_weights_and_back_without_a_restart(move: Move) -> None:
    first, second = move.service.both
    old = move.service.shop.space_id
    assert put(move.admin, "soap", {"name": "Soap"}).status_code == 201
    assert post_photos(move.admin, "soap", scene(7)).status_code == 201
    assert (move.photos_in(old, "soap"), move.photos_in(move.other, "soap")) == (1, 0)
    refused = problem_of(move.admin.post("/v1/admin/models/v2/promote"))
    assert (refused["status"], refused["code"]) == (409, "space_incomplete")
    assert "lacks 1 photos" in refused["detail"] and f"spaces fill {OTHER}" in refused["detail"]
    assert move.spaces()[OTHER]["lacking"] == 1
    assert version(first) == "v1"

    assert move.fill(move.other, OtherFake()) == 1
    assert move.admin.post("/v1/admin/models/v2/promote").status_code == 200
    assert [version(process) for process in move.service.both] == ["v2", "v2"]
    for process in move.service.both:
        assert next(iter(search(process.shopper, scene(7, shift=3), top_k="20"))) in ("soap", "cap")
        assert search(process.shopper, scene(7, shift=3), top_k="20")["soap"]["votes"]["knn"]["rank"] == 1
    assert {name: item["state"] for name, item in move.spaces().items()} == {
        OTHER: "served",
        ServingFake.space: "rollback",
    }

    assert move.admin.post("/v1/admin/models/rollback").json["version"] == "v1"
    assert [version(process) for process in move.service.both] == ["v1", "v1"]
    assert search(second.shopper, scene(7, shift=3), top_k="20")["soap"]["votes"]["knn"]["rank"] == 1
    assert move.spaces()[OTHER]["state"] == "unused"


def test_photos_that_come_to_a_process_before_it_has_noticed_go_into_the_space_that_is_served(move: Move) -> None:
    first, second = move.service.both
    second.container.model._interval_s = 3600.0
    assert second.container.ready().version == "v1"
    assert move.admin.post("/v1/admin/models/v2/promote").status_code == 200
    assert put(second.admin, "soap", {"name": "Soap"}).status_code == 201
    assert post_photos(second.admin, "soap", scene(7)).status_code == 201
    assert (move.photos_in(move.other, "soap"), move.photos_in(move.service.shop.space_id, "soap")) == (1, 0)
    assert move.spaces()[ServingFake.space]["lacking"] == 1
    assert version(first) == "v2"
    assert search(first.shopper, scene(7, shift=3), top_k="20")["soap"]["votes"]["knn"]["rank"] == 1
    assert problem_of(move.admin.post("/v1/admin/models/rollback"))["code"] == "space_incomplete"
    assert move.fill(move.service.shop.space_id, ServingFake()) == 1
    assert move.admin.post("/v1/admin/models/rollback").json["version"] == "v1"


def test_deleted_photos_and_products_leave_every_space_at_once(move: Move) -> None:
    put(move.admin, "soap", {"name": "Soap"})
    post_photos(move.admin, "soap", scene(7), scene(8))
    move.fill(move.other, OtherFake())
    assert (move.photos_in(move.service.shop.space_id, "soap"), move.photos_in(move.other, "soap")) == (2, 2)
    with transaction(move.service.engine) as session:
        hashes = session.scalars(
            select(Image.content_hash).join(Product, Product.id == Image.product_id).where(Product.sku == "soap")
        ).all()
    assert move.admin.delete(f"/v1/admin/products/soap/images/{hashes[0]}").status_code == 204
    assert (move.photos_in(move.service.shop.space_id, "soap"), move.photos_in(move.other, "soap")) == (1, 1)
    post_photos(move.admin, "soap", scene(9))
    assert move.spaces()[OTHER]["lacking"] == 1
    assert move.admin.delete("/v1/admin/products/soap").status_code == 204
    assert move.spaces()[OTHER]["lacking"] == 0
    assert move.photos_in(move.other, "soap") == 0


def test_the_worker_asks_for_a_job_where_a_space_lacks_photos_and_nobody_is_at_it(move: Move) -> None:
    home = move.service.home

    def asked() -> bool:
        with transaction(move.service.engine) as session:
            return ask_outbox(session, home)

    assert not asked()
    put(move.admin, "soap", {"name": "Soap"})
    post_photos(move.admin, "soap", scene(7))
    (home / "bottlenecks" / OTHER).mkdir(parents=True)
    with exclusive(filling_locks(home, OTHER)[0]):
        assert not asked()
    with transaction(move.service.engine) as session:
        assert add_job(session, NewJob(uuid4(), "bottlenecks", {}, exclusive=True)) is not None
    assert not asked(), "the space that is being prepared is the job's"
    with transaction(move.service.engine) as session:
        session.execute(delete(Job))
    assert asked()
    assert not asked()
    with transaction(move.service.engine) as session:
        [job] = session.scalars(select(Job)).all()
    assert (job.kind, job.state, job.exclusive) == ("outbox", "queued", False)
    listed = move.admin.get("/v1/admin/jobs?kind=outbox").json["items"]
    assert [item["job_id"] for item in listed] == [str(job.id)]


def test_spaces_on_the_command_line(move: Move) -> None:
    environment = {"PICKTURE_HOME": str(move.service.home), "PICKTURE_DATABASE_URL": move.service.url}

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cli, ["spaces", *arguments], env=environment)

    listed = json.loads(run("list", "--json").stdout)
    assert [(item["space"], item["state"]) for item in listed["spaces"]] == [
        (OTHER, "preparing"),
        (ServingFake.space, "served"),
    ]
    assert listed["unused"] == []
    refused = run("drop", ServingFake.space)
    assert refused.exit_code == 1 and "v1" in str(refused.exception)
    assert json.loads(run("drop", OTHER, "--json").stdout) == {"dropped": OTHER}
    assert not (move.service.home / "backbones" / OTHER).exists()
    assert f"{OTHER}  dropped" in run("list").stdout
    assert move.spaces()[OTHER]["versions"] == ["v2"]
    assert problem_of(move.admin.post("/v1/admin/models/v2/promote"))["code"] == "space_mismatch"
