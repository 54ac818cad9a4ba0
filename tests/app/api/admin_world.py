"""Two applications around one database, as two processes of a service are; the model is real but for its network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from flask.testing import FlaskClient
from PIL import Image as PilImage
from sqlalchemy import Engine, make_url, text

from app.config import Settings
from app.factory import create_app
from app.services.catalogue.live_photos import FIELD
from app.store.bundles import BundleStore
from app.store.database import make_engine, transaction, upgrade
from app.store.media import MediaStore
from app.wiring import Container, ModelLoader, assemble
from models.attributes import TypeModel
from models.bundle import write_bundle
from models.classifiers.fcn import FcnClassifier
from models.classifiers.svm import SvmClassifier
from models.values import BOTTLENECK_SIZE
from models.verdict import VerdictSettings
from models.vote import VoteSettings
from tests.app.api.world import Shop, build_shop, projection
from tests.app.store.world import new_database
from tests.contracts.fake_backbone import FakeBackbone

MADE = "2026-02-03T04:05:06+00:00"
TRAINED = ("cap", "milk-1", "milk-2", "shirt", "shoe", "yoghurt")


class ServingFake(FakeBackbone):
    """The fake backbone with its projection; one a process, as the real one is."""

    projection = projection()


@dataclass(frozen=True)
class Process:
    """One process of the service. backbone: its network, which counts what it was given."""

    container: Container
    admin: FlaskClient
    shopper: FlaskClient
    backbone: FakeBackbone


@dataclass(frozen=True)
class TwoProcesses:
    """first, second: processes that share the database and the state folder, and nothing else."""

    shop: Shop
    home: Path
    engine: Engine
    url: str
    first: Process
    second: Process

    @property
    def both(self) -> tuple[Process, Process]:
        return self.first, self.second


def write_model(
    home: Path, version: str, *, space: str = FakeBackbone.space, labels: tuple[str, ...] = TRAINED, report: bool = True
) -> str:
    """A bundle whose FCN and SVM name ``labels`` in alphabetical order, whatever the photo; returns its digest."""

    def files(folder: Path) -> None:
        # Falling biases: each label is more likely than the next.
        bias = -np.arange(len(labels), dtype=np.float32)
        for kind, name in ((FcnClassifier, "fcn"), (SvmClassifier, "svm")):
            kind(np.zeros((BOTTLENECK_SIZE, len(labels)), np.float32), bias, labels).save(folder / f"{name}.npz")
        types = TypeModel(("box",), np.zeros((BOTTLENECK_SIZE, 1), np.float32), np.zeros(1, np.float32), 1.0)
        types.save(folder / "types.npz")
        settings = {"vote": VoteSettings.prior().to_json(), "verdict": VerdictSettings.prior().to_json()}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "metrics.json").write_text("{}")
        if report:
            (folder / "report.html").write_text("<!doctype html><title>Report</title><script>alert(1)</script>")

    manifest = {"version": version, "space": space, "weights": "fake", "created_at": MADE, "labels": len(labels)}
    return write_bundle(home / "bundles" / version, manifest, files)


def publish(engine: Engine, home: Path, version: str, space_id: int, digest: str) -> None:
    """Make it the champion."""
    with transaction(engine) as session:
        BundleStore(home).publish(session, version, space_id, digest, {"table3": version})


def copy_vectors(engine: Engine, source: int, target: int) -> None:
    """Have a space hold every reference photo that another does."""
    with transaction(engine) as session:
        session.execute(
            text(
                "INSERT INTO reference_vectors (space_id, image_id, product_id, label, raw, projected) "
                "SELECT :target, image_id, product_id, label, raw, projected FROM reference_vectors "
                "WHERE space_id = :source"
            ),
            {"source": source, "target": target},
        )


Network = Callable[[str], ServingFake]
"""Gives a process the network of a space."""


@contextmanager
def two_processes(
    home: Path, database_url: str, *, model: bool = True, network: Network | None = None
) -> Iterator[TwoProcesses]:
    """The shop in a database of its own, with or without a published model, and two processes that serve it.

    network: by default each process has one of its own, whatever space it is asked for.
    """
    with new_database(database_url) as url:
        url_text = url.render_as_string(hide_password=False)
        engine = make_engine(url)
        upgrade(engine)
        shop = build_shop(engine, MediaStore(home / "media"))
        if model:
            publish(engine, home, "v1", shop.space_id, write_model(home, "v1"))
        both = [_process(home, url_text, shop, network) for _ in range(2)]
        yield TwoProcesses(shop, home, engine, url_text, *both)
        for process in both:
            process.container.close()
        engine.dispose()


def _process(home: Path, url: str, shop: Shop, network: Network | None) -> Process:
    engine = make_engine(make_url(url))
    backbone = ServingFake()
    load = network or (lambda space: backbone)
    settings = Settings(home=home, threads=16)  # type: ignore[call-arg]
    container = assemble(settings, engine, ModelLoader(engine, BundleStore(home), load))
    application = create_app(container)
    admin, shopper = application.test_client(), application.test_client()
    admin.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {shop.admin_key}"
    token = shopper.post("/v1/sessions", json={"app_key": shop.app_key}).json["token"]
    shopper.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return Process(container, admin, shopper, backbone)


def another_admin(process: Process, shop: Shop) -> FlaskClient:
    """A further client of the process with the admin key, for a thread of its own."""
    client = process.admin.application.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {shop.admin_key}"
    return client


def scene(seed: int, shift: int = 0) -> bytes:
    """A photo of the product ``seed``: coloured blocks in places of its own. shift: the camera moved, pixels."""
    numbers = np.random.default_rng(seed)
    pixels = np.full((340, 340, 3), 90, np.uint8)
    for _ in range(8):
        top, left = numbers.integers(0, 240, 2)
        pixels[top + shift : top + shift + 80, left + shift : left + shift + 80] = numbers.integers(0, 255, 3)
    out = BytesIO()
    PilImage.fromarray(pixels[:320, :320]).save(out, "JPEG", quality=92)
    return out.getvalue()


def put(client: FlaskClient, sku: str, columns: Mapping[str, Any], **headers: str) -> Any:
    """PUT a product. headers: ``if_match``, ``if_none_match``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.put(f"/v1/admin/products/{sku}", json=columns, headers=named)


def post_photos(client: FlaskClient, sku: str, *photos: bytes) -> Any:
    """POST photos of a product."""
    data = {FIELD: [(BytesIO(photo), f"{place}.jpg") for place, photo in enumerate(photos)]}
    return client.post(f"/v1/admin/products/{sku}/images", data=data)


def search(client: FlaskClient, photo: bytes, **fields: str) -> dict[str, Any]:
    """The candidates of a search by label, in their order."""
    answer = client.post("/v1/search", data={"photo": (BytesIO(photo), "a.jpg"), **fields})
    assert answer.status_code == 200, answer.text
    return {candidate["label"]: candidate for candidate in answer.json["candidates"]}
