"""The measures on worlds whose answers are known, and the duplicate model on planted duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from models.errors import BundleDamaged
from models.multimodal.matching import EVIDENCE, MatchModel, clusters
from models.multimodal.restricted import RestrictedModel
from models.multimodal.shared import SHARED_SIZE, unit
from models.training.shared.data import Listing
from models.training.shared.matching import Side, WordOverlap, duplicate_measures, fit_match, likenesses, word_rarity
from models.training.shared.measures import Gallery, named_attribute, names_to_products, refined, words_to_products
from models.training.shared.restricted import fit_restricted, recalibrated, restricted_measures
from models.training.shared.rewording import reword
from models.values import Float32
from tests.shared_world import made_match, made_shared

KINDS = ("shirts", "shoes")
COLOURS = ("red", "blue")


def world() -> Gallery:
    """Twelve of each kind and colour, placed by kind and colour; the last two of each are not as the row says."""
    listings, vectors = [], []
    for kind in range(2):
        for colour in range(2):
            for number in range(12):
                listings.append(
                    Listing(
                        f"{kind}{colour}{number}", f"n{kind}{colour}{number}", type=KINDS[kind], colour=COLOURS[colour]
                    )
                )
                vectors.append(np.eye(4)[[kind if number < 10 else 1 - kind, 2 + colour]].sum(axis=0))
    return Gallery(listings, unit(np.array(vectors, np.float32)))


def encode(texts: Sequence[str]) -> Float32:
    """The words' directions of ``world``."""
    names = [*KINDS, *COLOURS]
    return unit(np.array([[name in text.split() for name in names] for text in texts], np.float32))


def test_words_find_what_they_name() -> None:
    found = words_to_products(world(), encode)
    assert found["type"]["queries"] == 2 and found["type_colour"]["queries"] == 4
    # Ten red shirts lie at "red shirts"; at "red shoes" eight red shoes and, before them in the rows, two red shirts.
    assert found["type_colour"]["precision"] == pytest.approx((1.0 + 0.8) / 2)
    assert found["type_brand"] == {"queries": 0, "precision": None}


def test_a_name_finds_its_product_or_one_of_that_name() -> None:
    listings = [Listing(str(i), f"name {i // 2}") for i in range(40)]
    vectors = np.eye(40, dtype=np.float32)

    def by_number(texts: Sequence[str]) -> Float32:
        return vectors[[2 * int(text.split()[1]) for text in texts]]

    gallery = Gallery(listings, vectors)
    assert names_to_products(gallery, by_number) == {"queries": 40, "found": 1.0}
    lost = names_to_products(gallery, lambda texts: -by_number(texts))
    assert lost["found"] < 0.5
    assert names_to_products(Gallery([Listing("x")], vectors[:1]), by_number) == {"queries": 0, "found": None}


def test_an_attribute_is_named_by_the_nearest_words() -> None:
    gallery = world()
    found = named_attribute(gallery.vectors, [row.type for row in gallery.listings], encode)
    assert found["photos"] == 48 and found["values"] == 2
    assert found["top1"] == pytest.approx(40 / 48) and found["top5"] == 1.0
    assert named_attribute(gallery.vectors, [None] * 48, encode)["top1"] is None


def test_refining_is_measured_on_kind_and_colour() -> None:
    gallery = world()

    def ideal(photos: Float32, texts: Float32) -> Float32:
        kinds = np.concatenate([photos[:, :2], np.zeros_like(photos[:, :2])], axis=1)
        return unit(kinds + texts)

    found = refined(gallery, COLOURS, ideal, encode, 0, gallery.vectors)
    assert found["queries"] == 2 * 2 * 12
    assert found["colour"] == 1.0 and 0.7 < found["both"] == found["type"] < 1.0
    alone = refined(gallery, COLOURS, lambda photos, _: photos, encode, 0, gallery.vectors)
    assert alone["colour"] < 0.2
    assert refined(gallery, ["green"], ideal, encode, 0, gallery.vectors)["queries"] == 0


@pytest.fixture(scope="module")
def planted() -> tuple[Side, Side, np.ndarray, list[str]]:
    """120 listings in families of look-alikes, and a reworded copy of each with a photo near its own."""
    rng = np.random.default_rng(0)
    kinds, colours = ("shirt", "shoe", "watch", "bag"), ("red", "blue", "black")
    names = [f"brand{i % 15} {colours[i % 3]} {kinds[i % 4]} model{i}" for i in range(120)]
    family = rng.normal(size=(4, 2048))
    vectors = unit((family[np.arange(120) % 4] + 0.6 * rng.normal(size=(120, 2048))).astype(np.float32))
    shared = made_shared(names)
    copies = unit((vectors + 0.3 * rng.normal(size=vectors.shape) / 45).astype(np.float32))
    groups = np.arange(120)
    gallery = Side.of(vectors, names, shared.text, groups)
    others = Side.of(copies, [reword(name, rng) for name in names], shared.text, groups)
    return others, gallery, np.arange(120), names


