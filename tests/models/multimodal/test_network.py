"""The network and every fusion: absent sides, subsets, save and load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import BundleDamaged, BundleNotFound, UsageError
from models.multimodal.bundle import TextBundle, load_text_bundle, save_text_bundle
from models.multimodal.calibration import Calibration
from models.multimodal.classifier import CategoryClassifier, Listing
from models.multimodal.features import MOST_EXTRAS, MOST_PIECES, EncodedNames, NameFeatures, extra_features
from models.multimodal.fusion import FUSIONS
from models.multimodal.names import CategoryWords
from models.multimodal.network import Architecture, Network
from models.multimodal.sources import Malls
from models.multimodal.subwords import Subwords
from tests.models.multimodal.names import SHOP

BUCKETS = 64
WORDS = CategoryWords(["Shirt", "원피스", "Shoe"])
NAMES = ["Akko red shirt", "", "도담 원피스 black shoe with a very long tail of words", "zx9"]


@pytest.fixture(scope="module")
def features() -> NameFeatures:
    return NameFeatures(Subwords.train(SHOP, 300), BUCKETS)


def network(features: NameFeatures, fusion: str, seed: int = 0) -> Network:
    architecture = Architecture(features.subwords.size, BUCKETS, 8, 6, fusion, {"type": 3, "colour": 2})
    random = np.random.default_rng(seed)
    parameters = {
        name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in architecture.shapes().items()
    }
    return Network(architecture, parameters, np.full(2048, 0.01, np.float32), 0.5)


def pictures(n: int) -> np.ndarray:
    vectors = np.abs(np.random.default_rng(3).normal(size=(n, 2048))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_names_become_rows_of_the_tables(features: NameFeatures) -> None:
    encoded = features.encode(NAMES)
    assert encoded.pieces.shape == (4, MOST_PIECES) and encoded.extras.shape == (4, MOST_EXTRAS)
    assert encoded.pieces.max() <= features.subwords.size and encoded.extras.max() <= BUCKETS
    assert not encoded.pieces[1].any() and not encoded.extras[1].any()
    assert (features.encode(NAMES[2:3]).extras == encoded.extras[2:3]).all()


def test_words_at_the_ends_have_features_of_their_own() -> None:
    told = extra_features("Akko red shirt")
    assert {"first akko", "last shirt", "last two red shirt", "pair akko red", "word red"} <= set(told)
    assert extra_features("shirt") == ["last shirt", "first shirt", "word shirt"]
    assert extra_features("?") == []


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_absent_does_not_matter(features: NameFeatures, fusion: str) -> None:
    net, encoded = network(features, fusion), features.encode(NAMES)
    shown, hidden = np.ones(4, bool), np.zeros(4, bool)
    without = net.logits(encoded, pictures(4), hidden)["type"]
    assert (without == net.logits(encoded, pictures(4) * 0, hidden)["type"]).all()
    assert not np.allclose(without, net.logits(encoded, pictures(4), shown)["type"])
    nameless = EncodedNames(encoded.pieces * 0, encoded.extras * 0)
    assert np.allclose(
        net.logits(nameless, pictures(4), shown)["type"][1], net.logits(encoded, pictures(4), shown)["type"][1]
    )
    assert np.isfinite(net.logits(nameless, pictures(4), hidden)["type"]).all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_product_is_told_the_same_alone_and_among_others(features: NameFeatures, fusion: str) -> None:
    net, encoded, images = network(features, fusion), features.encode(NAMES), pictures(4)
    shown = np.array([True, True, False, True])
    before = images.copy()
    together = net.logits(encoded, images, shown)
    assert together["type"].shape == (4, 3) and together["colour"].shape == (4, 2)
    for row in range(4):
        chosen = np.array([row])
        alone = net.logits(encoded.subset(chosen), images[chosen], shown[chosen])
        assert np.allclose(alone["type"], together["type"][chosen], atol=1e-5)
    assert (images == before).all()


def test_parameters_that_do_not_fit_are_refused(features: NameFeatures) -> None:
    net = network(features, "late")
    broken = {**net.parameters, "text/bias": np.zeros(5, np.float32)}
    with pytest.raises(BundleDamaged, match="text/bias"):
        Network(net.architecture, broken, net.centre, net.scale)
    nan = {**net.parameters, "text/bias": np.full(6, np.nan, np.float32)}
    with pytest.raises(BundleDamaged, match="not finite"):
        Network(net.architecture, nan, net.centre, net.scale)
    with pytest.raises(UsageError, match="names came"):
        net.logits(features.encode(NAMES), pictures(3), np.ones(3, bool))


def classifier(features: NameFeatures, malls: Malls | None = None) -> CategoryClassifier:
    answers = {"type": ("Dress", "Shirt", "Shoe"), "colour": ("Blue", "Red")}
    members = [network(features, "concatenation", seed) for seed in (0, 1)]
    calibration = Calibration({"name": 2.0, "image": 3.0, "both": 1.5}, 0.6, True)
    return CategoryClassifier(
        features, members, answers, calibration, malls or Malls.nothing(3), {"Shirt": "Wear > Shirt"}, WORDS
    )


def test_probabilities_are_of_all_answers_and_the_threshold_decides(features: NameFeatures) -> None:
    told = classifier(features)
    listing = Listing.of_names(NAMES, pictures(4))
    assert told.probabilities(listing)["type"].sum(axis=1) == pytest.approx(1.0)
    for answer in told.classify(listing):
        assert [s.score for s in answer.ranked] == sorted((s.score for s in answer.ranked), reverse=True)
        assert answer.answered is (answer.ranked[0].score >= 0.6)
        assert answer.category == ("Wear > Shirt" if answer.ranked[0].label == "Shirt" else None)
        assert answer.further["colour"].label in ("Blue", "Red")


def test_views_of_name_and_picture_are_summed_where_both_are_there(features: NameFeatures) -> None:
    plain, images = classifier(features), pictures(4)
    views = {"name": 0.5, "image": 0.3, "both": 0.2}
    untold = {"name": 0.1, "image": 0.9, "both": 0.6}
    calibration = Calibration(plain.calibration.temperatures, 0.6, True, views, untold)
    mixed = CategoryClassifier(features, plain.members, plain.answers, calibration, plain.malls, plain.paths, WORDS)
    encoded, shown = features.encode(NAMES), np.array([True, True, False, True])
    told = plain.type_logits(encoded, images, shown)
    expected = told["both"].astype(np.float64)
    expected[0] = sum(views[view] * told[view][0] for view in views)
    expected[3] = sum(untold[view] * told[view][3] for view in views)  # its name says no category
    listing = Listing(tuple(NAMES), images, shown, (None,) * 4, (None,) * 4)
    named = np.array([True, False, True, True])
    assert mixed.probabilities(listing)["type"] == pytest.approx(calibration.probabilities(expected, named, shown))


def test_a_trusted_source_moves_the_answer_and_others_do_not(features: NameFeatures) -> None:
    malls = Malls(
        {"good|dresses": 0, "bad|dresses": 1},
        np.array([[90.0, 0, 0], [90.0, 0, 0]]),
        np.array([0.2, 0.4, 0.4]),
        {"good": 1.0, "bad": 0.0},
    )
    told = classifier(features, malls)
    plain = told.probabilities(Listing.of_names([NAMES[0]]))["type"][0]
    images, no = np.zeros((1, 2048), np.float32), np.zeros(1, bool)

    def asked(source: str, category: str) -> np.ndarray:
        return told.probabilities(Listing((NAMES[0],), images, no, (source,), (category,)))["type"][0]

    assert asked("Good", "Dresses")[0] > plain[0]
    assert asked("Bad", "Dresses") == pytest.approx(plain)
    assert asked("Good", "Never seen") == pytest.approx(plain)


def test_stop_words_of_the_category_are_left_out_before_it_is_asked_again(features: NameFeatures) -> None:
    plain = classifier(features)
    name, images, no = "Akko red shirt", np.zeros((1, 2048), np.float32), np.zeros(1, bool)
    parts = (plain.features, plain.members, plain.answers, plain.calibration, plain.malls)
    told = CategoryClassifier(
        *parts, dict.fromkeys(plain.answers["type"], "Wear > Any"), WORDS, {"Wear": frozenset({"red"})}
    )
    listing = Listing((name,), images, no, (None,), (None,))
    expected = plain.probabilities(Listing.of_names(["akko shirt"]))["type"]
    assert told.probabilities(listing)["type"] == pytest.approx(expected)
    elsewhere = CategoryClassifier(*parts, {}, WORDS, {"Wear": frozenset({"red"})})
    assert elsewhere.probabilities(listing)["type"] == pytest.approx(plain.probabilities(listing)["type"])


def test_saved_and_loaded_it_answers_alike(features: NameFeatures, tmp_path: Path) -> None:
    malls = Malls({"m|x": 0}, np.array([[1.0, 2, 3]]), np.full(3, 1 / 3), {"m": 0.5}, 0.25)
    bundle = TextBundle("v1", "space", "now", classifier(features, malls), CategoryWords(["Shirts"]), {"Shirt": 3}, {})
    save_text_bundle(tmp_path / "v1", {"version": "v1", "space": "space", "created_at": "now"}, bundle)
    loaded = load_text_bundle(tmp_path / "v1")
    listing = Listing.of_names(NAMES, pictures(4))
    before, after = bundle.classifier.probabilities(listing), loaded.classifier.probabilities(listing)
    assert all((before[head] == after[head]).all() for head in before)
    assert loaded.words.mask("a shirt") == "a" and loaded.counts == {"Shirt": 3}
    assert loaded.classifier.malls.trust_of("M") == 0.5 and loaded.classifier.malls.usual == 0.25


def test_a_changed_file_is_noticed(features: NameFeatures, tmp_path: Path) -> None:
    bundle = TextBundle("v1", "space", "now", classifier(features), CategoryWords([]), {}, {})
    save_text_bundle(tmp_path / "v1", {"version": "v1", "space": "space", "created_at": "now"}, bundle)
    with (tmp_path / "v1" / "network-1.npz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleDamaged, match="network-1"):
        load_text_bundle(tmp_path / "v1")
    with pytest.raises(BundleNotFound):
        load_text_bundle(tmp_path / "v2")
