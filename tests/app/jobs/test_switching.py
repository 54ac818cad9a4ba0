"""Changing to other weights and back: two spaces side by side, kept complete, and either serves without a restart."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import func, select, update

from app.cli.main import cli
from app.config import Settings
from app.errors import SpaceIncomplete, SpaceInUse, SpaceMismatch, SpaceNotFound
from app.jobs import training
from app.jobs.bottlenecks import fill_bottlenecks
from app.jobs.kinds import run_outbox
from app.jobs.outbox import Filled, fill_due_spaces
from app.jobs.reporting import Reporter
from app.jobs.training import TrainOptions, TrainReport, train_and_publish
from app.services.serving import Refusal, ServedModel
from app.services.spaces import SpaceInfo, Spaces
from app.services.versions import ModelVersions
from app.store import outbox
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.media import content_hash
from app.store.outbox import Lacking
from app.store.tables import Product, Promotion, ReferenceVector, Space
from app.wiring import ModelLoader, assemble, prepared_backbone
from models.backbone.locking import exclusive
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
from models.bundle import Bundle
from models.errors import BackboneNotReady
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

    @property
    def versions(self) -> ModelVersions:
        spaces = Spaces(self.shop.engine, self.old.home)
        return ModelVersions(self.shop.engine, BundleStore(self.old.home), spaces)

    @property
    def spaces(self) -> dict[str, SpaceInfo]:
        """Both, by identifier."""
        return {found.identifier: found for found in Spaces(self.shop.engine, self.old.home).all()}

    def fill_outbox(self) -> list[Filled]:
        """What a worker does with a job of the kind ``outbox``."""
        return fill_due_spaces(self.old, self.shop.engine, self.shop.media, lambda line: None)

    def import_photo(self, sku: str, data: bytes) -> None:
        """As an import brings it: row and record in one transaction, no vector."""
        self.shop.add_photo(sku, data)
        with transaction(self.shop.engine) as session:
            product = session.scalars(select(Product.id).where(Product.sku == sku)).one()
            outbox.record_photos(session, [product])

    def serve(self, report: TrainReport) -> None:
        """Have the report's version served, whatever was before."""
        self.fill_outbox()
        with suppress(SpaceIncomplete):
            self.versions.promote(report.version)
            return
        self.fill_outbox()
        self.versions.promote(report.version)

    def serve_alone(self, report: TrainReport) -> None:
        """As if nothing had been served before it."""
        self.serve(report)
        with transaction(self.shop.engine) as session:
            session.execute(update(Promotion).values(undone_at=func.now()))


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
    """What a service loads models by."""
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
    assert {found.identifier: found.state for found in switched.spaces.values()} == {
        old.space: "rollback",
        new.space: "served",
    }


def test_a_running_service_follows_into_the_other_space_and_back(switched: Switched) -> None:
    old, new = switched.reports
    switched.serve(old)
    loader = loader_of(switched.shop, switched.old)
    model = ServedModel(loader.champion, loader.load, interval_s=0.0)
    photo = read_photo(QUERY)
    before = model.current()
    assert before.recognizer.version == old.version
    switched.serve(new)
    after = model.current()
    assert (after.recognizer.version, after.recognizer.weights) == (new.version, "file:tuned.npz")
    assert after.memory.space_id != before.memory.space_id
    # A request that took the former model keeps it, space and all.
    again = before.recognizer.recognize(photo)
    assert replace(again, timings_ms={}) == replace(switched.before, timings_ms={})
    assert switched.versions.rollback().version == old.version
    assert replace(model.current().recognizer.recognize(photo), timings_ms={}) == replace(again, timings_ms={})


def test_photos_added_meanwhile_reach_both_spaces_before_one_takes_over(switched: Switched) -> None:
    old, new = switched.reports
    switched.serve(new)
    switched.shop.add_product("soap", [])
    for data in shots(4, 2):
        switched.import_photo("soap", data)
    assert {found.lacking for found in switched.spaces.values()} == {Lacking(2, 0)}
    with pytest.raises(SpaceIncomplete, match=f"{old.space} of model {old.version} lacks 2 photos"):
        switched.versions.rollback()
    assert [(filled.space, filled.written) for filled in switched.fill_outbox()] == [(new.space, 2), (old.space, 2)]
    assert switched.fill_outbox() == []
    query = shots(4, 1, first=30)[0]
    for report in (new, old):
        answer = recognise(loader_of(switched.shop, switched.old), report.version, query)
        assert "soap" in [candidate.label for candidate in answer.ranking.candidates]
    assert switched.versions.rollback().version == old.version
    switched.shop.delete_photo(shots(4, 2)[1])
    assert {found.vectors for found in switched.spaces.values()} == {2 * len(SKUS) + 1}