def test_planted_duplicates_are_found_and_kept_apart_from_look_alikes(
    planted: tuple[Side, Side, np.ndarray, list[str]],
) -> None:
    others, gallery, sources, names = planted
    model = fit_match(others, gallery, sources, names)
    assert model is not None and set(model.models) == set(EVIDENCE)
    found = duplicate_measures(model, others, gallery, sources)
    assert found["planted"] == 120 and found["pairs"] == 120 * 120
    assert found["both"]["average_precision"] > 0.95
    assert found["both"]["precision"] > 0.9 and found["both"]["recall"] > 0.7
    assert found["both"]["average_precision"] >= found["name"]["average_precision"]
    told = likenesses(others, gallery, WordOverlap(model.rarity, model.most_rare))
    assert told["words"][3, 5] == pytest.approx(model.words(others.names[3], gallery.names[5]), abs=1e-5)
    again = MatchModel.from_json(model.to_json())
    parts = np.stack([told[name][0] for name in EVIDENCE["both"]], axis=1)
    assert np.array_equal(again.probability("both", parts), model.probability("both", parts))


def test_natural_twins_do_not_count(planted: tuple[Side, Side, np.ndarray, list[str]]) -> None:
    others, gallery, sources, names = planted
    groups = np.array([0 if i < 4 else i for i in range(120)])
    twins = Side(gallery.vectors, gallery.names, gallery.said, groups)
    copies = Side(others.vectors, others.names, others.said, groups)
    model = fit_match(copies, twins, sources, names)
    assert model is not None
    assert duplicate_measures(model, copies, twins, sources)["pairs"] == 120 * 120 - 4 * 3


def test_too_few_planted_duplicates_fit_nothing(planted: tuple[Side, Side, np.ndarray, list[str]]) -> None:
    others, gallery, _, names = planted
    few = Side(others.vectors[:10], others.names[:10], others.said[:10], others.groups[:10])
    assert fit_match(few, gallery, np.arange(10), names) is None


def test_rare_words_say_more() -> None:
    rarity, most_rare = word_rarity(["red shoe", "red shirt", "red g7710"])
    assert most_rare > rarity["red"] and "shoe" not in rarity
    assert made_match().words("", "") == 0.0


def test_clusters_hold_what_is_linked() -> None:
    assert clusters(7, [(5, 6), (0, 1), (1, 2)]) == [[0, 1, 2], [5, 6]]
    assert clusters(3, []) == []


@pytest.mark.parametrize(
    "told",
    [None, {}, {"models": {"both": {"weights": [1.0], "bias": 0}}, "thresholds": {}, "rarity": {}, "most_rare": 1}],
)
def test_a_damaged_duplicate_model_is_refused(told: object) -> None:
    with pytest.raises(BundleDamaged):
        MatchModel.from_json(told)


def test_the_restricted_class_is_flagged_at_the_recall_asked_for() -> None:
    rng = np.random.default_rng(0)
    marks = rng.random(600) < 0.2
    names = unit(rng.normal(size=(600, SHARED_SIZE)).astype(np.float32))
    names[marks, 0] += 0.4
    names, photos = unit(names), np.zeros((600, SHARED_SIZE), np.float32)
    model = fit_restricted(names[:400], photos[:400], marks[:400].tolist())
    assert model is not None
    found = restricted_measures(model, names[400:], photos[400:], marks[400:].tolist())
    assert found["state"] == "run" and found["products"] == 200 and found["restricted"] == int(marks[400:].sum())
    assert found["recall"] > 0.85 and found["precision"] > 0.5
    assert model.thresholds[0.8] >= model.thresholds[0.95] >= model.thresholds[0.99]
    elsewhere = recalibrated(model, -names, photos, marks.tolist())
    assert elsewhere is not None and elsewhere.thresholds[0.95] < model.thresholds[0.95]
    assert recalibrated(model, names[:50], photos[:50], marks[:50].tolist()) is model
    again = RestrictedModel.from_json(model.to_json())
    assert np.array_equal(again.probability(names, photos), model.probability(names, photos))


def test_without_marked_products_the_restricted_class_is_not_run() -> None:
    nothing = np.zeros((50, SHARED_SIZE), np.float32)
    assert fit_restricted(nothing, nothing, [None] * 50) is None
    assert fit_restricted(nothing, nothing, [True] * 5 + [False] * 45) is None
    assert restricted_measures(None, nothing, nothing, [None] * 50)["state"].startswith("not run")
