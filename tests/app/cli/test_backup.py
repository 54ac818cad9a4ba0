"""A shop backed up while it lives, restored onto an empty machine, and answering as before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli.main import cli
from app.config import Settings
from app.factory import create_app
from app.services.words import FOLDER as SHARED_FOLDER
from app.store.text_models import TextModelStore
from app.store.whole_backup import DUMP, MANIFEST, verify_backup
from app.wiring import build_container
from models.errors import UsageError
from models.multimodal.shared_bundle import SharedBundle
from tests.app.learning import LearningShop, learning_shop, shots
from tests.app.store.world import new_database
from tests.app.text_world import use_model
from tests.shared_world import made_bundle

SKUS = ("cola", "beans", "rice")


def invoke(home: Path, url: str, *arguments: str) -> Result:
    environment = {"PICKTURE_HOME": str(home), "PICKTURE_DATABASE_URL": url}
    return CliRunner().invoke(cli, list(arguments), env=environment)


def run(home: Path, url: str, *arguments: str) -> dict[str, Any]:
    done = invoke(home, url, *arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    """Three products of two photos each, served by k-NN alone: nothing here waits for TensorFlow."""
    with learning_shop(tmp_path_factory.mktemp("backed-up") / "home", database_url, prepared_home) as made:
        for place, sku in enumerate(SKUS):
            made.add_product(sku, shots(place, 2))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
            place = (made.settings.home, str(made.settings.database_url))
            run(*place, "bottlenecks", "--originals-only")
            run(*place, "train", "--folds", "2", "--without-variants")
            run(*place, "keys", "create", "--role", "admin")
        use_model(made.settings.home, "text-1")
        TextModelStore(made.settings.home).approve("Wear", "free")
        made_bundle(made.settings.home / SHARED_FOLDER, ["red cola", "beans"], "words-1")
        yield made


@pytest.fixture
def machine(tmp_path: Path, database_url: str) -> Iterator[tuple[Path, str]]:
    """An empty machine: a state folder that is not there, and a database without tables."""
    with new_database(database_url) as url:
        yield tmp_path / "new-home", url.render_as_string(hide_password=False)


def place_of(shop: LearningShop) -> tuple[Path, str]:
    return shop.settings.home, str(shop.settings.database_url)


def test_a_shop_is_restored_onto_an_empty_machine_and_answers_as_before(
    shop: LearningShop, machine: tuple[Path, str], tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(shots(1, 1, first=9)[0])
    before = run(*place_of(shop), "recognize", str(photo))
    made = run(*place_of(shop), "backup", "create", str(tmp_path / "backup"))
    assert made["media"] is True
    shutil.move(tmp_path / "backup", tmp_path / "carried-away")
    done = run(*machine, "backup", "restore", str(tmp_path / "carried-away"))
    assert done["problems"] == [] and done["files"] == made["files"]
    after = run(*machine, "recognize", str(photo))
    for told in (before, after):
        told.pop("timings_ms", None)
        told.pop("query_id", None)
    assert after == before
    assert before["candidates"]
    assert run(*machine, "keys", "list")["keys"] == run(*place_of(shop), "keys", "list")["keys"]
    _serves(machine)
    texts = TextModelStore(machine[0])
    assert texts.load().version == "text-1" and texts.stop_words() == {"Wear": ["free"]}
    assert SharedBundle.load(machine[0] / SHARED_FOLDER / "words-1").version == "words-1"
    assert run(*machine, "bottlenecks", "--originals-only")["vectors"] == 0, "the k-NN memory came with the database"


def _serves(machine: tuple[Path, str]) -> None:
    """The restored shop, over HTTP: ready, and its photos are there."""
    settings = Settings(home=machine[0], database_url=machine[1])  # type: ignore[call-arg]
    container = build_container(settings)
    try:
        client = create_app(container).test_client()
        assert client.get("/readyz").status_code == 200
        key = container.access.create_key("admin").key
        listed = client.get("/v1/products", headers={"Authorization": f"Bearer {key}"}).json["items"]
        assert sorted(item["sku"] for item in listed) == sorted(SKUS)
        assert {client.get(item["image_url"]).status_code for item in listed} == {200}
    finally:
        container.close()


def test_a_second_backup_copies_what_is_new_and_forgets_what_is_gone(shop: LearningShop, tmp_path: Path) -> None:
    target, home = tmp_path / "backup", shop.settings.home
    first = run(*place_of(shop), "backup", "create", str(target))
    again = run(*place_of(shop), "backup", "create", str(target))
    assert (again["copied"], again["removed"], again["files"]) == (0, 0, first["files"])
    extra = home / "media" / "zz" / "original"
    extra.parent.mkdir()
    extra.write_bytes(b"a kept photo")
    assert run(*place_of(shop), "backup", "create", str(target))["copied"] == 1
    assert (target / "media" / "zz" / "original").read_bytes() == b"a kept photo"
    shutil.rmtree(extra.parent)
    assert run(*place_of(shop), "backup", "create", str(target))["removed"] == 1
    assert not (target / "media" / "zz").exists()
    assert run(*place_of(shop), "backup", "verify", str(target))["files"] == first["files"]


def test_a_backup_is_its_owner_s_alone(shop: LearningShop, tmp_path: Path) -> None:
    run(*place_of(shop), "backup", "create", str(tmp_path / "backup"))
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0
    assert (tmp_path / "backup" / DUMP).stat().st_mode & 0o077 == 0


def test_what_is_damaged_or_unfinished_is_not_restored(
    shop: LearningShop, machine: tuple[Path, str], tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    run(*place_of(shop), "backup", "create", str(target))
    [photo, *_] = sorted((target / "media").rglob("original"))
    data = bytearray(photo.read_bytes())
    data[len(data) // 2] ^= 1
    photo.write_bytes(data)
    assert "not as it was backed up" in str(invoke(*machine, "backup", "restore", str(target)).exception)
    assert not machine[0].joinpath("media").exists(), "nothing was copied"
    (target / MANIFEST).unlink()
    with pytest.raises(UsageError, match="no whole backup"):
        verify_backup(target)


@pytest.mark.parametrize("place", ["../outside", "media/../../outside", "/etc/passwd", "postgres/data", "media"])
def test_a_manifest_names_only_what_backups_hold(tmp_path: Path, place: str) -> None:
    entry = {"size_bytes": 1, "sha256": "0", "mtime_ns": 0}
    (tmp_path / MANIFEST).write_text(json.dumps({"format": 1, "media": True, "files": {place: entry}}))
    with pytest.raises(UsageError, match="no backup of ours"):
        verify_backup(tmp_path)


def test_nothing_is_written_over(shop: LearningShop, machine: tuple[Path, str], tmp_path: Path) -> None:
    target = tmp_path / "backup"
    run(*place_of(shop), "backup", "create", str(target))
    stranger = machine[0] / "media" / "aa" / "original"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"another shop's")
    assert "is not empty" in str(invoke(*machine, "backup", "restore", str(target)).exception)
    assert "already has" in str(invoke(machine[0].parent / "third", place_of(shop)[1],
                                       "backup", "restore", str(target)).exception)  # fmt: skip
    full = tmp_path / "full"
    full.mkdir()
    (full / "diary.txt").write_text("mine")
    assert "no part of a backup" in str(invoke(*place_of(shop), "backup", "create", str(full)).exception)
    inside = shop.settings.home / "media" / "backup"
    assert "lies in media/" in str(invoke(*place_of(shop), "backup", "create", str(inside)).exception)
