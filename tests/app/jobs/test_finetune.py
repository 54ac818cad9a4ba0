"""Fine-tuning on a shop's catalogue, with a toy network: what is written, what stays, what is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from app.cli.finetune import _lines
from app.cli.main import cli
from app.jobs.bottlenecks import catalogue_images, fill_bottlenecks
from app.jobs.finetune import FinetuneOptions, FinetuneReport, depth_experiment, finetune_catalogue
from app.jobs.splits import catalogue_split
from app.jobs.training import TrainOptions, train_and_publish
from app.store.database import transaction
from app.store.tables import Bundle, ReferenceVector, Space
from models.backbone.locking import exclusive
from models.backbone.network import weighted_layers
from models.backbone.packed import read_packed
from models.backbone.prepare import _FILES
from models.backbone.store import KERAS_FILE, find_backbone, write_manifest
from models.backbone.weight_files import write_weights
from models.errors import NotEnoughData, TrainingError, UsageError
from models.training.finetune.depth import DepthPlan
from models.training.splits import Split
from tests.app.learning import LearningShop, learning_shop, shots
from tests.models.finetune.world import QUICK, build_toy

TUNING = replace(QUICK, epochs=1)
LABELS = ("cola", "beans", "rice")
PHOTOS = 12


@pytest.fixture(scope="module")
def toy_home(tmp_path_factory: pytest.TempPathFactory, prepared_home: Path) -> Path:
    """The prepared backbone with the toy network's weights for Keras."""
    home = tmp_path_factory.mktemp("toy")
    shutil.copytree(prepared_home / "backbones", home / "backbones")
    folder = find_backbone("embedded", home).folder
    write_weights(build_toy(), folder / KERAS_FILE)
    write_manifest(folder, _FILES)
    return home


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, database_url: str, toy_home: Path) -> Iterator[LearningShop]:
    """Three products of twelve photos; nothing has been computed."""
    with learning_shop(tmp_path_factory.mktemp("finetune") / "home", database_url, toy_home) as made:
        for place, sku in enumerate(LABELS):
            made.add_product(sku, shots(place, PHOTOS))
        yield made


@dataclass(frozen=True)
class Done:
    """A finished run and what it told."""

    report: FinetuneReport
    told: tuple[str, ...]


def finetune(shop: LearningShop, name: str, told: list[str] | None = None, **choices: Any) -> FinetuneReport:
    options = FinetuneOptions(name, tuning=replace(TUNING, **choices), build=build_toy)
    lines = told if told is not None else []
    return finetune_catalogue(shop.settings, shop.engine, shop.media, options, lines.append)


@pytest.fixture(scope="module")
def done(shop: LearningShop) -> Done:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.training.finetune.compare.C_GRID", (0.3,))
        patch.setattr("models.training.finetune.compare.DRAWS", 100)
        told: list[str] = []
        return Done(finetune(shop, "spring", told), tuple(told))


def test_the_split_is_made_as_training_would_make_it(shop: LearningShop, done: Done) -> None:
    path = shop.settings.home / "splits" / "split.json"
    made = Split.load(path)
    fill_bottlenecks(shop.settings, shop.engine, shop.media, variants=())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
        patch.setattr("app.jobs.training.train", stop)
        with pytest.raises(Stopped):
            train_and_publish(shop.settings, shop.engine, shop.media, TrainOptions(variants=()))
    assert Split.load(path) == made
    assert sum(line.startswith("scenes and split") for line in done.told) == 1


class Stopped(Exception):
    """Training has split the photos; the rest is of no interest here."""


def stop(*arguments: object) -> None:
    raise Stopped


def test_the_new_weights_saw_train_and_validation_photos_and_no_other(shop: LearningShop, done: Done) -> None:
    split = Split.load(shop.settings.home / "splits" / "split.json")
    packed = read_packed(done.report.weights, [spec for spec, _ in weighted_layers(build_toy())])
    assert done.report.weights == shop.settings.home / "weights" / "spring.npz"
    assert packed.seen == set(split.role("train")) | set(split.role("validation"))
    assert len(split.role("test")) and len(split.role("hold_out"))
    card = packed.card
    assert (card["name"], card["labels"], card["epochs"]) == ("spring", 3, 1)
    assert card["from"]["name"] == "embedded"
    assert card["settings"]["depth"] == "last"
    assert card["photos"]["train"] == len(split.role("train"))
    assert card["metrics"]["photos"] == len(split.role("test")) + len(split.role("calibration"))


def test_nothing_that_serves_is_touched(shop: LearningShop, done: Done) -> None:
    with transaction(shop.engine) as session:
        spaces = set(session.scalars(select(Space.identifier)))
        bundles = session.scalar(select(func.count()).select_from(Bundle))
        vectors = session.scalar(select(func.count()).select_from(ReferenceVector))
    assert spaces <= {find_backbone("embedded", shop.settings.home).space.identifier}
    assert bundles == 0
    assert vectors in (0, len(LABELS) * PHOTOS)  # an earlier test may have filled them for the start weights
    assert not (shop.settings.home / "finetune" / "spring").exists()


def test_the_report_says_what_to_do_to_switch_and_to_go_back(shop: LearningShop, done: Done) -> None:
    report = done.report
    assert report.use == (
        f"export PICKTURE_WEIGHTS={report.weights}",
        "python -m app bottlenecks",
        "python -m app retrain --promote never",
        "python -m app models promote VERSION",
    )
    assert report.back[0] == "export PICKTURE_WEIGHTS=embedded"
    assert report.outcome in ("better", "worse", "no difference shown")
    stored = json.loads(report.weights.with_suffix(".json").read_text("utf-8"))
    assert stored["comparison"] == json.loads(json.dumps(report.comparison))
    assert stored["back"] == list(report.back)


