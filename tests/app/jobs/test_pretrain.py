"""Catalogue folders become sources of backbone training; split files find theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from app.cli.main import cli
from app.jobs import pretrain as jobs
from app.jobs.pretrain import pretrain_on_catalogues
from models.errors import UsageError
from models.training.pretrain.run import Material, Recipe
from models.training.splits import PhotoPlace, Split


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Material, Recipe]]:
    """What the pipeline would have been given."""
    found: list[tuple[Material, Recipe]] = []

    def pretrain(folder: Path, material: Material, recipe: Recipe, say: object) -> Path:
        found.append((material, recipe))
        return folder

    monkeypatch.setattr(jobs, "pretrain", pretrain)
    return found


def catalogue(folder: Path, sku: str) -> Path:
    (folder / "images" / sku).mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "images" / sku / "one.png")
    (folder / "products.csv").write_text(f"sku,name,type\n{sku},A {sku},tin\n", "utf-8")
    return folder


def split_file(path: Path) -> Path:
    Split({path.stem * 16: PhotoPlace("train", 0, 0)}, 2).save(path)
    return path


def run(tmp_path: Path, catalogues: list[Path], splits: list[tuple[Path, Path]]) -> Any:
    return pretrain_on_catalogues(tmp_path / "out", catalogues, splits, None, Recipe(), "EUR", lambda line: None)


def test_a_split_finds_its_catalogue_however_it_is_spelt(
    given: list[tuple[Material, Recipe]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, file = catalogue(tmp_path / "shop", "cola"), split_file(tmp_path / "a.json")
    (tmp_path / "link").symlink_to(shop)
    monkeypatch.chdir(tmp_path)
    for spelling in (shop, Path("shop"), Path("shop/../shop"), tmp_path / "link"):
        run(tmp_path, [Path("./shop"), shop], [(spelling, file)])
        material, _ = given.pop()
        assert [(photo.source, photo.label, photo.type) for photo in material.photos] == [("shop", "cola", "tin")]
        assert set(material.splits["shop"].places) == {"a" * 16}


def test_a_split_of_no_catalogue_and_two_of_one_are_refused(
    given: list[tuple[Material, Recipe]], tmp_path: Path
) -> None:
    shop, other = catalogue(tmp_path / "shop", "cola"), catalogue(tmp_path / "other", "rice")
    first, second = split_file(tmp_path / "a.json"), split_file(tmp_path / "b.json")
    with pytest.raises(UsageError, match=r"--split names .*other, which no --catalog does"):
        run(tmp_path, [shop], [(other, first)])
    with pytest.raises(UsageError, match="shop twice"):
        run(tmp_path, [shop], [(shop, first), (shop / ".." / "shop", second)])
    assert not given


def test_sources_have_names_of_their_own(given: list[tuple[Material, Recipe]], tmp_path: Path) -> None:
    folders = [
        catalogue(tmp_path / "one" / "shop", "cola"),
        catalogue(tmp_path / "two" / "shop", "rice"),
        catalogue(tmp_path / "shop-2", "tea"),
        catalogue(tmp_path / "rendered", "beans"),
    ]
    run(tmp_path, folders, [(folders[1], split_file(tmp_path / "a.json"))])
    material, _ = given.pop()
    names = {photo.label: photo.source for photo in material.photos}
    assert names == {"cola": "shop", "rice": "shop-2", "tea": "shop-2-2", "beans": "rendered-2"}
    assert set(material.splits) == {"shop-2"}


def test_the_command_hands_its_options_over(given: list[tuple[Material, Recipe]], tmp_path: Path) -> None:
    shop = catalogue(tmp_path / "shop", "cola")
    words = ["pretrain", "--catalog", str(shop), "--split", str(shop), str(split_file(tmp_path / "a.json"))]
    words += ["--source-weight", "shop", "0.45", "--source-weight", "rendered", "0.2", "--precision", "mixed_float16"]
    words += ["--match", "5x75,2x99", "--rendered", "3", "--json"]
    environment = {"PICKTURE_HOME": str(tmp_path / "home")}
    done = CliRunner().invoke(cli, words, env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    material, recipe = given.pop()
    assert set(material.splits) == {"shop"}
    assert recipe.sources == (("shop", 0.45), ("rendered", 0.2))
    assert (recipe.precision, recipe.rendered) == ("mixed_float16", 3)
    assert [(phase.until, phase.size) for phase in recipe.match] == [(5, 75), (7, 99)]
