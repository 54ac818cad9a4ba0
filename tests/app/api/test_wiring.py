"""The container with a real bundle: loading, its refusals, and what a serving process must not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from app.config import Settings
from app.services.search import SearchRequest
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.wiring import ModelLoader, assemble, prepared_backbone
from models.bundle import write_bundle
from models.classifiers.svm import SvmClassifier
from models.errors import BackboneNotReady, BundleDamaged, BundleMismatch, BundleNotFound
from models.values import BOTTLENECK_SIZE
from models.verdict import VerdictSettings
from models.vote import VoteSettings
from tests.app.api.world import Shop, projection
from tests.contracts.fake_backbone import FakeBackbone

ROOT = Path(__file__).resolve().parents[3]
MADE = "2026-02-03T04:05:06+00:00"


class ServingFake(FakeBackbone):
    """The fake backbone with its projection."""

    projection = projection()


def write(home: Path, version: str, space: str = FakeBackbone.space, labels: tuple[str, ...] = ("cap", "shoe")) -> str:
    """A bundle whose SVM knows ``labels`` without telling them apart, and that has no FCN."""

    def files(folder: Path) -> None:
        SvmClassifier(
            np.zeros((BOTTLENECK_SIZE, len(labels)), np.float32), np.zeros(len(labels), np.float32), labels
        ).save(folder / "svm.npz")
        settings = {"vote": VoteSettings.prior().to_json(), "verdict": VerdictSettings.prior().to_json()}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "metrics.json").write_text("{}")

    manifest = {
        "version": version,
        "space": space,
        "weights": "fake",
        "created_at": MADE,
        "labels": list(labels),
    }
    return write_bundle(home / "bundles" / version, manifest, files)


def publish(engine: Engine, home: Path, version: str, space_id: int, digest: str) -> None:
    """Make it the champion."""
    with transaction(engine) as session:
        BundleStore(home).publish(session, version, space_id, digest, {})


@pytest.fixture
def clean(service_engine: Engine):  # type: ignore[no-untyped-def]
    """No bundle is published before the test, nor after it."""

    def wipe() -> None:
        with service_engine.begin() as connection:
            connection.execute(text("TRUNCATE bundles CASCADE"))

    wipe()
    yield
    wipe()


@pytest.fixture
def bundle_loader(service_engine: Engine, tmp_path: Path) -> ModelLoader:
    """The real loader around a fake network."""
    return ModelLoader(service_engine, BundleStore(tmp_path), lambda space: ServingFake())


@pytest.mark.usefixtures("clean")
def test_a_published_bundle_answers_with_everything_it_knows(
    service_engine: Engine, shop: Shop, home: Path, tmp_path: Path, bundle_loader: ModelLoader
) -> None:
    publish(service_engine, tmp_path, "v1", shop.space_id, write(tmp_path, "v1"))
    assert bundle_loader.champion() == "v1"
    container = assemble(Settings(home=home), service_engine, bundle_loader)
    found = container.search.recognize(SearchRequest(shop.photos["cap"], category="Fashion"))
    assert found.model_version == "v1" and found.weights == "fake"
    [cap] = [candidate for candidate in found.candidates if candidate.label == "cap"]
    assert cap.votes["knn"].rank == 1
    assert cap.votes["fcn"].state == "label_unknown"
    assert cap.votes["svm"].state == "ranked"
    assert cap.known_since["fcn"] is None
    assert cap.known_since["svm"] is not None and cap.known_since["svm"].isoformat() == MADE
    assert cap.known_since["knn"] is not None


@pytest.mark.usefixtures("clean")
def test_a_newly_published_bundle_is_served_without_restart(
    service_engine: Engine, shop: Shop, home: Path, tmp_path: Path, bundle_loader: ModelLoader
) -> None:
    container = assemble(Settings(home=home), service_engine, bundle_loader)
    with pytest.raises(BundleNotFound, match="make train"):
        container.ready()
    publish(service_engine, tmp_path, "v1", shop.space_id, write(tmp_path, "v1"))
    container = assemble(Settings(home=home), service_engine, bundle_loader)
    container.model._interval_s = 0.0
    assert container.ready().version == "v1"
    publish(service_engine, tmp_path, "v2", shop.space_id, write(tmp_path, "v2"))
    assert container.ready().version == "v2"


@pytest.mark.usefixtures("clean")
def test_a_label_the_svm_still_names_after_its_product_left_is_never_a_candidate(
    service_engine: Engine, shop: Shop, home: Path, tmp_path: Path, bundle_loader: ModelLoader
) -> None:
    digest = write(tmp_path, "v1", labels=("aaa-gone", "cap"))
    publish(service_engine, tmp_path, "v1", shop.space_id, digest)
    container = assemble(Settings(home=home), service_engine, bundle_loader)
    found = container.search.recognize(SearchRequest(shop.photos["cap"], top_k=20))
    assert "aaa-gone" not in {candidate.label for candidate in found.candidates}
    assert [candidate.rank for candidate in found.candidates] == list(range(1, len(found.candidates) + 1))


@pytest.mark.usefixtures("clean")
def test_what_does_not_fit_is_refused_by_name(
    service_engine: Engine, shop: Shop, tmp_path: Path, bundle_loader: ModelLoader
) -> None:
    with pytest.raises(BundleNotFound):
        bundle_loader.load("nothing")
    write(tmp_path, "elsewhere", space="another-space")
    publish(service_engine, tmp_path, "elsewhere", shop.space_id, write(tmp_path, "other", space="another-space"))
    with pytest.raises(BundleDamaged, match="not the one that was published"):
        bundle_loader.load("elsewhere")
    publish(service_engine, tmp_path, "other", shop.space_id, _digest(tmp_path, "other"))
    with pytest.raises(BundleMismatch, match="bottlenecks"):
        bundle_loader.load("other")


def _digest(home: Path, version: str) -> str:
    from models.bundle import read_manifest

    return read_manifest(home / "bundles" / version)[1]


def test_a_backbone_nobody_prepared_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(BackboneNotReady, match="train-bottlenecks"):
        prepared_backbone(Settings(home=tmp_path), "0" * 16)


_SERVE_ONE_SEARCH = """
import json, sys
from io import BytesIO
from app.config import Settings
from app.factory import create_app
from app.store.bundles import BundleStore
from app.store.database import open_database
from app.wiring import ModelLoader, assemble
from models.backbone.openvino_loader import load_openvino
from tests.app.api.test_wiring import ServingFake

