"""Training and publishing: what becomes of a catalogue, twice in a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, update

from app.jobs.bottlenecks import fill_bottlenecks
from app.jobs.training import TrainOptions, TrainReport, plain_metrics, train_and_publish
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.media import content_hash
from app.store.tables import Bundle as BundleRow
from app.store.tables import Product
from models.bundle import Bundle, bundle_file, read_manifest
from models.errors import BackboneNotReady, NotEnoughData
from models.inspection import JUDGED_FILE, JudgedPhotos
from models.training.crossfit import CrossFitSettings
from models.training.fit.fcn import FcnSettings
from models.training.splits import Split
from tests.app.learning import LearningShop, learning_shop, shots

QUICK = CrossFitSettings(fcn=FcnSettings(learning_rate=0.01, max_steps=30), c_grid=(3.0,), hide_labels=False)


@pytest.fixture(autouse=True)
def few_foreign_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering a hundred takes eight seconds."""
    monkeypatch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)


@pytest.fixture
def shop(tmp_path: Path, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    """An empty shop."""
    with learning_shop(tmp_path / "home", database_url, prepared_home) as made:
        yield made


def train(shop: LearningShop, options: TrainOptions | None = None, told: list[str] | None = None) -> TrainReport:
    lines = told if told is not None else []
    options = options or TrainOptions(folds=2, variants=(), fit=QUICK)
    return train_and_publish(shop.settings, shop.engine, shop.media, options, lines.append)


def fill(shop: LearningShop, *variants: str) -> None:
    fill_bottlenecks(shop.settings, shop.engine, shop.media, variants=variants)


@dataclass(frozen=True)
class Trained:
    """A shop that has been trained twice, with photos added in between."""

    shop: LearningShop
    first: TrainReport
    second: TrainReport
    splits: tuple[Split, Split]
    told: list[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path) -> Iterator[Trained]:
    """Five labels of six photos, then of ten."""
    with (
        pytest.MonkeyPatch.context() as patch,
        learning_shop(tmp_path_factory.mktemp("trained") / "home", database_url, prepared_home) as shop,
    ):
        patch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
        for place, (sku, kind) in enumerate({"cola": "can", "beans": "can", "rice": "box", "tea": "box"}.items()):
            shop.add_product(sku, shots(place, 6), kind=kind)
        for size in ("s", "m"):  # sizes of one shirt: one label, the same photos, no type given
            shop.add_product(f"shirt-{size}", shots(4, 6), group="shirt")
        told: list[str] = []
        fill(shop)
        first = train(shop, told=told)
        split = Split.load(shop.settings.home / "splits" / "split.json")
        for place, sku in ((0, "cola"), (1, "beans"), (2, "rice"), (3, "tea"), (4, "shirt-s"), (4, "shirt-m")):
            for data in shots(place, 4, first=20):
                shop.add_photo(sku, data)
        fill(shop)
        second = train(shop)
        yield Trained(shop, first, second, (split, Split.load(shop.settings.home / "splits" / "split.json")), told)


def test_train_and_publish_publishes_a_bundle_that_loads_and_is_champion(trained: Trained) -> None:
    store = BundleStore(trained.shop.settings.home)
    with transaction(trained.shop.engine) as session:
        rows = {row.version: row for row in session.scalars(select(BundleRow))}
        champion = store.champion(session)
    assert champion is not None and champion.version == trained.second.version
    assert rows[trained.first.version].state == "retired"
    for report in (trained.first, trained.second):
        bundle = Bundle.load(report.folder)
        assert (bundle.version, bundle.space, bundle.weights) == (report.version, report.space, "embedded")
        assert rows[report.version].manifest_sha256 == bundle.manifest_sha256
        assert rows[report.version].metrics == bundle.metrics == json.loads(json.dumps(report.metrics, allow_nan=False))
        assert bundle.fcn is not None and bundle.svm is not None
        assert bundle.fcn.known == bundle.svm.known == {"cola", "beans", "rice", "tea", "shirt"}


def test_the_bundle_holds_what_operators_look_for(trained: Trained) -> None:
    manifest, _ = read_manifest(trained.second.folder)
    assert set(manifest["files"]) == {
        "fcn.npz",
        "svm.npz",
        "types.npz",
        "settings.json",
        "metrics.json",
        "split.json",
        "report.html",
        "judged.npz",
    }, "five labels are too few for a map, and nothing was varied"
    judged = JudgedPhotos.read(bundle_file(trained.second.folder, JUDGED_FILE) or b"")
    assert set(judged.labels) == {"cola", "beans", "rice", "tea", "shirt"} and judged.rules[0] == "vote"
    assert manifest["labels"] == 5
    assert {"python", "keras", "scikit-learn", "tensorflow", "openvino"} <= set(manifest["libraries"])
    report = (trained.second.folder / "report.html").read_text("utf-8")
    assert trained.second.version in report
    assert "data:image/jpeg;base64," in report
    assert trained.second.metrics["review"]["too_few"]["count"] == 5
    assert trained.told


def test_the_second_run_keeps_the_roles_of_the_split_and_places_the_new_photos(trained: Trained) -> None:
    first, second = trained.splits
    assert {h: second.places[h].role for h in first.places} == {h: p.role for h, p in first.places.items()}
    new = {content_hash(data) for place in range(5) for data in shots(place, 4, first=20)}
    assert set(second.places) - set(first.places) == new
    assert first.role("hold_out")
    stored = Split.load(trained.second.folder / "split.json")
    assert {h: p.role for h, p in stored.places.items()} == {h: p.role for h, p in second.places.items()}


def test_the_hold_out_is_in_no_fold_and_measured(trained: Trained) -> None:
    held = trained.splits[1].role("hold_out")
    assert trained.second.metrics["hold_out"]["photos"] == len(held)
    assert all(trained.splits[1].places[h].fold == -1 for h in held)


def test_predicted_types_are_stored_apart_for_every_product_that_has_none(trained: Trained) -> None:
    """Also for products of one group that share their photos."""
    with transaction(trained.shop.engine) as session:
        products = {p.sku: p for p in session.scalars(select(Product))}
    for sku in ("shirt-s", "shirt-m"):
        product = products[sku]
        assert product.type is None
        assert product.predicted_type in ("can", "box")
        assert product.effective_type_key == product.predicted_type_key == product.predicted_type
        assert product.predicted_type_confidence is not None and 0 < product.predicted_type_confidence <= 1
    for sku in ("cola", "beans", "rice", "tea"):
        assert products[sku].type in ("can", "box")
        assert products[sku].predicted_type is None
        assert products[sku].predicted_type_confidence is None


def test_a_predicted_type_comes_from_the_products_own_photos_and_goes_when_nothing_tells_it(
    shop: LearningShop,
) -> None:
    """The photos of the group's second product are listed before others: rows must not be mixed up."""
    for size in ("s", "m", "l"):
        shop.add_product(f"a-shirt-{size}", shots(4, 2), group="a-shirt")
    for name, place, kind in (("can", 0, "can"), ("box", 4, "box")):
        for number in range(3):
            shop.add_product(f"{name} {number}", shots(place, 2, first=10 * (number + 1)), kind=kind)
    shop.add_product("z-cola", shots(0, 2))
    fill(shop)
    train(shop)

    def guesses() -> dict[str, str | None]:
        with transaction(shop.engine) as session:
            rows = session.execute(select(Product.sku, Product.predicted_type).where(Product.type.is_(None)))
            return {row.sku: row.predicted_type for row in rows}

    assert guesses() == {"a-shirt-s": "box", "a-shirt-m": "box", "a-shirt-l": "box", "z-cola": "can"}
    with transaction(shop.engine) as session:
        session.execute(update(Product).values(type="thing", type_key="thing"))
        session.execute(update(Product).where(Product.sku == "z-cola").values(type=None, type_key=None))
    train(shop)
    assert guesses() == {"z-cola": None}


def test_photos_without_all_their_bottlenecks_are_left_out_and_said(shop: LearningShop) -> None:
    for place, sku in enumerate(("cola", "beans", "rice")):
        shop.add_product(sku, shots(place, 2))
    fill(shop, "blur")
    shop.add_product("tea", shots(3, 2))
    told: list[str] = []
    report = train(shop, TrainOptions(folds=2, variants=("blur",), fit=QUICK), told)
    assert (report.metrics["data"]["photos"], report.metrics["data"]["variants"]) == (6, 1)
    assert any(line.startswith("2 photos lack bottlenecks") for line in told)
    with pytest.raises(NotEnoughData, match=r"8 photos .* --without-variants"):
        train(shop, TrainOptions(folds=2, variants=("crop_top_left",), fit=QUICK))


def test_before_any_bottleneck_training_says_what_to_run(shop: LearningShop) -> None:
    shop.add_product("cola", shots(0, 2))
    with pytest.raises(BackboneNotReady, match="make train-bottlenecks"):
        train(shop)


def test_an_empty_catalogue_says_so_and_publishes_nothing(shop: LearningShop) -> None:
    fill(shop)
    with pytest.raises(NotEnoughData):
        train(shop)
    assert not (shop.settings.home / "bundles").exists()


def test_a_photo_the_store_has_lost_does_not_stop_the_report(shop: LearningShop) -> None:
    for place, sku in enumerate(("cola", "beans", "rice")):
        shop.add_product(sku, shots(place, 2))
    fill(shop)
    for place in range(3):
        for data in shots(place, 2):
            shop.media.delete(content_hash(data))
    assert Bundle.load(train(shop).folder).fcn is None


def test_what_an_earlier_training_wrote_and_never_recorded_goes_and_is_named(
    shop: LearningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.bundles.ORPHAN_AGE", timedelta(0))
    shop.add_product("cola", shots(0, 2))
    fill(shop)
    before = train(shop)
    orphan = shop.settings.home / "bundles" / "20260101T000000000Z"
    orphan.mkdir()
    told: list[str] = []
    report = train(shop, told=told)
    assert {folder.name for folder in orphan.parent.iterdir()} == {before.version, report.version}
    assert f"removed bundles that were written and never recorded: {orphan.name}" in told


def test_a_photo_listed_under_two_labels_trains(shop: LearningShop) -> None:
    for place, sku in enumerate(("cola", "beans", "rice")):
        shop.add_product(sku, [*shots(place, 1), *shots(5, 1)])
    fill(shop)
    metrics = train(shop).metrics
    assert metrics["data"]["photos"] == 6
    assert metrics["data"]["hold_out_photos"] == 0


def test_metrics_become_plain_json() -> None:
    measured = {"a": np.float32(0.5), "b": (np.int64(3), True, np.bool_(False)), "c": [np.nan, float("inf")], 4: "x"}
    assert plain_metrics(measured) == {"a": 0.5, "b": [3, True, False], "c": [None, None], "4": "x"}
    json.dumps(plain_metrics(measured), allow_nan=False)
