"""The commands ``bottlenecks``, ``train``, ``evaluate`` and ``augment preview``, end to end on a small shop."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from app.cli.demo.scenes import KINDS
from app.cli.evaluate import read_cases
from app.cli.main import cli
from app.store.media import content_hash
from models.errors import BundleNotFound, PhotoError, UsageError
from models.training.evaluate import PhotoCase
from models.training.experiments.crops import BOXES
from models.values import VerdictName
from tests.app.learning import LearningShop, learning_shop, shots
from tests.contracts.tiny_backbone import say_seen
from tests.models.test_evaluate import KEYS

SKUS = ("cola", "beans", "rice", "tea", "soap", "éclair")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    """Six products of two photos each: k-NN serves alone, so nothing here waits for TensorFlow."""
    with learning_shop(tmp_path_factory.mktemp("commands") / "home", database_url, prepared_home) as made:
        for place, sku in enumerate(SKUS):
            made.add_product(sku, shots(place, 2), group="sweets" if sku == "éclair" else None)
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
def learned(shop: LearningShop) -> Iterator[tuple[LearningShop, dict[str, Any], dict[str, Any]]]:
    """The shop after ``bottlenecks`` and ``train``, and what the two printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
        filled = run(shop, "bottlenecks", "--variant", "blur")
        trained = run(shop, "train", "--folds", "2", "--variant", "blur")
        yield shop, filled, trained


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    """New photos of every product, a foreign one, a catalogue photo and a broken one."""
    rows = ["path,sku"]
    for place, sku in enumerate(SKUS):
        (tmp_path / f"{place}.jpg").write_bytes(shots(place, 1, first=7)[0])
        rows.append(f"{place}.jpg,{sku}")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(tmp_path / "f.png")
    (tmp_path / "leaked.jpg").write_bytes(shots(0, 1)[0])
    (tmp_path / "torn.jpg").write_bytes(shots(0, 1)[0][:700])
    rows += ["f.png,", "leaked.jpg,cola", "torn.jpg,tea"]
    (tmp_path / "photos.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return tmp_path / "photos.csv"


Learned = tuple[LearningShop, dict[str, Any], dict[str, Any]]


def test_bottlenecks_tells_what_it_computed_and_a_second_run_computes_nothing(learned: Learned) -> None:
    shop, filled, _ = learned
    assert (filled["photos"], filled["vectors"], filled["fill"]["new"]) == (12, 12, 24)
    assert filled["weights"] == "embedded"
    assert filled["network_ms_per_image"] > 0
    again = invoke(shop, "bottlenecks", "--variant", "blur")
    assert again.exit_code == 0
    assert "0 bottlenecks computed, 24 reused, 0 photos failed, 0 new in the k-NN memory" in again.stdout
    assert run(shop, "bottlenecks", "--originals-only")["network_ms_per_image"] is None


def test_train_prints_one_json_object_with_version_and_metrics(learned: Learned) -> None:
    _, filled, trained = learned
    assert set(trained) == {"version", "space", "metrics"}
    assert trained["space"] == filled["space"]
    assert trained["metrics"]["data"]["labels"] == 6
    assert set(trained["metrics"]["table3"]) == {"knn", "vote", "calibration"}


def test_train_tells_a_person_the_table_and_where_the_report_is(
    learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
    done = invoke(learned[0], "train", "--folds", "2", "--without-variants")
    assert done.exit_code == 0, done.output
    for words in ("6 labels (0 trained)", "Top-1", "knn", "vote", "(not calibrated)"):
        assert words in done.stdout
    report = Path(done.stdout.rsplit("report: ", 1)[1].strip())
    assert report.is_file()
    assert report.parent.parent == learned[0].settings.home / "bundles"


@pytest.fixture
def cola_seen(learned: Learned) -> Iterator[LearningShop]:
    """The shop, its backbone having been trained on both photos of one product, and on one that is asked about."""
    home = learned[0].settings.home
    say_seen(home, frozenset(map(content_hash, [*shots(0, 2), *shots(1, 1, first=7)])))
    yield learned[0]
    say_seen(home, frozenset())


def test_train_says_how_many_photos_the_backbone_has_seen_and_what_they_would_make_of_it(
    cola_seen: LearningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
    done = invoke(cola_seen, "train", "--folds", "2", "--without-variants")
    assert done.exit_code == 0, done.output
    assert "has seen 2 of 12 photos" in done.stderr
    assert "has seen 2 photos" in done.stdout
    assert "which flatters (12 photos)" in done.stdout
    assert done.stdout.count("Top-1") == 2
    say_seen(cola_seen.settings.home, frozenset(content_hash(d) for place in range(6) for d in shots(place, 2)))
    metrics = run(cola_seen, "train", "--folds", "2", "--without-variants")["metrics"]
    assert metrics["data"]["seen_by_backbone"] == metrics["table3_with_seen"]["calibration"]["photos"] == 12
    assert metrics["table3"] == {}
    assert metrics["verdict"]["calibrated"] is False
    assert "has seen every photo" in invoke(cola_seen, "train", "--folds", "2", "--without-variants").stdout


def test_evaluate_counts_photos_that_the_backbone_has_seen_as_leaked(cola_seen: LearningShop, listing: Path) -> None:
    found = run(cola_seen, "evaluate", "--photos", str(listing))
    assert (found["photos"], found["leaked_photos"]) == (8, 2)


def test_evaluate_json_has_exactly_the_contracts_keys_and_counts_every_kind_of_photo(
    learned: Learned, listing: Path
) -> None:
    done = invoke(learned[0], "evaluate", "--photos", str(listing), "--json")
    found = json.loads(done.stdout)
    assert set(found) == KEYS
    assert (found["photos"], found["known_photos"], found["foreign_photos"], found["leaked_photos"]) == (8, 7, 1, 1)
    assert found["vote"]["top1"] == found["knn"]["top1"] == 1.0
    assert found["fcn"]["top1"] is None
    assert [Path(item["path"]).name for item in found["unreadable"]] == ["torn.jpg"]
    assert "1 of 8 photos are catalogue photos" in done.stderr


def test_evaluate_tells_a_person_and_writes_a_report(learned: Learned, listing: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    done = invoke(learned[0], "evaluate", "--photos", str(listing), "--html", str(report))
    assert done.exit_code == 0, done.output
    for words in ("7 known and 1 foreign photos", "100.0 %", "n/a", "verdict:", "unreadable:", "torn.jpg"):
        assert words in done.stdout
    assert "data:image/jpeg;base64," in report.read_text("utf-8")


def test_evaluate_without_a_readable_photo_says_so_instead_of_failing(
    learned: Learned, listing: Path, tmp_path: Path
) -> None:
    (tmp_path / "only.csv").write_text("path,sku\ntorn.jpg,tea\n")
    report = tmp_path / "report.html"
    done = invoke(learned[0], "evaluate", "--photos", str(tmp_path / "only.csv"), "--html", str(report))
    assert done.exit_code == 0, done.output
    assert "0 known and 0 foreign photos" in done.stdout
    assert report.is_file()


def test_an_unlisted_sku_is_an_error_unless_allowed_and_then_foreign(
    learned: Learned, listing: Path, tmp_path: Path
) -> None:
    (tmp_path / "unlisted.csv").write_text("path,sku\n0.jpg,cola\n1.jpg,never heard of\n")
    with pytest.raises(UsageError, match=r"line 3: sku 'never heard of' .*--allow-unlisted"):
        invoke(learned[0], "evaluate", "--photos", str(tmp_path / "unlisted.csv"), "--json")
    found = run(learned[0], "evaluate", "--photos", str(tmp_path / "unlisted.csv"), "--allow-unlisted")
    assert (found["known_photos"], found["foreign_photos"]) == (1, 1)


def test_evaluate_before_training_says_what_to_run(
    tmp_path: Path, database_url: str, prepared_home: Path, listing: Path
) -> None:
    listing.write_text("path,sku\nf.png,\n")
    with (
        learning_shop(tmp_path / "home", database_url, prepared_home) as empty,
        pytest.raises(BundleNotFound, match="make train"),
    ):
        invoke(empty, "evaluate", "--photos", str(listing))


LABELS = {"cola": "cola", "éclair": "sweets", "m-1": "m"}


def cases(listing: Path, text: str | bytes, **options: bool) -> list[PhotoCase]:
    listing.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cases(listing, LABELS, **{"allow_unlisted": False, **options})


def test_a_sku_is_judged_by_its_label_and_an_empty_one_is_foreign(listing: Path) -> None:
    found = cases(listing, "sku,note,path\ncola,x,0.jpg\n m-1 ,y, 1.jpg \n,z,f.png\n")
    assert [(case.path.name, case.label) for case in found] == [("0.jpg", "cola"), ("1.jpg", "m"), ("f.png", None)]
    assert all(case.path.parent == listing.parent for case in found)


def test_a_byte_order_mark_and_windows_line_ends_are_fine(listing: Path) -> None:
    assert [c.label for c in cases(listing, b"\xef\xbb\xbfpath,sku\r\n0.jpg,cola\r\n")] == ["cola"]


def test_a_sku_in_another_unicode_form_is_the_same_sku(listing: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "éclair")
    assert decomposed != "éclair"
    assert [case.label for case in cases(listing, f"path,sku\n0.jpg,{decomposed}\n")] == ["sweets"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "found none"),
        ("photo,label\n0.jpg,cola\n", "found photo,label"),
        ("path\n0.jpg\n", "expected the columns path,sku"),
        ("path;sku\n0.jpg;cola\n", "expected the columns path,sku"),
        ("path,sku\n0.jpg\n", "line 2: a cell is missing"),
        ("path,sku\n0.jpg,cola\nnowhere.jpg,cola\n", "line 3: there is no file"),
        ("path,sku\n,cola\n", "line 2: there is no file"),
        ("path,sku\n0.jpg,tea\n", "line 2: sku 'tea'"),
        ("path,sku\n0.jpg,é\n".encode("latin-1"), "not a CSV in UTF-8"),
    ],
)
def test_a_listing_that_cannot_be_used_is_an_error_that_names_the_line(
    listing: Path, text: str | bytes, complaint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        cases(listing, text)
    assert complaint in str(caught.value)


def test_augment_preview_writes_a_contact_sheet(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(shots(1, 1)[0])
    arguments = ["augment", "preview", str(tmp_path / "photo.jpg")]
    done = CliRunner().invoke(cli, [*arguments, str(tmp_path / "sheet.png")], catch_exceptions=False)
    assert done.exit_code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 299
        first = np.asarray(sheet)
    CliRunner().invoke(cli, [*arguments, str(tmp_path / "other.png"), "--seed", "5"], catch_exceptions=False)
    with Image.open(tmp_path / "other.png") as sheet:
        assert not np.array_equal(np.asarray(sheet), first)


def test_augment_preview_of_what_is_no_photo_or_to_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(shots(1, 1)[0])
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(PhotoError):
        CliRunner().invoke(
            cli, ["augment", "preview", str(tmp_path / "text.jpg"), str(tmp_path / "o.png")], catch_exceptions=False
        )
    out = tmp_path / "no" / "folder" / "o.png"
    with pytest.raises(UsageError, match="existing folder"):
        CliRunner().invoke(cli, ["augment", "preview", str(tmp_path / "photo.jpg"), str(out)], catch_exceptions=False)


@pytest.fixture
def never_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every photo is looked at twice."""
    monkeypatch.setattr("models.verdict.Verdict.name", lambda self, probability: VerdictName.UNSURE)


def test_crops_measures_a_second_look_on_listed_photos(learned: Learned, listing: Path, never_sure: None) -> None:
    found = run(learned[0], "experiments", "crops", "--photos", str(listing), "--box", "middle 0.8", "--box", "rim 0.5")
    assert (found["asked"], found["looked_again"]) == (7, 7)
    assert [item["path"].rsplit("/")[-1] for item in found["unreadable"]] == ["torn.jpg"]
    assert [(row["box"], row["merge"]) for row in found["rows"]] == [
        (box, merge) for box in ("middle 0.8", "rim 0.5") for merge in ("crop", "both", "surer")
    ]
    middle = found["rows"][0]
    assert (middle["photos"], middle["suggested"], middle["foreign"]) == (7, 7, {"photos": 1, "accepted": 0})
    assert middle["mean_area"] == pytest.approx(0.64) and middle["top1_before"] >= 6 / 7
    assert found["second_look_ms"] > 0
    told = invoke(learned[0], "experiments", "crops", "--photos", str(listing))
    assert "7 photos of products, 7 looked at again" in told.stdout and "principal 0.7" in told.stdout


def test_crops_compares_every_way_on_the_catalogues_own_photos(learned: Learned, never_sure: None) -> None:
    found = run(learned[0], "experiments", "crops")
    assert found["catalogue"]["photos"] == 12 and found["asked"] == found["looked_again"] > 0
    assert len(found["rows"]) == 3 * len(BOXES)


def test_crops_refuses_two_measurements_at_once_and_scenes_without_the_demonstration(
    learned: Learned, listing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="give one of them"):
        invoke(learned[0], "experiments", "crops", "--photos", str(listing), "--rendered", "1")
    monkeypatch.setattr("app.cli.crops.draw_scenes", lambda folder, count, kind: [(listing.with_name("0.jpg"), "x")])
    with pytest.raises(UsageError, match="make demo"):
        invoke(learned[0], "experiments", "crops", "--rendered", "1")
    monkeypatch.setattr("app.cli.crops.draw_scenes", lambda folder, count, kind: [(listing.with_name("0.jpg"), "cola")])
    found = run(learned[0], "experiments", "crops", "--rendered", "1")
    assert {kind: row["asked"] for kind, row in found["kinds"].items()} == dict.fromkeys(KINDS, 1)


def test_crops_looks_again_at_unknown_photos_where_told_to(
    learned: Learned, listing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.verdict.Verdict.name", lambda self, probability: VerdictName.UNKNOWN)
    arguments = ("experiments", "crops", "--photos", str(listing), "--box", "middle 0.8")
    assert [run(learned[0], *arguments, *more)["looked_again"] for more in ((), ("--unknown",))] == [0, 7]
