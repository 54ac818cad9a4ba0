"""Changing to other weights and back: two spaces side by side, and the former model serves again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from app.config import Settings
from app.jobs.bottlenecks import BottleneckReport, fill_bottlenecks
from app.jobs.training import TrainOptions, TrainReport, train_and_publish
from app.services.serving import ServedModel
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.tables import ReferenceVector, Space
from app.wiring import ModelLoader, prepared_backbone
from models.backbone.prepare import _FILES, _observe
from models.backbone.store import (
    SPACE_FILE,
    SourceRecord,
    backbones_folder,
    find_backbone,
    write_manifest,
    write_record,
)
from models.backbone.weights import resolve_weights
from models.errors import BundleMismatch
from models.photo import read_photo
from models.values import Answer
from tests.app.learning import LearningShop, learning_shop, shots
from tests.contracts import tiny_backbone

SKUS = ("cola", "beans", "rice", "tea")


@pytest.fixture(scope="module")
def other_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a prepared backbone with another network than ``prepared_home``'s."""
    home = tmp_path_factory.mktemp("other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_backbone, "_CELL", 23)
        patch.setattr(tiny_backbone, "_CELLS", 299 // 23)
        tiny_backbone.prepare_tiny_backbone(home)
    return find_backbone("embedded", home).folder


def adopt(home: Path, network: Path) -> str:
    """Have ``HOME/weights/tuned.npz`` with ``network`` prepared for it; returns the source."""
    file = home / "weights" / "tuned.npz"
    file.parent.mkdir()
    file.write_bytes(b"read by nobody here: its backbone has been prepared")
    space = replace(find_backbone("embedded", home).space, weights_sha256="f" * 64, weights="file:tuned.npz")
    folder = backbones_folder(home) / space.identifier
    shutil.copytree(network, folder)
    (folder / SPACE_FILE).write_text(space.to_json(), "utf-8")
    write_manifest(folder, _FILES)
    source = resolve_weights(str(file), home)
    write_record(home, source, SourceRecord(space.identifier, *_observe(source)))
    return str(file)


@dataclass(frozen=True)
class Switched:
    """A shop trained with its old weights and then with new ones, and what became of both."""

    shop: LearningShop
    old: Settings
    new: Settings
    reports: tuple[TrainReport, TrainReport]
    before: Answer

    def loader(self, settings: Settings) -> ModelLoader:
        """What a service with these settings loads models by."""
        return loader_of(self.shop, settings)

    def fill(self, settings: Settings) -> BottleneckReport:
        return fill_bottlenecks(settings, self.shop.engine, self.shop.media, variants=())

    def promote(self, version: str) -> None:
        with transaction(self.shop.engine) as session:
            BundleStore(self.old.home).promote(session, version)


def recognise(loader: ModelLoader, version: str, data: bytes) -> Answer:
    return loader.load(version).recognizer.recognize(read_photo(data))


QUERY = shots(0, 1, first=30)[0]


@pytest.fixture(scope="module")
def switched(
    tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path, other_network: Path
) -> Iterator[Switched]:
    """Two photos a product: k-NN serves alone, so nothing here waits for TensorFlow."""
    with (
        pytest.MonkeyPatch.context() as patch,
        learning_shop(tmp_path_factory.mktemp("switching") / "home", database_url, prepared_home) as shop,
    ):
        patch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
        for place, sku in enumerate(SKUS):
            shop.add_product(sku, shots(place, 2))
        old = shop.settings
        new = old.model_copy(update={"weights": adopt(old.home, other_network)})
        first = learn(shop, old)
        before = recognise(loader_of(shop, old), first.version, QUERY)
        yield Switched(shop, old, new, (first, learn(shop, new)), before)


def learn(shop: LearningShop, settings: Settings) -> TrainReport:
    """``make train-bottlenecks`` and ``make train`` with these settings."""
    fill_bottlenecks(settings, shop.engine, shop.media, variants=())
    return train_and_publish(settings, shop.engine, shop.media, TrainOptions(folds=2, variants=()))


def loader_of(shop: LearningShop, settings: Settings) -> ModelLoader:
    """What a service with these settings loads models by."""
    return ModelLoader(shop.engine, BundleStore(settings.home), partial(prepared_backbone, settings))


def test_both_spaces_hold_every_photo_and_other_vectors(switched: Switched) -> None:
    with transaction(switched.shop.engine) as session:
        rows = session.execute(
            select(Space.identifier, func.count(ReferenceVector.image_id))
            .join(ReferenceVector, ReferenceVector.space_id == Space.id)
            .group_by(Space.identifier)
        ).all()
        vectors = session.execute(
            select(ReferenceVector.image_id, ReferenceVector.raw).order_by(ReferenceVector.image_id)
        ).all()
    old, new = switched.reports
    assert dict(map(tuple, rows)) == {old.space: 2 * len(SKUS), new.space: 2 * len(SKUS)}
    assert old.space != new.space
    by_image: dict[int, list[np.ndarray]] = {}
    for image_id, raw in vectors:
        by_image.setdefault(image_id, []).append(np.asarray(raw, dtype=np.float32))
    assert all(len(pair) == 2 and not np.allclose(*pair, atol=1e-3) for pair in by_image.values())


def test_going_back_serves_the_former_model_as_it_was(switched: Switched) -> None:
    old, new = switched.reports
    switched.promote(new.version)
    loader = switched.loader(switched.old)
    with pytest.raises(BundleMismatch, match="set PICKTURE_WEIGHTS as in training"):
        loader.load(new.version)
    with transaction(switched.shop.engine) as session:
        assert BundleStore(switched.old.home).rollback(session).version == old.version
    champion = switched.loader(switched.old).champion()
    assert champion == old.version
    again = recognise(switched.loader(switched.old), old.version, QUERY)
    assert replace(again, timings_ms={}) == replace(switched.before, timings_ms={})
    assert again.weights == "embedded"
    # And forth again.
    switched.promote(new.version)
    assert recognise(switched.loader(switched.new), new.version, QUERY).weights == "file:tuned.npz"


def test_a_running_service_keeps_its_model_when_one_of_other_weights_is_promoted(switched: Switched) -> None:
    old, new = switched.reports
    switched.promote(old.version)
    loader = switched.loader(switched.old)
    model = ServedModel(loader.champion, loader.load, interval_s=0.0)
    assert model.current().recognizer.version == old.version
    switched.promote(new.version)
    assert model.current().recognizer.version == old.version
    restarted = switched.loader(switched.new)
    assert ServedModel(restarted.champion, restarted.load).current().recognizer.version == new.version


def test_products_added_meanwhile_are_known_again_after_the_bottlenecks_command(switched: Switched) -> None:
    old, new = switched.reports
    switched.shop.add_product("soap", shots(4, 2))
    query = shots(4, 1, first=30)[0]
    assert switched.fill(switched.new).vectors == 2

    def labels(settings: Settings, version: str) -> list[str]:
        answer = recognise(switched.loader(settings), version, query)
        return [candidate.label for candidate in answer.ranking.candidates]

    assert "soap" in labels(switched.new, new.version)
    assert "soap" not in labels(switched.old, old.version)
    assert switched.fill(switched.old).vectors == 2
    assert "soap" in labels(switched.old, old.version)
    assert json.loads((old.folder / "manifest.json").read_text("utf-8"))["space"] == old.space
