"""Retention: what goes when, what stays, and the numbers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from app.config import Settings
from app.jobs.worker import WorkerTimes, _JobWorker
from app.services.forgetting import Removed
from app.services.retention import Retention
from app.store.database import transaction
from app.store.job_table import Job
from app.store.jobs import NewJob, add_job
from app.store.media import content_hash
from tests.app.api.review_world import CAP, ReviewWorld, ask, decide, picked, review_world

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[ReviewWorld]:
    with review_world(tmp_path_factory.mktemp("retention-home"), database_url) as made:
        yield made


@pytest.fixture
def world(shared: ReviewWorld) -> ReviewWorld:
    """The shop without a query."""
    with shared.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM queries")
    return shared


@pytest.fixture
def shopper(world: ReviewWorld) -> FlaskClient:
    return world.shopper(world.application())


def retention(world: ReviewWorld) -> Retention:
    """90 days; 730 where training takes the photo."""
    return Retention(world.engine, world.media, query_days=90, reviewed_photo_days=730, job_days=365)


def age(world: ReviewWorld, query_id: str, days: int) -> None:
    """Have a query happen so many days ago."""
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE queries SET created_at = now() - make_interval(days => :days) WHERE id = :id"),
            {"days": days, "id": query_id},
        )


def test_what_is_over_goes_with_its_photo_and_the_rest_stays(
    world: ReviewWorld, shopper: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    admin = world.admin(world.application())
    photos = [world.photo(CAP) for _ in range(4)]
    young, old, accepted = (picked(shopper, photo, "cap") for photo in photos[:3])
    ancient = picked(shopper, photos[3], "cap")
    plain = ask(shopper, world.photo(CAP), keep=False)
    for query_id in (accepted, ancient):
        assert decide(admin, query_id, "accept").status_code == 200
    for query_id, days in ((young, 89), (old, 91), (accepted, 729), (ancient, 731), (plain, 91)):
        age(world, query_id, days)
    assert retention(world).due() == 3
    with caplog.at_level("INFO", logger="app.services.retention"):
        assert retention(world).apply() == Removed(queries=3, picks=2, review_items=2, reviewed_photos=1, photos=2)
    assert "3 queries, 2 picks, 2 review items, 1 reviewed photos, 2 photos, 0 stray photos" in caplog.text
    assert [world.media.exists(content_hash(photo)) for photo in photos] == [True, False, True, False]
    assert world.count("queries") == 2 and world.count("reviewed_photos") == 1
    caplog.clear()
    assert retention(world).apply() == Removed() and caplog.text == ""


def test_an_acceptance_that_was_taken_back_stays_no_longer_than_others(
    world: ReviewWorld, shopper: FlaskClient
) -> None:
    admin = world.admin(world.application())
    query_id = picked(shopper, world.photo(CAP), "cap")
    etag = decide(admin, query_id, "accept").json["etag"]
    age(world, query_id, 100)
    assert retention(world).due() == 0
    decide(admin, query_id, "discard", etag)
    assert retention(world).apply().queries == 1


def test_a_photo_that_a_younger_query_or_the_catalogue_has_stays(world: ReviewWorld, shopper: FlaskClient) -> None:
    photo, own = world.photo(CAP), world.shop.photos["cap"]
    first, _ = (picked(shopper, photo, "cap") for _ in range(2))
    of_catalogue = picked(shopper, own, "cap")
    for query_id in (first, of_catalogue):
        age(world, query_id, 100)
    assert retention(world).apply() == Removed(queries=2, picks=2, review_items=2, reviewed_photos=0, photos=0)
    assert world.media.exists(content_hash(photo)) and world.media.exists(content_hash(own))


def test_jobs_go_a_while_after_their_end(world: ReviewWorld, caplog: pytest.LogCaptureFixture) -> None:
    ended = {days: uuid4() for days in (364, 366)}
    with transaction(world.engine) as session:
        for days, job_id in ended.items():
            assert add_job(session, NewJob(job_id, "bottlenecks", {}, exclusive=True)) is not None
            job = session.get_one(Job, job_id)
            job.state, job.finished_at = "succeeded", datetime.now(UTC) - timedelta(days=days)
    with caplog.at_level("INFO", logger="app.services.retention"):
        assert retention(world).apply() == Removed(jobs=1)
    assert "1 jobs" in caplog.text
    with transaction(world.engine) as session:
        assert session.get(Job, ended[364]) is not None and session.get(Job, ended[366]) is None


def test_reviewed_photos_stay_at_least_as_long_as_others(world: ReviewWorld, shopper: FlaskClient) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    assert decide(world.admin(world.application()), query_id, "accept").status_code == 200
    age(world, query_id, 50)
    assert Retention(world.engine, world.media, query_days=90, reviewed_photo_days=1, job_days=365).due() == 0


def test_several_at_once_share_the_work(world: ReviewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.retention.BATCH", 3)
    shopper = world.shopper(world.application())
    photo = world.photo(CAP)
    for _ in range(10):
        age(world, picked(shopper, photo, "cap"), 100)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: retention(world).apply(), range(3)))
    assert sum(removed.queries for removed in found) == 10
    assert sum(removed.photos for removed in found) == 1
    assert not world.media.exists(content_hash(photo))


def undeletable(world: ReviewWorld, photo: bytes) -> Path:
    """Have the store fail to delete a kept photo: a folder is where its bytes are expected."""
    file = world.home / "media" / content_hash(photo)[:2] / content_hash(photo) / "original"
    file.unlink()
    file.mkdir()
    return file


def test_a_photo_that_cannot_be_deleted_keeps_no_other_from_going(
    world: ReviewWorld, shopper: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    photos = [world.photo(CAP) for _ in range(4)]
    queries = [picked(shopper, photo, "cap") for photo in photos]
    for days, query_id in enumerate(queries, 100):
        age(world, query_id, days)
    stuck = undeletable(world, photos[1])
    assert retention(world).apply() == Removed(queries=3, picks=3, review_items=3, photos=3)
    assert f"query {queries[1]} cannot be removed" in caplog.text
    assert world.count("queries") == world.count("queries WHERE photo_hash IS NOT NULL") == 1
    stuck.rmdir()
    assert retention(world).apply() == Removed(queries=1, picks=1, review_items=1, photos=1)


def test_where_no_photo_can_be_deleted_it_ends_and_nothing_is_lost(world: ReviewWorld, shopper: FlaskClient) -> None:
    photos = [world.photo(CAP) for _ in range(2)]
    for photo in photos:
        age(world, picked(shopper, photo, "cap"), 100)
    stuck = [undeletable(world, photo) for photo in photos]
    assert retention(world).apply() == Removed()
    assert world.count("queries") == world.count("picks") == 2
    for folder in stuck:
        folder.rmdir()
    assert retention(world).apply().queries == 2


def test_a_worker_applies_it_by_itself_and_goes_on_after_a_failure(world: ReviewWorld, shopper: FlaskClient) -> None:
    photo = world.photo(CAP)
    for data in (photo, world.photo(CAP)):
        age(world, picked(shopper, data, "cap"), 100)
    stuck = undeletable(world, photo)

    async def until_due(task: asyncio.Task[None], number: int) -> None:
        while await asyncio.to_thread(retention(world).due) != number:
            assert not task.done()
            await asyncio.sleep(0.01)

    async def work() -> None:
        settings = Settings(home=world.home)  # type: ignore[call-arg]
        times = WorkerTimes(retention_s=0.01)
        worker = _JobWorker(settings, world.engine, times, asyncio.Event())
        task = asyncio.create_task(worker._apply_retention())
        async with asyncio.timeout(60):
            await until_due(task, 1)
            stuck.rmdir()
            await until_due(task, 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(work())
    assert world.count("queries") == 0


def test_the_command_removes_or_only_counts(world: ReviewWorld, shopper: FlaskClient) -> None:
    age(world, picked(shopper, world.photo(CAP), "cap"), 100)

    def run(*arguments: str) -> dict[str, int]:
        environment = {
            **os.environ,
            "PICKTURE_HOME": str(world.home),
            "PICKTURE_DATABASE_URL": world.engine.url.render_as_string(hide_password=False),
        }
        command = [sys.executable, "-m", "app", "retention", "--json", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        told: dict[str, int] = json.loads(done.stdout)
        return told

    assert run("--dry-run") == {"due": 1}
    assert run() == {
        "queries": 1, "picks": 1, "review_items": 1, "reviewed_photos": 0, "photos": 1, "stray_photos": 0,
        "jobs": 0,
    }  # fmt: skip
    assert run("--dry-run") == {"due": 0}
