"""The commands ``yardstick`` and ``experiments``, end to end on small photos."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli.main import cli
from app.jobs import experiments as jobs
from app.jobs.bottlenecks import catalogue_images, fill_bottlenecks
from app.jobs.experiments import RenderedPhoto, catalogue_data, write_result
from app.store.database import transaction
from app.store.tables import Category, Product
from augment.render import make_catalogue
from models.errors import NotEnoughData, SplitError, UsageError, WeightsNotFound
from models.training import yardstick
from models.training.bottlenecks.cache import open_cache
from models.training.scenes import cluster_scenes
from models.training.splits import make_split
from tests.app.learning import LearningShop, learning_shop, shots

SKUS = ("cola", "beans", "rice", "tea")


def invoke(home: Path, *arguments: str, url: str | None = None) -> Result:
    environment = {"PICKTURE_HOME": str(home), "PICKTURE_DATABASE_URL": url}
    return CliRunner().invoke(cli, list(arguments), env=environment, catch_exceptions=False)


# Yardstick


@pytest.fixture(scope="module")
def bare_home(tmp_path_factory: pytest.TempPathFactory, prepared_home: Path) -> Path:
    """A state folder with a prepared backbone and nothing else; no database."""
    home = tmp_path_factory.mktemp("bare")
    (home / "backbones").symlink_to(prepared_home / "backbones")
    return home


@pytest.fixture(scope="module")
def listings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Eight photos a product to train on, two to test; beside the latter a foreign one, a stranger, a torn file and a
    training photo."""
    folder = tmp_path_factory.mktemp("photos")
    rows: dict[str, list[str]] = {"train": ["path,sku"], "test": ["path,sku"]}
    for place, sku in enumerate(SKUS):
        for number, data in enumerate(shots(place, 10)):
            (folder / f"{sku}-{number}.jpg").write_bytes(data)
            rows["train" if number < 8 else "test"].append(f"{sku}-{number}.jpg,{sku}")
    (folder / "other.jpg").write_bytes(shots(5, 1)[0])
    (folder / "torn.jpg").write_bytes(shots(5, 1)[0][:600])
    rows["test"] += ["other.jpg,", "other.jpg,stranger", "torn.jpg,cola", "cola-0.jpg,cola"]
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder / "train.csv", folder / "test.csv"