def test_a_taken_name_is_refused_and_so_is_an_unfit_one(shop: LearningShop, done: Done) -> None:
    with pytest.raises(UsageError, match="another --name"):
        finetune(shop, "spring")
    with pytest.raises(UsageError, match="no name for weights"):
        finetune(shop, "../spring")


def test_a_run_killed_before_its_weights_were_there_goes_on_and_one_killed_after_says_what_is_left(
    shop: LearningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.finetune.compare.C_GRID", (0.3,))
    weights = shop.settings.home / "weights" / "killed.npz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.jobs.finetune.pack", stop)
        with pytest.raises(Stopped):
            finetune(shop, "killed")
    assert weights.with_suffix(".json").exists() and not weights.exists()
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.jobs.finetune.Workshop.clean", stop)
        with pytest.raises(Stopped):
            finetune(shop, "killed", told)
    assert "going on after epoch 1" in told
    assert weights.exists() and json.loads(weights.with_suffix(".json").read_text("utf-8"))["seconds"] > 0
    with pytest.raises(UsageError, match="killed is left of the run that made them and can be removed"):
        finetune(shop, "killed")
    shutil.rmtree(shop.settings.home / "finetune" / "killed")


def test_a_run_at_work_is_not_joined(shop: LearningShop) -> None:
    lock = shop.settings.home / "finetune" / "busy.lock"
    lock.parent.mkdir(exist_ok=True)
    with exclusive(lock), pytest.raises(TrainingError, match="a run named busy is at work"):
        finetune(shop, "busy")


def test_new_photos_extend_the_split_and_keep_the_others_roles(shop: LearningShop, done: Done) -> None:
    before = Split.load(shop.settings.home / "splits" / "split.json")
    for data in shots(0, 2, first=40):
        shop.add_photo("cola", data)
    with transaction(shop.engine) as session:
        images = catalogue_images(session, shop.media)
    told: list[str] = []
    after = catalogue_split(shop.settings.home, images, told.append)
    assert told == [f"scenes and split of {len(LABELS) * PHOTOS + 2} photos"]
    assert {h: after.places[h].role for h in before.places} == {h: p.role for h, p in before.places.items()}
    assert len(after.places) == len(before.places) + 2
    assert catalogue_split(shop.settings.home, images, told.append).places == after.places
    assert len(told) == 1


def test_an_empty_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="holds no photo"):
        catalogue_split(tmp_path, [], lambda line: None)


def test_the_command_prints_one_object(shop: LearningShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.finetune.FinetuneOptions", partial(FinetuneOptions, build=build_toy))
    monkeypatch.setattr("models.training.finetune.compare.C_GRID", (0.3,))
    environment = {
        "PICKTURE_HOME": str(shop.settings.home),
        "PICKTURE_DATABASE_URL": str(shop.settings.database_url),
    }
    words = ["finetune", "--epochs", "1", "--views", "2", "--input-size", "80", "--depth", "last-two"]

    words += ["--name", "as-json", "--photos-share", "0.5", "--from", "embedded", "--json"]
    found = json.loads(CliRunner().invoke(cli, words, env=environment, catch_exceptions=False).stdout)
    assert found["weights"] == str(shop.settings.home / "weights" / "as-json.npz")
    assert (found["depth"], found["epochs"]) == ("last-two", 1)
    assert set(found["comparison"]) == {"photos", "scenes", "labels", "seen_before", "probe", "knn"}


def test_people_are_told_the_table_the_outcome_and_how_to_switch(done: Done) -> None:
    lines = _lines(done.report).splitlines()
    assert lines[0].startswith(f"{done.report.weights}: embedded adapted to {done.report.photos['train']} photos of 3")
    assert [line.split()[0] for line in lines if "Top-1 " in line] == ["softmax", "k-NN"]
    assert f"outcome (softmax Top-1): {done.report.outcome}" in lines
    for outcome, kept in (("better", False), ("worse", True), ("no difference shown", True), ("not measured", False)):
        told = _lines(replace(done.report, outcome=outcome)).splitlines()
        assert any(line.startswith("keep what you have") for line in told) == kept
    commands = [line.strip() for line in lines if line.startswith("  ") and "before" not in line]
    assert commands == [*done.report.use, *done.report.back]
    assert any(line.startswith("epoch 1 of 1") for line in done.told)


def test_the_depth_experiment_leaves_nothing_behind(shop: LearningShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.finetune.compare.C_GRID", (0.3,))
    monkeypatch.setattr("app.jobs.finetune.run_depth", partial(_run_depth, build=build_toy))
    plan = DepthPlan(("last",), (1.0,), TUNING)
    before = set((shop.settings.home / "finetune").iterdir()) | {
        shop.settings.home / "finetune" / ".depth-experiment.lock"
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.jobs.finetune.write_result", stop)
        with pytest.raises(Stopped):
            depth_experiment(shop.settings, shop.engine, shop.media, plan, None, lambda line: None)
    assert (shop.settings.home / "finetune" / ".depth-experiment" / "last-1.0").is_dir()  # the table is not lost
    table, path = depth_experiment(shop.settings, shop.engine, shop.media, plan, None, lambda line: None)
    assert len(json.loads(path.read_text("utf-8"))["rows"]) == 2
    assert [row.depth for row in table.rows] == ["none", "last"]
    assert set((shop.settings.home / "finetune").iterdir()) <= before


def _run_depth(*arguments: Any, build: Any) -> Any:
    from models.training.finetune.depth import run_depth

    return run_depth(*arguments, build=build)
