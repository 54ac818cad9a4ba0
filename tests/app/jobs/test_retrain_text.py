"""Words in a retraining: trained, compared, refused, cut off and begun again, never in the way of the classifiers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from app.jobs import retrain_text as step
from app.jobs import text as job
from app.jobs.kinds import run_bottlenecks
from app.jobs.reporting import Reporter
from app.jobs.retrain import RetrainOptions, Told, retrain
from app.jobs.retrain_text import TextReport, retrain_texts
from app.jobs.text import TextTraining, retrain_text_model, train_text_model
from app.jobs.training import TrainOptions
from app.services.text_models import TextModels
from app.services.words import FOLDER
from app.store.database import transaction
from app.store.proposals import ProposalFilters
from app.store.tables import Product
from app.store.text_models import TRIALS, TextModelStore
from app.wiring import assemble
from models.training.text.train import TrainedText
from tests.app.jobs.words_shop import PRODUCTS, SHARED, TEXT, words_shop
from tests.app.learning import LearningShop, shots
from tests.app.text_world import use_model

WORSE = {
    "types": {
        "asked": 100, "champion": 0.9, "challenger": 0.5, "difference": -0.4, "low": -0.5, "high": -0.3, "p_worse": 0.0,
    }
}  # fmt: skip


@dataclass
class World:
    """The shop after its first training. made: what that learned, to be given again in no time."""

    shop: LearningShop
    first: TextTraining
    made: TrainedText

    @property
    def store(self) -> TextModelStore:
        return TextModelStore(self.shop.settings.home)

    def retrain(self, job_id: UUID | None = None) -> TextTraining:
        return retrain_text_model(self.shop.settings, self.shop.engine, job_id, TEXT)

    def texts(self, job_id: UUID | None = None, space: str | None = None) -> TextReport:
        shop = self.shop
        return retrain_texts(shop.settings, shop.engine, shop.media, space or self.first.space, job_id)

    def versions(self) -> set[str]:
        return {path.name for path in self.store.folder.iterdir() if (path / "manifest.json").is_file()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path) -> Iterator[World]:
    with (
        pytest.MonkeyPatch.context() as patch,
        words_shop(tmp_path_factory.mktemp("words") / "home", database_url, prepared_home) as shop,
    ):
        made: list[TrainedText] = []
        really = job.train_text

        def remembered(*arguments: Any) -> TrainedText:
            made.append(really(*arguments))
            return made[0]

        patch.setattr(job, "train_text", remembered)
        first = train_text_model(shop.settings, shop.engine, TEXT, 1)
        patch.setattr(job, "train_text", lambda *_: made[0])
        yield World(shop, first, made[0])


def cut_off(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def test_a_model_that_is_not_worse_replaces_the_one_in_use(world: World) -> None:
    before = world.store.current()
    done = world.retrain(uuid4())
    assert done.decision is not None and done.decision.decision == "promoted", done.decision
    assert done.decision.champion == before and world.store.current() == done.version
    assert done.decision.comparison is not None
    assert done.decision.comparison["types"]["asked"] == len(world.made.held) > 0
    assert [path.name for path in (world.store.folder / TRIALS).iterdir()] == [done.version]
    told = TextModels(world.shop.engine, world.store, world.shop.settings.home / FOLDER)
    shown = told.categories()
    assert shown is not None and shown.decision == done.decision
    page = told.report().decode()
    assert done.version in page and "Which words a type comes from" in page


def test_a_worse_model_is_refused_and_begun_again_the_job_says_so_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, job_id = world.store.current(), uuid4()
    monkeypatch.setattr(job, "compare_classifiers", lambda *_: WORSE)
    done = world.retrain(job_id)
    assert done.decision is not None and done.decision.decision == "refused"
    assert "types: it is worse beyond chance" in done.decision.reason
    assert world.store.current() == before
    monkeypatch.setattr(job, "train_text", cut_off)
    monkeypatch.setattr(job, "compare_classifiers", cut_off)
    again = world.retrain(job_id)
    assert (again.version, again.decision) == (done.version, done.decision)


@pytest.mark.parametrize("where", ["_decided", "TextModelStore.use"])
def test_cut_off_after_it_was_written_the_job_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before, job_id, versions = world.store.current(), uuid4(), world.versions()
    monkeypatch.setattr(f"app.jobs.text.{where}", cut_off)
    with pytest.raises(KeyboardInterrupt):
        world.retrain(job_id)
    assert world.store.current() == before
    [written] = world.versions() - versions
    monkeypatch.undo()
    monkeypatch.setattr(job, "train_text", cut_off)
    done = world.retrain(job_id)
    assert done.version == written == world.store.current()
    assert done.decision is not None and done.decision.champion == before
    assert world.retrain(job_id).decision == done.decision


def test_a_small_catalogue_or_another_space_trains_no_words(world: World) -> None:
    few = world.texts()
    assert (few.categories.state, few.words.state) == ("not_run", "not_run")
    assert f"{PRODUCTS} products have a name and a type; 1000 are needed" in few.categories.reason
    assert any("not_run" in line for line in few.lines())


@pytest.fixture
def enough(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Small catalogues are enough, and are learned in no time."""
    monkeypatch.setattr(step, "LEAST_NAMED", 10)
    monkeypatch.setattr(step, "LEAST_SHOWN", 10)
    monkeypatch.setattr("models.training.shared.run.SharedOptions", lambda: SHARED)
    return world


