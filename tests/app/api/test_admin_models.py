"""Model versions over HTTP and on the command line: the same functions, the same refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli.main import cli
from app.errors import SpaceMismatch
from app.store.bundles import BundleStore, Gate, NewBundle
from app.store.database import transaction
from app.store.spaces import ensure_space
from tests.app.api.admin_world import TwoProcesses, copy_vectors, publish, search, two_processes, write_model
from tests.app.api.conftest import problem_of


@dataclass(frozen=True)
class Models:
    """The service with the versions v1, v2 (champion), and other, which belongs to other weights."""

    service: TwoProcesses

    def prepare_other(self) -> None:
        """Have both networks, of which no process here can load that of ``other``, lie where prepared ones do."""
        for space in ("other-space", "fake-space"):
            folder = self.service.home / "backbones" / space
            folder.mkdir()
            (folder / "space.json").write_text("{}")


@pytest.fixture
def models(tmp_path: Path, database_url: str, prepared_home: Path) -> Iterator[Models]:
    """Two processes, each looking for a newer model at every request."""
    shutil.copytree(prepared_home / "backbones", tmp_path / "backbones")
    with two_processes(tmp_path, database_url) as service:
        with transaction(service.engine) as session:
            other = ensure_space(session, "other-space", {"weights": "file:tuned.npz"})
        copy_vectors(service.engine, service.shop.space_id, other)
        digest = write_model(service.home, "other", space="other-space")
        publish(service.engine, service.home, "other", other, digest)
        publish(service.engine, service.home, "v2", service.shop.space_id, write_model(service.home, "v2"))
        for process in service.both:
            process.container.model._interval_s = 0.0
        yield Models(service)


def run(models: Models, *arguments: str) -> Any:
    """A command with --json, in the service's environment."""
    environment = {"PICKTURE_HOME": str(models.service.home), "PICKTURE_DATABASE_URL": models.service.url}
    return CliRunner().invoke(cli, [*arguments, "--json"], env=environment)


def test_versions_are_listed_and_shown_with_their_weights(models: Models) -> None:
    admin = models.service.first.admin
    listed = admin.get("/v1/admin/models").json["models"]
    assert [(item["version"], item["state"], item["served"]) for item in listed] == [
        ("v2", "champion", True),
        ("other", "retired", False),
        ("v1", "retired", False),
    ]
    assert [(item["weights"], item["fits"]) for item in listed][:2] == [(None, True), ("file:tuned.npz", False)]
    detail = admin.get("/v1/admin/models/v2").json
    assert detail["metrics"] == {"table3": "v2"} and detail["space"] == "fake-space"
    assert [(note["replaced"], note["undone_at"]) for note in detail["promotions"]] == [("other", None)]
    assert problem_of(admin.get("/v1/admin/models/v9"))["code"] == "model_not_found"
    assert problem_of(admin.get("/v1/admin/models/..%2Fv1"))["code"] in ("route_not_found", "request_invalid")


def test_a_promoted_version_is_served_by_every_process(models: Models) -> None:
    answer = models.service.first.admin.post("/v1/admin/models/v1/promote")
    assert answer.status_code == 200
    assert (answer.json["state"], answer.json["served"]) == ("champion", True)
    photo = models.service.shop.photos["cap"]
    for process in models.service.both:
        search(process.shopper, photo)
        assert process.container.ready().version == "v1"
    assert models.service.second.admin.post("/v1/admin/models/v1/promote").status_code == 200
    assert models.service.second.admin.post("/v1/admin/models/rollback").json["version"] == "v2"


def test_a_version_of_other_weights_is_refused_and_nothing_changes(models: Models) -> None:
    admin = models.service.first.admin
    answer = admin.post("/v1/admin/models/other/promote")
    assert answer.status_code == 409
    problem = problem_of(answer)
    assert problem["code"] == "space_mismatch"
    assert "PICKTURE_WEIGHTS" in problem["detail"] and "file:tuned.npz" in problem["detail"]
    # The version before v2 is of other weights as well.
    assert problem_of(admin.post("/v1/admin/models/rollback"))["code"] == "space_mismatch"
    with transaction(models.service.engine) as session:
        champion = BundleStore(models.service.home).champion(session)
        assert champion is not None and champion.version == "v2"


