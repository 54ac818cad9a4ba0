"""Training the shared space as a job: placed, served, compared with the one in service, cut off and begun again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app.jobs import shared as job
from app.jobs.shared import SharedTraining, retrain_shared_space, train_shared_space
from app.services.words import FOLDER, SharedInService
from app.store.database import transaction
from app.store.shared_tables import SharedSpaceRow
from app.store.shared_vectors import nearest_labels
from app.store.tables import Product
from models.errors import NotEnoughData
from models.multimodal.shared_bundle import SharedParts
from tests.app.jobs.words_shop import PRODUCTS, SHARED, SHOWN, words_shop
from tests.app.learning import LearningShop, learning_shop

WORSE = {
    "words": {
        "asked": 100, "champion": 0.9, "challenger": 0.5, "difference": -0.4, "low": -0.5, "high": -0.3, "p_worse": 0.0,
    }
}  # fmt: skip


@dataclass
class World:
    """The shop after its first training. parts: what that learned, to be given again in no time."""

    shop: LearningShop
    first: SharedTraining
    parts: SharedParts

    def retrain(self, job_id: UUID | None = None) -> SharedTraining:
        return retrain_shared_space(self.shop.settings, self.shop.engine, self.shop.media, job_id, SHARED)

    @property
    def folder(self) -> Path:
        return self.shop.settings.home / FOLDER

    def versions(self, of: str = "") -> set[str]:
        return {path.name for path in (self.folder / of).iterdir() if path.is_dir()} - {job.TRIALS}

    def states(self) -> dict[str, str]:
        with transaction(self.shop.engine) as session:
            return {row.version: row.state for row in session.scalars(select(SharedSpaceRow))}

    def live(self) -> str:
        return SharedInService(self.shop.engine, self.folder).current().bundle.version


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path) -> Iterator[World]:
    with (
        pytest.MonkeyPatch.context() as patch,
        words_shop(tmp_path_factory.mktemp("shared") / "home", database_url, prepared_home) as shop,
    ):
        made: list[SharedParts] = []

        def remembered(*arguments: Any) -> SharedParts:
            made.append(job_train(*arguments))
            return made[0]

        job_train = job.train_shared
        patch.setattr(job, "train_shared", remembered)
        first = train_shared_space(shop.settings, shop.engine, shop.media, SHARED)
        patch.setattr(job, "train_shared", lambda *_: made[0])
        yield World(shop, first, made[0])


def cut_off(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_every_product_is_placed_and_found(world: World) -> None:
    assert world.first.placed == PRODUCTS and world.first.decision is None
    data = world.first.metrics["data"]
    assert (data["products"], data["with_photo"]) == (PRODUCTS, SHOWN) and data["planted"] > 0
    assert world.first.metrics["measured"]["products"] == len(world.parts.held) > 0
    served = SharedInService(world.shop.engine, world.folder).current()
    with transaction(world.shop.engine) as session:
        found = nearest_labels(session, served.id, served.bundle.shared.query("Akko Red shirt A0"), 5, None)
        assert len(found) == 5
        assert set(session.scalars(select(Product.sku))) >= {label for label, _ in found}


def test_a_version_that_is_not_worse_replaces_the_one_in_service(world: World) -> None:
    before = world.live()
    done = world.retrain(uuid4())
    assert done.decision is not None and done.decision.decision == "promoted", done.decision
    assert done.decision.champion == before and done.decision.reason.startswith("not worse")
    assert done.decision.comparison is not None and done.decision.comparison["names"]["difference"] == 0.0
    assert world.live() == done.version and done.placed == PRODUCTS
    assert world.versions(job.TRIALS) == {done.version}
    assert world.states()[before] == "retired"


def test_a_worse_version_is_refused_with_the_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before, job_id = world.live(), uuid4()
    monkeypatch.setattr(job, "compare_spaces", lambda *_: WORSE)
    done = world.retrain(job_id)
    assert done.decision is not None and done.decision.decision == "refused"
    assert "words: it is worse beyond chance" in done.decision.reason and done.placed == 0
    assert world.live() == before and done.version not in world.states()
    # Begun again, the job says the same of the same version, and nothing is trained.
    monkeypatch.setattr(job, "train_shared", cut_off)
    monkeypatch.setattr(job, "compare_spaces", cut_off)
    again = world.retrain(job_id)
    assert (again.version, again.decision) == (done.version, done.decision)
    monkeypatch.undo()
    assert world.retrain(uuid4()).decision != done.decision
    assert done.version not in world.versions()


@pytest.mark.parametrize("where", ["_decided", "publish_shared"])
def test_cut_off_after_it_was_written_the_job_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before, job_id, versions = world.live(), uuid4(), world.versions()
    monkeypatch.setattr(job, where, cut_off)
    with pytest.raises(KeyboardInterrupt):
        world.retrain(job_id)
    assert world.live() == before
    [written] = world.versions() - versions
    monkeypatch.undo()
    monkeypatch.setattr(job, "train_shared", cut_off)
    done = world.retrain(job_id)
    assert done.version == written == world.live() and done.placed == PRODUCTS
    assert done.decision is not None and done.decision.champion == before
    again = world.retrain(job_id)
    assert (again.version, again.decision, again.placed) == (written, done.decision, PRODUCTS)


def test_what_was_cut_off_while_it_was_written_goes(world: World) -> None:
    leftover = world.folder / ".20260101T000000000Z-cut"
    leftover.mkdir()
    (world.folder / "20260101T000000000Z-0123456789ab").mkdir()  # of another job
    world.retrain(uuid4())
    assert not leftover.exists() and "20260101T000000000Z-0123456789ab" not in world.versions()


def test_where_nothing_can_be_compared_the_newer_one_is_served(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = replace(world.parts, trial=None, held=())
    monkeypatch.setattr(job, "train_shared", lambda *_: bare)
    done = world.retrain(uuid4())
    assert done.decision is not None and "cannot be compared with" in done.decision.reason
    assert world.live() == done.version


def test_a_shop_without_photos_has_no_shared_space(tmp_path: Path, database_url: str, prepared_home: Path) -> None:
    with learning_shop(tmp_path / "home", database_url, prepared_home) as shop:
        shop.add_product("bare", [])
        with pytest.raises(Exception, match="train-bottlenecks") as raised:
            train_shared_space(shop.settings, shop.engine, shop.media, SHARED)
        assert not isinstance(raised.value, NotEnoughData)
        assert SharedInService(shop.engine, shop.settings.home / FOLDER).now() is None