settings = Settings.from_env()
engine = open_database(settings)
load_openvino()
container = assemble(settings, engine, ModelLoader(engine, BundleStore(settings.home), lambda space: ServingFake()))
client = create_app(container).test_client()
token = client.post("/v1/sessions", json={"app_key": sys.argv[1]}).json["token"]
with open(sys.argv[2], "rb") as file:
    photo = BytesIO(file.read())
answer = client.post(
    "/v1/search", data={"photo": (photo, "a.jpg")}, headers={"Authorization": "Bearer " + token}
)
assert answer.status_code == 200, answer.text
assert client.get("/").status_code == 200
heavy = ("tensorflow", "keras", "albumentations", "sklearn", "matplotlib")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


@pytest.mark.usefixtures("clean")
def test_a_serving_process_imports_nothing_that_only_training_needs(
    service_engine: Engine, service_database_url: str, shop: Shop, tmp_path: Path
) -> None:
    publish(service_engine, tmp_path, "v1", shop.space_id, write(tmp_path, "v1"))
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(shop.photos["cap"])
    done = subprocess.run(
        [sys.executable, "-c", _SERVE_ONE_SEARCH, shop.app_key, str(photo)],
        cwd=ROOT,
        env={
            **os.environ,
            "PICKTURE_HOME": str(tmp_path),
            "PICKTURE_DATABASE_URL": service_database_url,
            "PICKTURE_WEB": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
