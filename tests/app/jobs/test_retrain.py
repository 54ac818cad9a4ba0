"""Retraining: promoted, refused or kept, with the reason; killed anywhere and begun again; across two spaces."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import select, update

from app.config import Settings
from app.jobs import gate as gate_module
from app.jobs.retrain import RetrainOptions, RetrainReport, retrain
from app.jobs.training import TrainOptions
from app.services.spaces import Spaces
from app.services.versions import ModelVersions
from app.store.bundles import BundleStore, Gate
from app.store.database import transaction
from app.store.tables import Bundle as BundleRow
from app.store.tables import Category, Product
from models.bundle import Bundle
from models.classifiers.base import LinearModel
from models.training import train as training
from models.training.crossfit import CrossFitSettings
from models.training.fit.fcn import FcnSettings
from models.training.train import Trained, TrainingData
from tests.app.jobs.test_reviewed_photos import ADMIN, accepted, feedback
from tests.app.jobs.test_switching import adopt, other_network  # noqa: F401  a fixture
from tests.app.learning import LearningShop, learning_shop, shots

QUICK = CrossFitSettings(fcn=FcnSettings(learning_rate=0.01, max_steps=30), c_grid=(3.0,), hide_labels=False)
LABELS = ("beans", "bread", "cola", "flour", "milk", "rice", "salt", "soap", "tea")
FIRST = uuid4()


def options(promote: Any = "auto") -> RetrainOptions:
    return RetrainOptions(TrainOptions(folds=2, variants=(), fit=QUICK), promote)


@dataclass
class World:
    """A shop whose first model is served. kept: what training it gave, to be given again in no time."""

    shop: LearningShop
    first: RetrainReport
    trainings: list[Trained] = field(default_factory=list)

    def retrain(self, job_id: UUID | None = None, *, promote: Any = "auto", settings: Settings | None = None) -> Any:
        return retrain(
            settings or self.shop.settings, self.shop.engine, self.shop.media, options(promote), None, job_id
        )

    def rows(self) -> dict[str, BundleRow]:
        with transaction(self.shop.engine) as session:
            return {row.version: row for row in session.scalars(select(BundleRow))}

    def champion(self) -> str:
        [champion] = [version for version, row in self.rows().items() if row.state == "champion"]
        return champion

    def folders(self) -> set[str]:
        return {path.name for path in (self.shop.settings.home / "bundles").iterdir()}

    def serve(self, version: str) -> None:
        with transaction(self.shop.engine) as session:
            BundleStore(self.shop.settings.home).promote(session, version)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path) -> Iterator[World]:
    """Nine labels of six photos, one of each held out, after the first retraining. Five photos are enough to tell."""
    with (
        pytest.MonkeyPatch.context() as patch,
        learning_shop(tmp_path_factory.mktemp("retrain") / "home", database_url, prepared_home) as shop,
    ):
        patch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
        patch.setattr("models.training.gate.LEAST_PHOTOS", 5)
        patch.setattr("models.training.pairs.LEAST_GROUP_PHOTOS", 5)
        for place, label in enumerate(LABELS):
            shop.add_product(label, shots(place, 6), kind="food" if place < 5 else None)
        with transaction(shop.engine) as session:
            food = Category(name="Food", path="Food", path_key="food", depth=1)
            session.add(food)
            session.flush()
            cold = Category(name="Cold", path="Food > Cold", path_key="food > cold", depth=2, parent_id=food.id)
            session.add(cold)
            session.flush()
            session.execute(update(Product).where(Product.sku.in_(LABELS[:6])).values(category_id=cold.id))
            session.execute(update(Product).where(Product.sku.in_(LABELS[6:])).values(category_id=food.id))
        trainings: list[Trained] = []

        def remembered(data: TrainingData, *rest: Any) -> Trained:
            trainings.append(training.train(data, *rest))
            return trainings[-1]

        patch.setattr("app.jobs.training.train", remembered)
        first = retrain(shop.settings, shop.engine, shop.media, options(), None, FIRST)
        yield World(shop, first, trainings)


@pytest.fixture
def again(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The first model is served, and training gives the same classifiers again, in no time."""
    world.serve(world.first.trained.version)
    same = world.trainings[0]
    monkeypatch.setattr("app.jobs.training.train", lambda *_: replace(same, metrics=dict(same.metrics)))
    return world