def test_a_space_that_nobody_kept_is_filled_when_its_version_is_wanted(switched: Switched) -> None:
    old, new = switched.reports
    switched.serve_alone(old)
    switched.serve(new)
    assert switched.versions.rollback().version == old.version
    assert switched.spaces[new.space].state == "unused"
    switched.import_photo("tea", shots(3, 1, first=50)[0])
    assert switched.fill_outbox()[0].space == old.space
    with pytest.raises(SpaceIncomplete, match="lacks 1 photos"):
        switched.versions.promote(new.version)
    assert (switched.spaces[new.space].state, switched.spaces[new.space].lacking) == ("preparing", Lacking(1, 0))
    [filled] = switched.fill_outbox()
    assert (filled.space, filled.written, filled.unreadable) == (new.space, 1, {})
    assert switched.versions.promote(new.version).state == "champion"
    assert switched.spaces[new.space].state == "served"


def test_the_job_and_the_command_fill_what_is_lacking(switched: Switched) -> None:
    old, new = switched.reports
    switched.serve_alone(old)
    switched.serve(new)
    switched.import_photo("tea", shots(3, 1, first=51)[0])
    container = assemble(switched.old, switched.shop.engine)
    out = io.StringIO()
    done = run_outbox(container, uuid4(), {}, Reporter(out))
    facts = {"written": 1, "unreadable": 0, "problem": None}
    assert done.result == {"spaces": [{"space": new.space, **facts}, {"space": old.space, **facts}]}
    folder = backbones_folder(switched.old.home) / old.space
    folder.rename(folder.with_name("elsewhere"))
    switched.import_photo("tea", shots(3, 1, first=52)[0])
    served, before = run_outbox(container, uuid4(), {}, Reporter(out)).result["spaces"]
    assert (served["written"], before["written"]) == (1, 0) and "not prepared here" in before["problem"]
    assert switched.fill_outbox() == [], "left alone for a while"
    folder.with_name("elsewhere").rename(folder)
    environment = {
        "PICKTURE_HOME": str(switched.old.home),
        "PICKTURE_DATABASE_URL": str(switched.old.database_url),
    }
    told = CliRunner().invoke(cli, ["spaces", "fill", old.space, "--json"], env=environment, catch_exceptions=False)
    assert json.loads(told.stdout) == {"space": old.space, **facts}
    assert switched.versions.rollback().version == old.version
    with pytest.raises(SpaceNotFound):
        CliRunner().invoke(cli, ["spaces", "fill", "nothing"], env=environment, catch_exceptions=False)


def test_a_photo_that_is_lost_is_named_and_keeps_the_space_from_taking_over(switched: Switched) -> None:
    old, new = switched.reports
    switched.serve(new)
    data = shots(2, 1, first=60)[0]
    switched.import_photo("rice", data)
    switched.shop.media.delete(content_hash(data))
    assert [list(filled.unreadable) for filled in switched.fill_outbox()] == [[content_hash(data)]] * 2
    assert switched.fill_outbox() == []
    with pytest.raises(SpaceIncomplete, match="1 of them cannot be read"):
        switched.versions.rollback()
    [photo] = switched.spaces[old.space].unreadable
    assert (photo.sku, photo.content_hash) == ("rice", content_hash(data))
    switched.shop.delete_photo(data)
    assert switched.versions.rollback().version == old.version


