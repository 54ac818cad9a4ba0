"""Groups of listings, captions and what fits them, batches."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import UsageError
from models.training.shared.batches import BatchMaker, Variant, name_targets
from models.training.shared.captions import CaptionMaker, vocabulary
from models.training.shared.data import SLOTS, Facts, Listing, SharedData, shared_data
from models.training.shared.measures import held_out, held_out_for_good
from models.training.shared.rewording import reword
from models.values import BOTTLENECK_SIZE, Float32

LISTINGS = (
    Listing("a", "Nike Men Blue Shirt", "Apparel > Topwear > Shirts", "Shirts", "Blue", "Nike", 6),
    Listing("b", "nike men  blue, SHIRT!", "Apparel > Topwear > Shirts", "Shirts", "Blue", "Nike", 12),
    Listing("c", "Puma Red Shoe", "Footwear > Shoes > Shoes", "Shoes", "Red", "Puma"),
    Listing("d", "Puma Red Shoe 42", "Footwear > Shoes > Shoes", "Shoes", "Red", "Puma", group="g"),
    Listing("e", "Puma Shoe red", "Footwear > Shoes > Shoes", "Shoes", "Red", "Puma", group="g"),
    Listing("f", None, None, "Caps", "Green"),
    Listing("g"),
)


def basis(count: int) -> Float32:
    """Bottlenecks that are nothing like each other."""
    return np.eye(count, BOTTLENECK_SIZE, dtype=np.float32)


@pytest.fixture(scope="module")
def data() -> SharedData:
    vectors = basis(4)
    vectors[3] = vectors[2]
    return shared_data(LISTINGS, [0, 2, 3, 5], vectors, ["1", "2", "3", "4"])


def test_listings_of_one_group_name_or_photo_are_one_product(data: SharedData) -> None:
    groups = data.groups
    # a and b: one name but for the spelling; d and e: one group; d and f: one photo, but another type.
    assert groups[0] == groups[1] and groups[3] == groups[4]
    assert len(set(groups[[0, 2, 3, 5, 6]])) == 5
    same_type = [Listing(str(i), f"name {i}", type="Shoes") for i in range(2)]
    near = basis(2)
    near[1] = near[0]
    assert len(set(shared_data(same_type, [0, 1], near, ["1", "2"]).groups)) == 1
    assert len(set(shared_data([Listing("x"), Listing("y")], [], basis(0), []).groups)) == 2
    twice = [Listing("x", gtin="4006381333931"), Listing("y", gtin="4006381333931")]
    assert len(set(shared_data(twice, [], basis(0), []).groups)) == 1


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(UsageError, match="2048"):
        shared_data(LISTINGS, [0], np.zeros((1, 3), np.float32), ["1"])
    with pytest.raises(UsageError, match="listings 9"):
        shared_data(LISTINGS, [9], basis(1), ["1"])


def test_photos_and_rows_find_each_other(data: SharedData) -> None:
    assert data.first_photos().tolist() == [0, -1, 1, 2, -1, 3, -1]
    assert data.photos_of(np.array([5, 0])).tolist() == [0, 3]


def test_a_row_says_its_columns_as_words() -> None:
    assert LISTINGS[1].slots() == {
        "large": "apparel",
        "medium": "topwear",
        "small": "shirts",
        "type": "shirts",
        "colour": "blue",
        "brand": "nike",
        "season": "winter",
    }
    assert LISTINGS[5].slots() == {"type": "caps", "colour": "green"}
    assert LISTINGS[5].words() == ["green", "caps"] and LISTINGS[6].words() == []
    assert Listing("x", category="Toys").slots() == {"small": "toys"}


def test_every_caption_fits_the_listing_it_was_made_of(data: SharedData) -> None:
    facts = Facts.of(data.listings)
    rows = np.array([0, 1, 2, 3, 4, 5] * 40)
    captions = CaptionMaker(data.listings, facts, vocabulary(data.listings, 100), 1).captions(rows)
    fits = facts.fits(rows, captions.asked, captions.wanted)
    assert fits[np.arange(len(rows)), np.arange(len(rows))].all()
    # A caption of a shoe fits no shirt, unless it is about nothing that they differ in (such as a season).
    assert not fits[np.ix_(np.flatnonzero(rows == 0), np.flatnonzero(rows == 2))].any()
    assert all(len(pieces) for pieces in captions.pieces)


def test_a_colour_fits_every_listing_of_that_colour_and_no_other(data: SharedData) -> None:
    facts = Facts.of(data.listings)
    asked = np.full((1, len(SLOTS)), -1)
    place = SLOTS.index("colour")
    asked[0, place] = facts.codes[2, place]
    none = facts.stems[:1].copy()
    none.data[:] = 0
    none.eliminate_zeros()
    assert facts.fits(np.arange(7), asked, none)[:, 0].tolist() == [False, False, True, True, True, False, False]


def test_captions_and_names_are_the_same_for_one_seed(data: SharedData) -> None:
    facts, subwords = Facts.of(data.listings), vocabulary(data.listings, 100)
    rows = np.arange(6)
    one, other = (CaptionMaker(data.listings, facts, subwords, 5) for _ in range(2))
    assert [p.tolist() for p in one.captions(rows).pieces] == [p.tolist() for p in other.captions(rows).pieces]
    assert [p.tolist() for p in one.names(rows)] == [p.tolist() for p in other.names(rows)]
    whole = one.names(rows, whole=True)
    assert whole[2].tolist() == subwords.encode("Puma Red Shoe").tolist()


@pytest.mark.parametrize("variant", list(Variant))
def test_each_variant_draws_batches_of_distinct_rows(variant: Variant) -> None:
    groups = np.repeat(np.arange(50), 4)
    categories = np.repeat(np.arange(20), 10)
    maker = BatchMaker(np.arange(200), groups, categories, variant, 40, np.random.default_rng(0))
    assert maker.steps == 5
    for hard in (False, True):
        for batch in maker.epoch(hard=hard):
            assert len(batch) == len(set(batch.tolist())) == 40
            if variant is Variant.FILTERED:
                assert len(set(groups[batch].tolist())) == 40


def test_a_filtered_product_is_always_learned_by_the_same_listing() -> None:
    maker = BatchMaker(np.arange(20), np.repeat(np.arange(5), 4), np.zeros(20, int), Variant.FILTERED, 4, _rng())
    assert {int(row) for _ in range(30) for batch in maker.epoch(hard=False) for row in batch} == {0, 4, 8, 12, 16}


def test_hard_batches_come_from_fewer_categories() -> None:
    categories = np.repeat(np.arange(100), 10)
    maker = BatchMaker(np.arange(1000), np.arange(1000), categories, Variant.HARD, 100, _rng())
    easy, hard = (
        np.mean([np.bincount(categories[batch]).max() for batch in maker.epoch(hard=hard)]) for hard in (False, True)
    )
    assert hard > 1.5 * easy


def test_listings_of_one_product_share_the_target_but_in_plain() -> None:
    groups = np.array([1, 1, 2])
    assert name_targets(groups, Variant.SOFT).tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]
    assert name_targets(groups, Variant.PLAIN).tolist() == np.eye(3, dtype=bool).tolist()


def test_one_product_is_held_out_as_a_whole() -> None:
    groups = np.random.default_rng(0).integers(0, 300, 1000)
    out = held_out(groups, 0.2, 1)
    assert 0.18 < out.mean() < 0.23
    assert not set(groups[out]) & set(groups[~out])
    assert np.array_equal(out, held_out(groups, 0.2, 1)) and not np.array_equal(out, held_out(groups, 0.2, 2))


def test_a_product_keeps_its_side_as_the_catalogue_grows() -> None:
    groups = np.random.default_rng(0).integers(0, 900, 3000)
    skus = [f"p{row:05}" for row in range(3000)]
    out = held_out_for_good(groups, skus, 0.2)
    assert 0.17 < out.mean() < 0.23
    assert not set(groups[out]) & set(groups[~out])
    # Groups are numbered anew when products come and go; the first sku of each tells them apart.
    fewer = held_out_for_good(900 - groups[:2000], skus[:2000], 0.2)
    assert np.array_equal(fewer, out[:2000])


def test_the_season_is_the_rows_own_or_the_months() -> None:
    assert Listing("a", month=7).slots()["season"] == "summer"
    assert Listing("a", month=7, season="SS 24").slots()["season"] == "ss 24"


def test_a_reworded_name_keeps_words_and_is_the_same_for_one_seed() -> None:
    name = "Casio G-Shock Men's Black Digital Watch G-7710-1DR"
    told = [reword(name, np.random.default_rng(seed)) for seed in range(50)]
    assert told == [reword(name, np.random.default_rng(seed)) for seed in range(50)]
    assert len(set(told)) > 30 and all(told)
    assert sum("watch" in text.split() for text in told) > 25
    assert sum("g77101dr" in text for text in told) < 40
    assert reword("", _rng()) in ("", *({"new", "original", "sale", "best", "hot"}))


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