def test_a_retraining_ends_with_words_and_asks_for_proposals(enough: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Really: classifiers, the gate, both text models. Begun again, it says the same."""
    monkeypatch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
    shop, job_id = enough.shop, uuid4()
    with transaction(shop.engine) as session:
        bare = update(Product).where(Product.sku == "p000")
        session.execute(bare.values(colour=None, colour_key=None))
    steps: list[str] = []
    options = RetrainOptions(TrainOptions(folds=2, variants=()))
    report = retrain(shop.settings, shop.engine, shop.media, options, Told(words=steps.append), job_id)
    assert report.promoted, report.gate
    told = report.to_json()
    json.dumps(told, allow_nan=False)
    assert {name: found["state"] for name, found in told["text"].items()} == {
        "categories": "promoted", "words": "promoted"
    }, told["text"]  # fmt: skip
    assert told["text"]["words"]["reason"] == "first shared space"
    assert told["text"]["categories"]["measured"]["rows"] > 0
    assert "shared space: placing the products" in steps
    container = assemble(shop.settings, shop.engine)
    try:
        [found] = [
            item for item in container.proposals.page(ProposalFilters(field="colour"), 100).items
            if item.product.sku == "p000"
        ]  # fmt: skip
        assert found.proposal.model_version == told["text"]["categories"]["version"]
        assert container.words.current().bundle.version == told["text"]["words"]["version"]
    finally:
        container.close()
    monkeypatch.setattr("app.jobs.shared.train_shared", cut_off)
    again = retrain(shop.settings, shop.engine, shop.media, options, None, job_id).to_json()
    assert again["text"] == told["text"] and again["version"] == told["version"]


def test_what_fails_with_words_leaves_the_rest_alone(enough: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("no such thing")

    monkeypatch.setattr(step, "retrain_text_model", broken)
    monkeypatch.setattr(step, "retrain_shared_space", lambda *_, **__: enough.texts)  # what is no training either
    found = enough.texts(uuid4())
    assert (found.categories.state, found.categories.reason) == ("failed", "ValueError: no such thing")
    assert found.words.state == "failed"


def test_a_database_that_is_away_begins_the_job_again(enough: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    monkeypatch.setattr(step, "retrain_text_model", away)
    with pytest.raises(OperationalError):
        enough.texts(uuid4())


def test_words_of_a_space_that_is_not_served_are_not_trained(enough: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "_served_space", lambda engine: "another")
    found = enough.texts(uuid4())
    assert found.categories.state == found.words.state == "not_run"
    assert found.words.reason == f"space another is served, and {enough.first.space} was trained in"


def test_photos_that_were_computed_are_proposed_from(world: World) -> None:
    """An import asks before its photos have bottlenecks; the job that computes them asks again."""
    shop = world.shop
    use_model(shop.settings.home, "by-hand")
    shop.add_product("late", shots(1, 1, first=500))
    container = assemble(shop.settings, shop.engine)
    try:
        done = run_bottlenecks(container, uuid4(), {"originals_only": True}, Reporter(io.StringIO()))
        assert done.result["vectors"] == 1 and done.result["proposals"]["proposals"] > 0
        idle = run_bottlenecks(container, uuid4(), {"originals_only": True}, Reporter(io.StringIO()))
        assert idle.result["proposals"] is None
    finally:
        container.close()
        world.store.use(world.first.version if world.first.version in world.versions() else max(world.versions()))
