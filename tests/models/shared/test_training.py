"""The whole training on a small world of kinds and colours, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from models.errors import NotEnoughData
from models.multimodal.shared import unit
from models.multimodal.shared_bundle import SharedParts
from models.training.experiments.shared_space import compare_variants
from models.training.replacing import against
from models.training.shared.batches import Variant
from models.training.shared.captions import vocabulary
from models.training.shared.data import Listing, SharedData, shared_data
from models.training.shared.learner import SharedSettings, fit_encoders
from models.training.shared.refine import RefineSettings, Tasks, plain_refine
from models.training.shared.replacing import compare_spaces
from models.training.shared.run import Planted, SharedOptions, train_shared
from models.values import BOTTLENECK_SIZE, Float32
from tests.shared_world import made_shared

KINDS = ("shirts", "shoes", "watches", "bags")
COLOURS = ("red", "blue", "black")
QUICK = SharedSettings(epochs=6, batch=128, words_batch=32, image_hidden=16, text_hidden=16, learning_rate=0.005)
OPTIONS = SharedOptions(
    vocabulary=150, encoders=QUICK, refine=RefineSettings(steps=30, batch=64, gallery=256, hidden=16)
)


@pytest.fixture(scope="module", autouse=True)
def few_threads() -> Iterator[None]:
    with threadpool_limits(2):
        yield


def looks(kind: int, colour: int, rng: np.random.Generator) -> Float32:
    """A bottleneck: what the kind and the colour always show, and what is the photo's own."""
    vector = 0.05 * rng.random(BOTTLENECK_SIZE)
    vector[100 * kind : 100 * kind + 100] += 0.2
    vector[1000 + 100 * colour : 1100 + 100 * colour] += 0.2
    return vector.astype(np.float32)


def small_world(count: int = 360, seed: int = 0) -> tuple[SharedData, Planted]:
    """``count`` products of four kinds and three colours, the last tenth without a photo; watches are restricted."""
    rng = np.random.default_rng(seed)
    listings, vectors = [], []
    for i in range(count):
        kind, colour = int(rng.integers(4)), int(rng.integers(3))
        name = f"Brand{i % 7} {COLOURS[colour]} {KINDS[kind].removesuffix('s')} model {i}"
        listings.append(
            Listing(str(i), name, f"All > {KINDS[kind]}", KINDS[kind], COLOURS[colour], restricted=kind == 2)
        )
        vectors.append(looks(kind, colour, rng))
    shown = count * 9 // 10
    photos = unit(np.stack(vectors[:shown]))
    near = photos + 0.002 * rng.random(photos.shape).astype(np.float32)
    data = shared_data(listings, range(shown), photos, [str(i) for i in range(shown)])
    return data, Planted(np.arange(0, shown, 2), unit(near[::2]))


@pytest.fixture(scope="module")
def world() -> tuple[SharedData, Planted]:
    return small_world()


@pytest.fixture(scope="module")
def trained(world: tuple[SharedData, Planted]) -> SharedParts:
    return train_shared(*world, OPTIONS)


def test_everything_is_measured_on_products_that_were_held_out(
    trained: SharedParts, world: tuple[SharedData, Planted]
) -> None:
    found = trained.metrics["measured"]
    assert trained.metrics["data"]["products"] == 360 and trained.metrics["data"]["with_photo"] == 324
    assert 50 < found["products"] < 110 and found["with_photo"] < found["products"]
    assert found["picture_alone"]["type"]["precision"] > 0.9
    assert found["attributes"]["type"]["top1"] > 0.9 and found["attributes"]["colour"]["top1"] > 0.8
    assert found["name"]["found"] > 0.9
    assert found["duplicates"]["both"]["average_precision"] > 0.8
    assert found["restricted"]["state"] == "run" and found["restricted"]["recall"] > 0.5  # of ten watches
    losses = np.array(trained.metrics["losses"])
    assert losses.shape == (6, 2) and (losses[-1] < losses[0]).all()