@pytest.fixture
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One C each, and no SVM: its solver is tested elsewhere."""
    few = tuple(replace(probe, grid=(1.0,)) for probe in yardstick.PROBES if probe.name != "svm")
    monkeypatch.setattr(yardstick, "PROBES", few)
    monkeypatch.setattr("app.cli.yardstick.PROBES", few)


def test_yardstick_measures_counts_and_computes_nothing_twice(
    bare_home: Path, listings: tuple[Path, Path], quick_probes: None
) -> None:
    train, test = map(str, listings)
    arguments = ("yardstick", "--train", train, "--test", test, "--weights", "embedded")
    done = invoke(bare_home, *arguments, "--json")
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)["weights"][0]
    assert row["train"] | {"scenes": 0} == {"photos": 32, "labels": 4, "scenes": 0}
    assert row["test"] == {
        "photos": 9,
        "labels": 4,
        "foreign_photos": 1,
        "unknown_label_photos": 1,
        "leaked_photos": 1,
    }
    assert [item["path"][-8:] for item in row["unreadable"]] == ["torn.jpg"]
    for name in ("softmax", "knn"):
        assert row[name]["test"]["top1"] > 0.7
        assert row[name]["cross_validation"]["top1"]["mean"] > 0.7
    assert row["projection"]["photos"] == 9
    assert json.loads((bare_home / "experiments" / "yardstick.json").read_text())["weights"][0] == row
    with open_cache(bare_home, row["space"]) as cache:
        assert len(cache) == 41  # 40 photos and the stranger, which the foreign one equals; the torn one has none
    told = invoke(bare_home, *arguments)
    for words in ("32 training photos of 4 labels", "softmax", "projection alone", "macro-F1"):
        assert words in told.stdout
    for words in ("1 test photos are training photos", "sku without training photos", "unreadable"):
        assert words in told.stderr


def test_yardstick_resolves_every_source_first_and_writes_after_each(
    bare_home: Path, listings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def measure(listed: object, source: str, *_: object) -> dict[str, Any]:
        measured.append(source)
        if len(measured) == 2:
            raise NotEnoughData("the second one fails")
        return {"weights": source}

    monkeypatch.setattr("app.cli.yardstick.measure_source", measure)
    train, test = map(str, listings)
    arguments = ("yardstick", "--train", train, "--test", test, "--weights", "embedded", "--weights")
    with pytest.raises(WeightsNotFound, match=r"missing\.npz"):
        invoke(bare_home, *arguments, "missing.npz")
    assert measured == []
    with pytest.raises(NotEnoughData, match="second"):
        invoke(bare_home, *arguments, "random")
    written = json.loads((bare_home / "experiments" / "yardstick.json").read_text())
    assert (measured, written) == (["embedded", "random"], {"weights": [{"weights": "embedded"}]})


def test_yardstick_needs_products_on_both_sides(bare_home: Path, listings: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = map(str, listings)
    with pytest.raises(UsageError, match="1 training photos have an empty sku"):
        invoke(bare_home, "yardstick", "--train", test, "--test", train, "--weights", "embedded")
    (tmp_path / "none.csv").write_text("path,sku\n")
    with pytest.raises(NotEnoughData, match="0 test photos"):
        invoke(bare_home, "yardstick", "--train", train, "--test", str(tmp_path / "none.csv"), "--weights", "embedded")


# Experiments


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    """Four products of six photos in two categories, with bottlenecks and a split; nothing is trained."""
    with learning_shop(tmp_path_factory.mktemp("experiments") / "home", database_url, prepared_home) as made:
        with transaction(made.engine) as session:
            for name in ("Food > Tins", "Food > Bags"):
                session.add(Category(name=name[-4:], path=name, path_key=name.casefold(), depth=2))
        for place, sku in enumerate(SKUS):
            made.add_product(sku, shots(place, 6))
        with transaction(made.engine) as session:
            tins, bags = session.query(Category).order_by(Category.id)
            for product in session.query(Product):
                product.category_id = tins.id if product.sku in ("cola", "beans") else bags.id
        fill_bottlenecks(made.settings, made.engine, made.media, variants=())
        yield made


def make_split_file(shop: LearningShop) -> None:
    data_folder = shop.settings.home / "splits"
    with transaction(shop.engine) as session:
        images = catalogue_images(session, shop.media)
    hashes, labels = [image.content_hash for image in images], [image.label for image in images]
    space = next((shop.settings.home / "bottlenecks").iterdir()).name
    with open_cache(shop.settings.home, space) as cache:
        scenes = cluster_scenes(cache.scenes(hashes), labels, hashes)
    data_folder.mkdir(exist_ok=True)
    make_split(hashes, labels, scenes, folds=2).save(data_folder / "split.json")


def experiment(shop: LearningShop, *arguments: str) -> Result:
    return invoke(shop.settings.home, "experiments", *arguments, url=str(shop.settings.database_url))


def test_before_training_an_experiment_says_what_to_run(shop: LearningShop) -> None:
    assert not (shop.settings.home / "splits").exists()
    with pytest.raises(SplitError, match="make train"):
        experiment(shop, "labels", "--without-variants")


def test_catalogue_data_reads_bottlenecks_split_and_categories_and_leaves_out_the_rest(shop: LearningShop) -> None:
    make_split_file(shop)
    before = (shop.settings.home / "splits" / "split.json").read_bytes()
    shop.add_photo("tea", shots(3, 1, first=30)[0])  # no bottleneck, no place
    told: list[str] = []
    data = catalogue_data(shop.settings, shop.engine, shop.media, (), told.append)
    assert (len(data.photos), data.photos.variants.shape[1]) == (24, 0)
    assert data.paths == {sku: "Food > Tins" if sku in ("cola", "beans") else "Food > Bags" for sku in SKUS}
    assert told == ["1 photos lack bottlenecks or a place in the split and are left out"]
    assert (shop.settings.home / "splits" / "split.json").read_bytes() == before
    with pytest.raises(NotEnoughData, match="make train-bottlenecks"):
        catalogue_data(shop.settings, shop.engine, shop.media, ("blur",))
    shop.delete_photo(shots(3, 1, first=30)[0])


def quick_fits(patch: pytest.MonkeyPatch) -> None:
    """k-NN alone: what the classifiers make of it is tested in tests/models/experiments."""
    patch.setattr("models.training.experiments.labels.trainable", lambda photos, split: frozenset(photos.labels))
    patch.setattr("models.training.experiments.categories.trainable", lambda photos, split: frozenset())
    patch.setattr("models.training.crossfit.LEAST_PHOTOS_TO_TRAIN", 100)


def test_labels_and_categories_print_a_table_and_write_their_json(
    shop: LearningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_split_file(shop)
    quick_fits(monkeypatch)
    for arguments, words in (
        (("labels", "--count", "2", "--seeds", "2"), ("labels", "knn", "vote", "24 photos of 4 labels")),
        (("categories", "--level", "2"), ("level 2: 2 categories", "flat_given", "per_category_predicted - flat")),
    ):
        told = experiment(shop, *arguments, "--without-variants")
        assert told.exit_code == 0, told.output
        assert all(word in told.stdout for word in words), told.stdout
        written = json.loads((shop.settings.home / "experiments" / f"{arguments[0]}.json").read_text())
        assert written["catalogue"] == {"photos": 24, "labels": 4, "variants": 0, "seen_by_backbone": 0}
        assert written["weights"] == "embedded"


def test_hyper_parameters_prints_every_part(shop: LearningShop, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"top1": 0.5, "top5": 1.0, "macro_f1": 0.4}
    gap = {measure: {"mean": 0.1, "interval_95": (-0.1, 0.3)} for measure in ("top1", "top5")}
    setting = {
        "normalisation": "l2",
        "fcn": {"learning_rate": 0.003, "batch_size": 100, "dropout": 0.0, "label_smoothing": 0.1},
        "fcn_variants": 2,
        "svm_c": 30.0,
        "svm_variants": 1,
    }
    rules = ("fcn", "knn", "svm", "vote")
    found: dict[str, Any] = {
        "photos": {"train": 20, "validation": 2, "calibration": 1, "test": 3},
        "validation_seen": 2,
        "labels": 4,
        "searched": [{"classifier": "svm", "parameter": "c", "value": 30.0, "default": True, **row}],
        "chosen": setting,
        "default": setting,
        "test": {name: dict.fromkeys(rules, row) for name in ("chosen", "default")}
        | {"difference": dict.fromkeys(rules, gap)},
    }
    make_split_file(shop)
    monkeypatch.setattr("app.cli.experiments.search_hyper_parameters", lambda *a, **k: found)
    told = experiment(shop, "hyper-parameters", "--without-variants")
    assert told.exit_code == 0, told.output
    for words in ("fitted on 20", "trained on 2", "SVM C 30, 1 variants", "50.0 / 100.0", "+10.0 (-10.0 to +30.0)"):
        assert words in told.stdout


def test_mislabels_prints_what_is_found_and_what_care_keeps(
    shop: LearningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cell(mean: float) -> dict[str, float]:
        return {"mean": mean, "std": 0.02}

    table = {rule: {m: cell(0.5) for m in ("top1", "top5", "macro_f1")} for rule in ("knn", "vote")}
    suspected = {
        "photos": 30,
        "precision": 0.9,
        "recall": 0.7,
        "noise": 0.2,
        "refurbished": 0,
        "refurbished_precision": None,
    }
    found = {
        "precision": {"confident": cell(0.875), "selfie": cell(1.0)},
        "suspected": {name: {"mean": value, "std": None} for name, value in suspected.items()},
    }
    care = {"none": table, "selfie": table}
    kept = {"selfie": {rule: {"top1": 0.72, "top5": None, "macro_f1": None} for rule in table}}
    rows = [
        {"share": 0.0, "seeds": 2, "found": {}, "found_scenes": {}, "care": care, "kept": kept},
        {"share": 0.2, "seeds": 2, "found": found, "found_scenes": found, "care": care, "kept": kept},
    ]
    asked: list[Any] = []
    monkeypatch.setattr("app.cli.experiments.measure_care", lambda *a, **k: asked.append(a) or rows)
    make_split_file(shop)
    told = experiment(shop, "mislabels", "--share", "0.2", "--seeds", "2", "--without-variants")
    assert told.exit_code == 0, told.output
    for words in (
        "20% of the labels wrong, 2 seeds",
        "single photos: precision at recall 0.5: confident 87.5 ± 2.0, selfie 100.0 ± 2.0",
        "30 suspected, 90 % of them rightly, 70 % of the wrong found; 0 refurbished, n/a of them wrong before",
        "whole scenes",
    ):
        assert words in told.stdout, told.stdout
    assert told.stdout.count("72 %") == 2, "once a rule, and not where no label is wrong"
    assert asked[0][2:] == ((0.2,), 2)
    assert json.loads((shop.settings.home / "experiments" / "mislabels.json").read_text())["rows"][1]["share"] == 0.2


def test_rendered_products_need_no_catalogue(bare_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.train.LEAST_PHOTOS_TO_TRAIN", 100)
    monkeypatch.setattr("models.training.crossfit.LEAST_PHOTOS_TO_TRAIN", 100)
    monkeypatch.setattr(jobs, "VIEW_COUNT", 2)
    monkeypatch.setattr("models.training.experiments.labels._VIEW_FOLDS", 2)
    done = invoke(bare_home, "experiments", "labels", "--rendered", "3", "--phone-photos", "1", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["rendered"] == {"products": 3, "views": 2, "phone_photos": 1, "family": "training"}
    assert [(row["labels"], row["photos"]) for row in found["rows"]] == [(3, 3)]
    assert (bare_home / "experiments" / "labels-rendered.json").is_file()
    with pytest.raises(UsageError, match="without variants"):
        invoke(bare_home, "experiments", "labels", "--rendered", "3", "--variant", "blur")


def test_a_rendered_photo_is_named_by_its_recipe_and_the_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    product, other = make_catalogue(2, 1, "training")
    photos = [
        RenderedPhoto(product, 0, phone=False),
        RenderedPhoto(product, 1, phone=False),
        RenderedPhoto(product, 0, phone=True),
        RenderedPhoto(other, 0, phone=False),
    ]
    names = [photo.content_hash for photo in photos]
    assert len(set(names)) == 4
    assert names == [replace(photo).content_hash for photo in photos]
    assert photos[0].load() == replace(photos[0]).load()
    monkeypatch.setattr(jobs, "renderer_digest", lambda: "another version")
    assert not set(names) & {photo.content_hash for photo in photos}


def test_results_are_replaced_whole_and_hold_no_nan(tmp_path: Path) -> None:
    write_result(tmp_path, "x", {"a": float("nan"), "b": [1, 2]})
    path = write_result(tmp_path, "x", {"a": float("nan")})
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {"a": None}
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]