def test_without_the_network_a_process_keeps_serving_and_says_so(
    switched: Switched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = switched.reports
    switched.serve(old)
    loader = loader_of(switched.shop, switched.old)
    model = ServedModel(loader.champion, loader.load, interval_s=0.0)
    assert model.current().recognizer.version == old.version
    switched.serve(new)
    folder = backbones_folder(switched.old.home) / new.space
    folder.rename(folder.with_name("elsewhere"))
    told: list[Refusal | None] = []
    model.on_refusal(told.append)
    assert [model.current().recognizer.version for _ in range(2)] == [old.version] * 2
    assert caplog.text.count("cannot be served") == 1 and new.space in caplog.text
    assert [refusal and refusal.error.code for refusal in told] == [None, "backbone_not_ready"]
    folder.with_name("elsewhere").rename(folder)
    monkeypatch.setattr("app.services.serving.RETRY_S", 0.0)
    assert model.current().recognizer.version == new.version
    assert model.refused is None and told[-1] is None


def test_a_version_whose_network_is_not_here_is_not_promoted(switched: Switched) -> None:
    old, new = switched.reports
    switched.serve(new)
    folder = backbones_folder(switched.old.home) / old.space
    folder.rename(folder.with_name("elsewhere"))
    try:
        with pytest.raises(SpaceMismatch, match=f"HOME/backbones/{old.space}"):
            switched.versions.promote(old.version)
        assert [found.fits for found in switched.versions.all()] == [True, False]
    finally:
        folder.with_name("elsewhere").rename(folder)


def test_a_training_in_another_space_adds_what_came_meanwhile_before_it_publishes(
    switched: Switched, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = switched.reports
    switched.serve(old)
    late = shots(1, 1, first=70)[0]
    made_bundle = training.made_bundle

    def and_then_a_photo_comes(*arguments: Any) -> Bundle:
        bundle = made_bundle(*arguments)
        switched.import_photo("beans", late)
        return bundle

    monkeypatch.setattr("app.jobs.training.made_bundle", and_then_a_photo_comes)
    report = learn(switched.shop, switched.new)
    assert switched.spaces[report.space].state == "served"
    assert switched.spaces[report.space].lacking == Lacking()
    gone = shots(1, 1, first=71)[0]

    def and_then_a_photo_is_lost(*arguments: Any) -> Bundle:
        bundle = made_bundle(*arguments)
        switched.import_photo("beans", gone)
        switched.shop.media.delete(content_hash(gone))
        return bundle

    monkeypatch.setattr("app.jobs.training.made_bundle", and_then_a_photo_is_lost)
    with pytest.raises(SpaceIncomplete):
        learn(switched.shop, switched.old)
    kept = switched.versions.all()[0]
    assert (kept.state, kept.space) == ("challenger", old.space) and "cannot be read" in str(kept.reason)
    switched.shop.delete_photo(gone)
    assert switched.versions.promote(kept.version).state == "champion"


def test_an_unused_space_is_dropped_with_rows_and_network_and_can_be_made_again(switched: Switched) -> None:
    old, new = switched.reports
    spaces = Spaces(switched.shop.engine, switched.old.home)
    switched.serve_alone(old)
    switched.serve(new)
    for space in (old.space, new.space):
        with pytest.raises(SpaceInUse):
            spaces.drop(space)
    assert switched.versions.rollback().version == old.version
    with exclusive(switched.old.home / "training.lock"), pytest.raises(SpaceInUse, match=r"training\.lock"):
        spaces.drop(new.space)
    folder = backbones_folder(switched.old.home) / new.space
    saved = switched.old.home / "saved"
    shutil.copytree(folder, saved)
    spaces.drop(new.space)
    dropped = switched.spaces[new.space]
    assert (dropped.state, dropped.vectors, dropped.prepared, dropped.size_bytes) == ("dropped", 0, False, 0)
    assert not folder.exists()
    with pytest.raises(SpaceMismatch, match="was dropped"):
        switched.versions.promote(new.version)
    with pytest.raises(BackboneNotReady):
        find_backbone(switched.new.weights, switched.new.home)
    with pytest.raises(SpaceNotFound):
        spaces.drop("0" * 16)
    # Prepared anew, it takes its photos from the bottleneck cache, and the version can be served.
    saved.rename(folder)
    source = resolve_weights(switched.new.weights, switched.new.home)
    write_record(switched.new.home, source, SourceRecord(new.space, *_observe(source)))
    refilled = fill_bottlenecks(switched.new, switched.shop.engine, switched.shop.media, variants=())
    assert refilled.fill.new == 0 and refilled.vectors == refilled.photos
    assert switched.versions.promote(new.version).state == "champion"