def confused(trained: Trained) -> Trained:
    """Classifiers that take each label for the next."""

    def turned(model: LinearModel) -> Any:
        return type(model)(np.roll(model.weight, 1, axis=1), np.roll(model.bias, 1), model.labels)

    assert trained.fcn is not None and trained.svm is not None
    return replace(trained, fcn=turned(trained.fcn), svm=turned(trained.svm), metrics=dict(trained.metrics))


def test_without_a_champion_the_first_model_is_promoted(world: World) -> None:
    row = world.rows()[world.first.trained.version]
    assert row.job_id == FIRST and row.promoted_at is not None
    assert row.gate == {"decision": "promoted", "reason": "first model", "champion": None, "comparison": None}
    told = world.first.to_json()
    json.dumps(told, allow_nan=False)
    assert (told["promoted"], told["reason"]) == (True, "first model")
    assert told["bottlenecks"] == {
        "photos": 54, "new_photos": 54, "computed": 54, "reused": 0, "failed": 0, "vectors": 54
    }  # fmt: skip
    assert told["version"].endswith(FIRST.hex[:12])


def test_new_photos_are_learnt_and_a_challenger_that_is_not_worse_is_promoted(world: World) -> None:
    """Really trained, on what is there by then; only the new photos are computed."""
    world.serve(world.first.trained.version)
    for place in range(3):
        for data in shots(place, 2, first=50):
            world.shop.add_photo(LABELS[place], data)
    report = world.retrain(uuid4())
    assert report.to_json()["bottlenecks"]["new_photos"] == 6
    assert report.to_json()["bottlenecks"]["computed"] == 6
    assert report.promoted, report.gate
    assert report.gate["champion"] == world.first.trained.version
    comparison = report.gate["comparison"]
    assert comparison["photos"] == 9
    assert comparison["left_out"] == {"trained_on": 0, "seen_by_backbone": 0, "without_bottleneck": 0}
    assert {row["group"]: row["photos"] for row in comparison["groups"]} == {"Food": 9, "Food > Cold": 6}
    assert world.champion() == report.trained.version
    assert world.rows()[world.first.trained.version].state == "retired"


def test_a_worse_challenger_is_refused_with_the_reason_and_kept(again: World, monkeypatch: pytest.MonkeyPatch) -> None:
    same = again.trainings[0]
    monkeypatch.setattr("app.jobs.training.train", lambda *_: confused(same))
    with transaction(again.shop.engine) as session:
        session.execute(update(Product).where(Product.sku == "tea").values(predicted_type="as it was"))
    report = again.retrain(uuid4())
    assert not report.promoted
    assert "the drop is larger than the bound of 2.0 points" in report.gate["reason"]
    assert "Food > Cold falls by" in report.gate["reason"]
    assert again.champion() == again.first.trained.version
    assert again.rows()[report.trained.version].state == "refused"
    with transaction(again.shop.engine) as session:
        # What the served model has recognised stays.
        assert session.scalars(select(Product.predicted_type).where(Product.sku == "tea")).one() == "as it was"
    assert Bundle.load(report.trained.folder).fcn is not None
    bundles = BundleStore(again.shop.settings.home)
    versions = ModelVersions(again.shop.engine, bundles, Spaces(again.shop.engine, again.shop.settings.home))
    assert versions.get(report.trained.version).reason == f"refused: {report.gate['reason']}"
    assert versions.promote(report.trained.version).state == "champion"
    assert versions.rollback().version == again.first.trained.version


