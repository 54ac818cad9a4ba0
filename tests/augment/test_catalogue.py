from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest

from augment.render import BACKGROUNDS, CAMERAS, COLOUR_NAMES, FAMILIES, TYPES, WORLDS, make_catalogue
from augment.render.labels import design_of, front_label


def test_deterministic_by_its_arguments() -> None:
    assert make_catalogue(30, 4, "demo") == make_catalogue(30, 4, "demo")
    assert make_catalogue(30, 4, "demo") != make_catalogue(30, 5, "demo")


def test_every_field_is_filled_with_sensible_values() -> None:
    for product in make_catalogue(120, 1, "demo"):
        assert product.type in TYPES
        assert product.colour in COLOUR_NAMES
        assert product.name.startswith(f"{product.brand} {product.variant}")
        assert product.category.count(" > ") == 2
        assert Decimal("0.5") < product.price < Decimal(200)
        assert product.price == product.price.quantize(Decimal("0.01"))
        assert product.pattern in WORLDS["demo"].patterns
        assert product.layout in WORLDS["demo"].layouts


def test_skus_are_unique_and_artwork_or_words_differ() -> None:
    products = make_catalogue(300, 2, "demo")
    assert len({p.sku for p in products}) == 300
    assert len({p.name for p in products}) == 300
    assert len({(p.brand, p.type, p.variant) for p in products}) == 300


def test_products_share_brands_types_and_colours() -> None:
    products = make_catalogue(60, 7, "demo")
    assert set(Counter(p.type for p in products).values()) == {6}
    for field in ("brand", "colour", "category"):
        counts = Counter(getattr(p, field) for p in products)
        assert len(counts) >= 6
        assert max(counts.values()) >= 4
    assert len({p.price for p in products}) > 45


def test_a_large_catalogue_is_possible() -> None:
    assert len({p.name for p in make_catalogue(3000, 0, "pretrain")}) == 3000


def test_the_dominant_colour_is_the_named_one() -> None:
    for product in make_catalogue(60, 3, "demo"):
        main = np.asarray(design_of(product).main)
        label = front_label(product, 200, 280).reshape(-1, 3)
        near = (np.abs(label.astype(int) - main).max(axis=1) < 70).mean()
        assert near > 0.3, product


@pytest.mark.parametrize(("one", "other"), list(combinations(FAMILIES, 2)))
def test_families_are_disjoint_worlds(one: str, other: str) -> None:
    first, second = WORLDS[one], WORLDS[other]
    for field in ("letterings", "logos", "patterns", "layouts", "onsets", "endings"):
        assert set(getattr(first, field)).isdisjoint(getattr(second, field)), field
    every = [{o + e for o in world.onsets for e in world.endings} for world in (first, second)]
    assert every[0].isdisjoint(every[1])
    shades = [{shade for name in COLOUR_NAMES for shade in world.shades(name)} for world in (first, second)]
    assert shades[0].isdisjoint(shades[1])
    brands = [{p.brand for p in make_catalogue(400, 1, family)} for family in (one, other)]
    assert brands[0].isdisjoint(brands[1])


@pytest.mark.parametrize("table", [CAMERAS, BACKGROUNDS], ids=["cameras", "backgrounds"])
def test_cameras_and_backgrounds_are_disjoint_by_purpose(table: dict[str, tuple[object, ...]]) -> None:
    assert set(table) == set(FAMILIES)
    for one, other in combinations(table, 2):
        assert {style.name for style in table[one]}.isdisjoint(style.name for style in table[other])
        unnamed = [{str(style).split(",", 1)[1] for style in table[purpose]} for purpose in (one, other)]
        assert unnamed[0].isdisjoint(unnamed[1])
    assert all(any(style.surface == "shelf" for style in styles) for styles in BACKGROUNDS.values())


def test_bad_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="n_products must be at least 1, got 0"):
        make_catalogue(0, 1, "demo")
    with pytest.raises(ValueError, match="unknown family 'nature'; valid names are: pretrain, training, demo"):
        make_catalogue(3, 1, "nature")