def test_two_spaces_are_compared_on_listings_that_neither_has_seen(
    trained: SharedParts, world: tuple[SharedData, Planted]
) -> None:
    data, _ = world
    assert trained.trial is not None and len(trained.held) == trained.metrics["measured"]["products"]
    known = trained.trial.shared
    blind = made_shared([listing.name or "" for listing in data.listings])
    same = compare_spaces(known, known, data, trained.held)
    assert same["words"]["asked"] >= 40 and same["names"]["asked"] == trained.metrics["measured"]["with_photo"]
    assert same["words"]["difference"] == same["names"]["difference"] == 0.0
    worse = compare_spaces(known, blind, data, [*trained.held, "gone"])
    assert worse["words"]["champion"] > 0.9 and worse["words"]["challenger"] < 0.6
    # Four kinds are too few questions to tell; the names are enough.
    assert [reason.split(":")[0] for reason in against(worse, 0.02)] == ["names"]
    assert against(compare_spaces(blind, known, data, trained.held), 0.02) == []
    assert compare_spaces(known, known, data, [])["words"]["asked"] == 0


def test_what_was_learned_finds_and_refines(trained: SharedParts) -> None:
    rng = np.random.default_rng(9)
    photos = unit(np.stack([looks(kind, colour, rng) for kind in range(4) for colour in range(3)]))
    places = trained.shared.image.encode(photos)
    truth = [f"{colour} {kind}" for kind in KINDS for colour in COLOURS]
    said = trained.shared.text.encode(truth)
    assert ((places @ said.T).argmax(axis=1) == np.arange(12)).mean() > 0.8
    singular = trained.shared.text.encode([name.removesuffix("s") for name in truth])
    assert ((places @ singular.T).argmax(axis=1) == np.arange(12)).mean() > 0.8
    for kind in range(4):
        red, blue = 3 * kind, 3 * kind + 1
        before = places @ places[red]
        towards = places @ trained.shared.query("this, in blue", photos[red])
        assert towards[blue] - towards[red] > before[blue] - before[red] + 0.1
        assert towards[blue] > towards[[3 * other + 2 for other in range(4) if other != kind]].max()


def test_equal_seeds_learn_the_same_and_others_do_not(world: tuple[SharedData, Planted]) -> None:
    data, _ = world
    rows = np.arange(len(data))
    subwords = vocabulary(data.listings, 150)
    quick = replace(QUICK, epochs=1, variant=Variant.SOFT)
    one, again, other = (fit_encoders(data, rows, subwords, replace(quick, seed=seed)) for seed in (1, 1, 2))
    assert np.allclose(one.image.linear, again.image.linear, atol=1e-5)
    assert np.allclose(one.text.table, again.text.table, atol=1e-5)
    assert not np.allclose(one.image.linear, other.image.linear, atol=1e-3)


def test_variants_are_compared_over_seeds(world: tuple[SharedData, Planted]) -> None:
    result = compare_variants(world[0], 1, (Variant.PLAIN, Variant.HARD), replace(QUICK, epochs=2))
    assert set(result["variants"]) == {"plain", "hard"} and set(result["differences"]) == {"hard"}
    assert 0 <= result["variants"]["hard"]["type"]["mean"] <= 1
    assert result["unseen_types"] is None


def test_too_few_photos_or_words_are_told() -> None:
    data, _ = small_world(40)
    with pytest.raises(NotEnoughData, match=r"\d+ products have a photo"):
        train_shared(data, Planted.none(), OPTIONS)


def test_without_types_and_colours_photo_and_words_are_added() -> None:
    listings = [Listing(str(i), f"thing {i}") for i in range(4)]
    vectors = np.eye(4, BOTTLENECK_SIZE, dtype=np.float32)
    data = shared_data(listings, range(4), vectors, list("abcd"))
    from tests.shared_world import made_shared

    tasks = Tasks(data, np.arange(4), made_shared(["thing"]).image.encode(vectors), made_shared(["thing"]).text, 0)
    assert tasks.empty
    one, other = unit(np.ones((1, 256), np.float32)), unit(np.eye(1, 256, dtype=np.float32))
    assert np.allclose(plain_refine().refine(one, other), unit(one + other))