def test_the_command_line_refuses_it_too(models: Models) -> None:
    shown = json.loads(run(models, "models", "list").stdout)["versions"]
    assert {item["version"]: item["fits"] for item in shown} == {"v1": True, "v2": True, "other": False}
    refused = run(models, "models", "promote", "other")
    assert refused.exit_code == 1 and isinstance(refused.exception, SpaceMismatch)
    models.prepare_other()
    assert json.loads(run(models, "models", "promote", "other").stdout)["fits"] is True


def test_a_process_that_cannot_load_the_champion_serves_the_one_before_and_says_so(models: Models) -> None:
    first = models.service.first
    assert first.admin.get("/readyz").json["refused"] is None
    assert "pickture_model_refused 0.0" in first.admin.get("/metrics").text
    models.prepare_other()
    promoted = first.admin.post("/v1/admin/models/other/promote")
    assert (promoted.status_code, promoted.json["state"], promoted.json["served"]) == (200, "champion", False)
    ready = first.admin.get("/readyz").json
    assert (ready["model_version"], ready["space"]) == ("v2", "fake-space")
    assert ready["refused"] == {"version": "other", "code": "bundle_mismatch"}
    assert "pickture_model_refused 1.0" in first.admin.get("/metrics").text
    assert search(first.shopper, models.service.shop.photos["cap"])
    assert first.admin.post("/v1/admin/models/rollback").json["version"] == "v2"
    assert first.admin.get("/readyz").json["refused"] is None
    assert "pickture_model_refused 0.0" in first.admin.get("/metrics").text


def test_where_nothing_is_prepared_the_command_line_warns(models: Models) -> None:
    shutil.rmtree(models.service.home / "backbones")
    done = run(models, "models", "promote", "v1")
    assert done.exit_code == 0 and "not prepared here" in done.stderr
    assert json.loads(done.stdout)["fits"] is True


def test_nothing_to_roll_back_to(tmp_path: Path, database_url: str) -> None:
    with two_processes(tmp_path, database_url) as service:
        answer = service.first.admin.post("/v1/admin/models/rollback")
        assert answer.status_code == 409 and problem_of(answer)["code"] == "no_earlier_model"


def test_the_report_is_a_page_that_can_run_nothing(models: Models) -> None:
    admin = models.service.first.admin
    answer = admin.get("/v1/admin/models/v2/report")
    assert answer.mimetype == "text/html" and b"Report" in answer.data
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "sandbox" in policy and "script" not in policy
    assert "img-src data:" in policy and answer.headers["X-Content-Type-Options"] == "nosniff"
    (models.service.home / "bundles" / "v2" / "report.html").write_text("changed")
    assert problem_of(admin.get("/v1/admin/models/v2/report"))["code"] == "bundle_damaged"
    digest = write_model(models.service.home, "bare", report=False)
    publish(models.service.engine, models.service.home, "bare", models.service.shop.space_id, digest)
    assert problem_of(admin.get("/v1/admin/models/bare/report"))["code"] == "model_not_found"


def test_a_refused_version_is_shown_with_its_reason_and_promoted_by_hand(models: Models) -> None:
    service = models.service
    digest = write_model(service.home, "v3")
    comparison = {"photos": 40, "top1": {"champion": 0.9, "challenger": 0.8}}
    with transaction(service.engine) as session:
        new = NewBundle("v3", service.shop.space_id, digest, {})
        BundleStore(service.home).settle(session, new, Gate("refused", "10 points worse", "v2", comparison))
    admin = service.first.admin
    listed = {item["version"]: item for item in admin.get("/v1/admin/models").json["models"]}
    assert (listed["v3"]["state"], listed["v3"]["reason"]) == ("refused", "refused: 10 points worse")
    assert listed["v2"]["reason"] is None and listed["v2"]["state"] == "champion"
    gate = {"decision": "refused", "reason": "10 points worse", "champion": "v2", "comparison": comparison}
    assert admin.get("/v1/admin/models/v3").json["gate"] == gate
    assert admin.get("/v1/admin/models/v2").json["gate"] is None
    assert json.loads(run(models, "models", "list").stdout)["versions"][0]["gate"] == gate
    environment = {"PICKTURE_HOME": str(service.home), "PICKTURE_DATABASE_URL": service.url}
    assert "refused: 10 points worse" in CliRunner().invoke(cli, ["models", "list"], env=environment).stdout
    promoted = admin.post("/v1/admin/models/v3/promote").json
    assert (promoted["state"], promoted["served"], promoted["reason"]) == ("champion", True, "refused: 10 points worse")