def test_the_bounds_are_settings(again: World, monkeypatch: pytest.MonkeyPatch) -> None:
    same = again.trainings[0]
    monkeypatch.setattr("app.jobs.training.train", lambda *_: confused(same))
    lax = again.shop.settings.model_copy(update={"gate_max_drop": 1.0, "gate_max_group_drop": 1.0})
    report = again.retrain(uuid4(), settings=lax)
    assert report.gate["comparison"]["bounds"]["max_drop"] == 1.0
    assert "bound" not in report.gate["reason"]


def test_promotion_is_left_to_a_person_where_that_was_asked_for(again: World) -> None:
    report = again.retrain(uuid4(), promote="never")
    assert (report.promoted, report.gate["decision"]) == (False, "kept")
    assert report.gate["reason"].startswith("not promoted, as asked; not worse: ")
    assert again.rows()[report.trained.version].state == "challenger"
    assert again.champion() == again.first.trained.version


def test_ended_between_writing_and_recording_the_next_attempt_goes_on_with_what_was_written(
    again: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, before = uuid4(), again.folders()
    real = gate_module.decide

    def killed(*_: Any) -> Gate:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.jobs.retrain.decide", killed)
    with pytest.raises(KeyboardInterrupt):
        again.retrain(job_id)
    [written] = again.folders() - before
    assert written not in again.rows()
    monkeypatch.setattr("app.jobs.retrain.decide", real)
    monkeypatch.setattr("app.jobs.training.train", killed)  # nothing is trained again
    report = again.retrain(job_id)
    assert report.trained.version == written and report.promoted
    assert again.folders() - before == {written}
    assert again.rows()[written].job_id == job_id


def test_ended_before_its_report_the_next_attempt_only_says_what_was_decided(
    again: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = uuid4()
    first = again.retrain(job_id)
    assert first.promoted
    rows, folders = again.rows(), again.folders()
    monkeypatch.setattr("app.jobs.retrain.fill_bottlenecks", lambda *_, **__: pytest.fail("there is nothing to do"))
    second = again.retrain(job_id)
    assert {**second.to_json(), "bottlenecks": None} == {**first.to_json(), "bottlenecks": None}
    assert (set(again.rows()), again.folders()) == (set(rows), folders)


def test_what_was_cut_off_while_it_was_written_goes_and_can_never_be_loaded(
    again: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = again.folders()

    def disk_full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.jobs.training.write_report", disk_full)
    with pytest.raises(OSError, match="No space"):
        again.retrain(uuid4())
    assert again.folders() == before
    (again.shop.settings.home / "bundles" / ".20260101T000000000Z-cut").mkdir()  # as kill -9 leaves it
    monkeypatch.undo()
    monkeypatch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
    same = again.trainings[0]
    monkeypatch.setattr("app.jobs.training.train", lambda *_: replace(same, metrics=dict(same.metrics)))
    report = again.retrain(uuid4())
    assert again.folders() == before | {report.trained.version}


def test_a_written_bundle_that_was_damaged_since_is_made_again(again: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, before = uuid4(), again.folders()
    real = gate_module.decide
    monkeypatch.setattr("app.jobs.retrain.decide", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        again.retrain(job_id)
    [written] = again.folders() - before
    (again.shop.settings.home / "bundles" / written / "fcn.npz").write_bytes(b"torn")
    monkeypatch.setattr("app.jobs.retrain.decide", real)
    report = again.retrain(job_id)
    assert report.trained.version != written
    assert written not in again.rows() and report.trained.version in again.rows()


def test_a_champion_that_changes_meanwhile_is_compared_with_anew(again: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = again.retrain(uuid4(), promote="never").trained.version
    compared: list[Gate] = []

    def decide(*arguments: Any) -> Gate:
        compared.append(gate_module.decide(*arguments))
        if len(compared) == 1:
            again.serve(other)
        return compared[-1]

    monkeypatch.setattr("app.jobs.retrain.decide", decide)
    report = again.retrain(uuid4())
    assert [gate.champion for gate in compared] == [again.first.trained.version, other]
    assert report.gate["champion"] == other
    with transaction(again.shop.engine) as session:
        assert BundleStore(again.shop.settings.home).rollback(session).version == other


def test_a_champion_that_cannot_be_loaded_refuses_with_the_reason(again: World) -> None:
    champion = again.retrain(uuid4()).trained
    path = champion.folder / "settings.json"
    whole = path.read_bytes()
    path.write_bytes(b"{}")
    try:
        report = again.retrain(uuid4())
    finally:
        path.write_bytes(whole)
    assert not report.promoted and report.gate["comparison"] is None
    assert f"the champion {champion.version} cannot be compared with" in report.gate["reason"]
    assert "settings.json differs" in report.gate["reason"]
    assert again.champion() == champion.version


def test_reviewed_photos_are_new_to_the_champion_until_one_was_trained_with_them(again: World) -> None:
    query_id = accepted(again.shop, shots(0, 1, first=90)[0], LABELS[0])
    try:
        new = [again.retrain(uuid4()).gate["comparison"]["new_reviewed_photos"] for _ in range(2)]
    finally:
        feedback(again.shop).forget(ADMIN, query_id)
    assert new == [1, 0]


def test_photos_that_the_champion_was_trained_on_are_left_out(again: World) -> None:
    """A new split file makes other photos the hold-out: figures of before are worth nothing then."""
    split = again.shop.settings.home / "splits" / "split.json"
    kept = split.read_text()
    data = json.loads(kept)
    roles = {h: place[0] for h, place in data["photos"].items()}
    swapped = {"hold_out": "train", "test": "hold_out"}
    for h, place in data["photos"].items():
        role = swapped.get(roles[h], roles[h])
        data["photos"][h] = [role, -1 if role == "hold_out" else max(place[1], 0), place[2]]
    split.write_text(json.dumps(data))
    try:
        report = again.retrain(uuid4())
    finally:
        split.write_text(kept)
    left_out = report.gate["comparison"]["left_out"]["trained_on"]
    assert left_out >= 5
    assert report.gate["decision"] == "kept"
    assert f"({left_out} were left out)" in report.gate["reason"]


@pytest.fixture
def new_weights(again: World, other_network: Path) -> Iterator[Settings]:  # noqa: F811  the fixture
    """The shop's settings with other weights, as fine-tuning gives them."""
    home = again.shop.settings.home
    yield again.shop.settings.model_copy(update={"weights": adopt(home, other_network)})
    shutil.rmtree(home / "weights")


def test_a_challenger_of_other_weights_is_compared_each_in_its_own_space(
    again: World, new_weights: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    again_served = again.first.trained
    monkeypatch.setattr("app.jobs.training.train", training.train)  # vectors of the other space need other classifiers
    report = again.retrain(uuid4(), settings=new_weights)
    assert report.trained.space != again_served.space
    assert report.gate["comparison"]["photos"] == 9
    assert report.gate["champion"] == again_served.version
    assert report.promoted, report.gate
    with transaction(again.shop.engine) as session:
        champion = BundleStore(again.shop.settings.home).champion(session)
        assert champion is not None and champion.version == report.trained.version
    # Where the former space knows none of the photos, nobody can tell.
    again.serve(again_served.version)
    cache = again.shop.settings.home / "bottlenecks" / again_served.space
    cache.rename(cache.with_name("away"))
    try:
        refused = again.retrain(uuid4(), settings=new_weights)
        assert not cache.exists()
    finally:
        cache.with_name("away").rename(cache)
    assert refused.gate["decision"] == "refused"
    assert "hold no bottlenecks of the hold-out photos" in refused.gate["reason"]
    assert again.champion() == again_served.version


def test_two_retrainings_of_one_job_at_once_make_one_version(again: World) -> None:
    """The second waits for the first, as an attempt that was only thought lost does."""

    job_id, before = uuid4(), again.folders()
    with ThreadPoolExecutor(2) as pool:
        reports: Sequence[Any] = list(pool.map(lambda _: again.retrain(job_id), range(2)))
    assert len({report.trained.version for report in reports}) == 1
    assert again.folders() - before == {reports[0].trained.version}
