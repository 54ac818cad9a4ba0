"""The commands ``text train``, ``evaluate``, ``classify`` and ``proposals``, end to end on a small shop."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli.main import cli
from app.cli.text import _DEFAULTS
from models.errors import BundleNotFound, NotEnoughData, UsageError
from tests.app.learning import LearningShop, learning_shop, shots

KINDS = ("shirt", "watch", "mug")
INPUTS = ("name", "name_masked", "image", "fused", "fused_masked")


def write_catalogue(folder: Path, first: int, count: int, pictures: int) -> Path:
    """Products of three types in turn, the first ones with a photo."""
    folder.mkdir()
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("sku", "name", "type", "category", "colour", "listed_at"))
        for number in range(first, first + count):
            kind = KINDS[number % 3]
            table.writerow((f"p{number}", f"Akko {kind} A{number}", kind, f"Goods > {kind}", "Blue", "2012-06-01"))
    for number in range(first, first + pictures):
        inside = folder / "images" / f"p{number}"
        inside.mkdir(parents=True)
        (inside / "1.jpg").write_bytes(shots(number % 3, 1, first=number)[0])
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    root = tmp_path_factory.mktemp("text")
    with learning_shop(root / "home", database_url, prepared_home) as made:
        assert invoke(made, "catalog", "import", str(write_catalogue(root / "shop", 0, 120, 9))).exit_code == 0
        assert invoke(made, "bottlenecks", "--originals-only").exit_code == 0
        yield made


def invoke(shop: LearningShop, *arguments: str) -> Result:
    environment = {
        "PICKTURE_HOME": str(shop.settings.home),
        "PICKTURE_DATABASE_URL": str(shop.settings.database_url),
    }
    return CliRunner().invoke(cli, list(arguments), env=environment, catch_exceptions=False)


def run(shop: LearningShop, *arguments: str) -> dict[str, Any]:
    done = invoke(shop, *arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return found


@pytest.fixture(scope="module")
def trained(shop: LearningShop) -> dict[str, Any]:
    """What ``text train`` printed."""
    with pytest.raises(BundleNotFound, match="text train"):
        invoke(shop, "text", "classify", "--name", "Akko shirt")
    small = replace(_DEFAULTS, epochs=3, buckets=512, embedded=16, width=32, learning_rate=0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.cli.text._DEFAULTS", small)
        return run(shop, "text", "train", "--vocabulary", "200", "--only", "categories")


def test_training_measures_and_says_so(trained: dict[str, Any]) -> None:
    data = trained["metrics"]["data"]
    assert (data["rows"], data["with_image"], data["types"]) == (120, 9, 3)
    assert trained["metrics"]["measured"]["rows"] == data["test"]


def test_evaluate_prints_what_the_contract_says(shop: LearningShop, trained: dict[str, Any], tmp_path: Path) -> None:
    found = run(shop, "text", "evaluate", str(write_catalogue(tmp_path / "held", 200, 30, 3)))
    assert set(found) == {"rows", "with_image", *INPUTS, "calibration"}
    assert (found["rows"], found["with_image"]) == (30, 3)
    assert all(set(found[name]) == {"accuracy", "top5", "macro_f1"} for name in INPUTS)
    assert set(found["calibration"]) == {"ece", "threshold", "precision", "answered"}
    assert found["name"]["accuracy"] == 1.0 and found["fused"]["accuracy"] >= 2 / 3
    assert "accuracy" in invoke(shop, "text", "evaluate", str(tmp_path / "held")).output


def test_a_folder_without_types_is_refused(shop: LearningShop, trained: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("sku,name\na,Akko shirt\n", "utf-8")
    with pytest.raises(NotEnoughData, match="type"):
        invoke(shop, "text", "evaluate", str(tmp_path))


def test_classify_takes_a_name_a_picture_or_both(shop: LearningShop, trained: dict[str, Any], tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(shots(0, 1, first=50)[0])
    named = run(shop, "text", "classify", "--name", "Akko watch A7")
    assert named["types"][0]["type"] == "watch" and named["category"] == "Goods > watch"
    assert named["model_version"] == trained["version"]
    both = run(shop, "text", "classify", "--name", "Akko watch A7", "--image", str(photo))
    assert both["types"][0]["probability"] != named["types"][0]["probability"]
    assert len(run(shop, "text", "classify", "--image", str(photo))["types"]) == 3
    with pytest.raises(UsageError, match="--name"):
        invoke(shop, "text", "classify")


def test_an_import_proposes_what_its_rows_lack(shop: LearningShop, trained: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("sku,name\nbare,Akko mug A999\n", "utf-8")
    assert "proposals for 1 products" in invoke(shop, "catalog", "import", str(tmp_path)).stderr
    found = {item["field"]: item for item in run(shop, "proposals", "list")["proposals"]}
    assert {"colour", "season"} <= set(found) and found["season"]["value"] == "Summer"
    for action, field in (("accept", "colour"), ("reject", "season")):
        assert run(shop, "proposals", action, str(found[field]["id"]))["decided"] == 1
    assert {item["field"] for item in run(shop, "proposals", "list")["proposals"]} <= {"type", "category"}
    assert run(shop, "proposals", "make")["withdrawn"] == 0
    again = run(shop, "proposals", "reject", str(found["colour"]["id"]))
    assert again["decided"] == 0 and "was accepted before" in again["results"][0]["problem"]
    assert run(shop, "catalog", "import", str(tmp_path))["unchanged"] == 1  # what was accepted stays


def test_stop_words_are_shown_and_approved(shop: LearningShop, trained: dict[str, Any]) -> None:
    assert run(shop, "text", "stop-words")["approved"] == {}
    assert run(shop, "text", "stop-words", "--approve", "Goods", "Akko")["approved"] == {"Goods": ["akko"]}
    assert run(shop, "text", "stop-words", "--withdraw", "Goods", "akko")["approved"] == {}
