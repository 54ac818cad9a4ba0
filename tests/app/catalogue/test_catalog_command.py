"""``python -m app catalog ...`` from arguments to output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from app.cli.catalog import command
from models.errors import UsageError
from tests.app.catalogue.conftest import RED, photo, write_folder

TABLE = "sku,name,price\n1,우유,1.50\n2,bad,x\n"


@pytest.fixture
def invoke(database: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("PICKTURE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PICKTURE_DATABASE_URL", database.url.render_as_string(hide_password=False))

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(command, [str(item) for item in arguments], catch_exceptions=False)

    return run


def test_import_as_json_is_one_object(invoke: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", TABLE, {"1/a.jpg": photo(RED)})
    result = invoke("import", folder, "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (report["applied"], report["added"], report["images_added"]) == (True, 1, 1)
    assert report["problems"] == [
        {"line": 3, "sku": "2", "field": "price", "value": "x", "reason": report["problems"][0]["reason"]}
    ]
    assert any((tmp_path / "home" / "media").rglob("original"))


def test_import_for_people(invoke: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", TABLE, {"1/a.jpg": photo(RED)})
    dry = invoke("import", folder, "--dry-run").stdout
    assert "dry run, nothing was written" in dry
    result = invoke("import", folder)
    assert "1 added, 0 changed, 0 unchanged" in result.stdout
    assert "line 3, sku 2: price 'x' is not a price" in result.stdout


def test_strict_exits_with_one(invoke: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", TABLE)
    result = invoke("import", folder, "--strict")
    assert result.exit_code == 1
    assert "refused, nothing was written" in result.stdout
    good = write_folder(tmp_path / "good", "sku\n1\n")
    assert invoke("import", good, "--strict").exit_code == 0


def test_lint_and_duplicates(invoke: Any, tmp_path: Path) -> None:
    same = photo(RED)
    invoke("import", write_folder(tmp_path / "in", "sku\n1\n2\n", {"1/a.jpg": same, "2/a.jpg": same}))
    report = json.loads(invoke("lint", "--json").stdout)
    assert (report["products"], report["photos"]) == (2, 2)
    assert "shared_photo" in {finding["code"] for finding in report["findings"]}
    assert "2 products, 2 labels, 2 photos" in invoke("lint").stdout
    [found] = json.loads(invoke("duplicates", "--json").stdout)["duplicates"]
    assert (found["skus"], found["same_label"]) == (["1", "2"], False)
    assert "2 labels" in invoke("duplicates").stdout


def test_convert_and_photo_list(tmp_path: Path) -> None:
    source = tmp_path / "src"
    for place in ("train/a/Big-Cup_1.jpg", "val/a/Big-Cup_1.jpg", "iconic/A/Cup/Big-Cup/i.jpg"):
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        (source / place).write_bytes(photo(RED))
    (source / "iconic/A/Cup/Big-Cup/d_Description.txt").write_text("A cup.")
    (source / "classes.csv").write_text(
        "n,i,c,ci,p,d\nBig-Cup,0,Cup,0,/iconic/A/Cup/Big-Cup/i.jpg,/iconic/A/Cup/Big-Cup/d_Description.txt\n"
    )
    for split in ("train", "val"):
        (source / f"{split}.txt").write_text(f"{split}/a/Big-Cup_1.jpg, 0, 0\n")
    run = CliRunner()
    arguments = [
        "convert",
        "grocery-store",
        str(source),
        str(tmp_path / "out"),
        "--splits",
        "train,val",
        "--json",
    ]
    result = run.invoke(command, arguments, catch_exceptions=False)
    assert json.loads(result.stdout) == {
        "products": 1, "photos": 3, "products_without_photos": 0, "path": str(tmp_path / "out"),
    }  # fmt: skip
    result = run.invoke(command, ["photos", "grocery-store", str(source), str(tmp_path / "val.csv")])
    assert (tmp_path / "val.csv").read_text().splitlines() == ["path,sku", "src/val/a/Big-Cup_1.jpg,Big-Cup"]
    with pytest.raises(UsageError, match="expected some of train, val, test"):
        run.invoke(
            command,
            ["convert", "grocery-store", str(source), str(tmp_path / "o2"), "--splits", "all"],
            catch_exceptions=False,
        )
