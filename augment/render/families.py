"""The rendered catalogue: products with brand, type, colour, category and price, drawn from one family."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import numpy as np

from augment.render.seeding import rng_for
from augment.render.worlds import TYPES, World, world_of

PRODUCTS_PER_BRAND: Final = 6


@dataclass(frozen=True, slots=True)
class RenderedProduct:
    """One product that the renderer can draw; hashable, and all that drawing needs.

    sku: unique within a catalogue; holds the family's name and the catalogue's seed.
    name: brand, variant and what it is, as a shop would write it.
    type: one of ``worlds.TYPES``. colour: one of ``worlds.COLOUR_NAMES``, the colour of most of its surface.
    category: path, large to small, joined by `` > ``.
    price: two decimals, > 0. variant: the words printed under the wordmark. size: e.g. ``330 ml``.
    pattern, layout: names from the family's world. seed: fixes the rest of the artwork.
    """

    sku: str
    name: str
    brand: str
    type: str
    colour: str
    category: str
    price: Decimal
    family: str
    variant: str
    size: str
    pattern: str
    layout: str
    seed: int


@dataclass(frozen=True, slots=True)
class _Kind:
    category: str
    noun: str
    variants: tuple[str, ...]
    sizes: tuple[str, ...]
    price: tuple[float, float]


_TASTES = ("Classic", "Zero", "Lemon", "Cherry", "Mango", "Ginger", "Lime", "Peach")
_FABRICS = ("Basic", "Sport", "Studio", "Outdoor", "Retro", "Summer")

_KINDS: Final[dict[str, tuple[_Kind, ...]]] = {
    "can": (
        _Kind("Grocery > Drinks > Soft drinks", "Soda Can", _TASTES, ("330 ml", "500 ml"), (0.79, 1.99)),
        _Kind(
            "Grocery > Pantry > Tins",
            "Tin",
            ("Tomato", "Beans", "Corn", "Peas", "Lentil"),
            ("400 g",),
            (0.89, 2.79),
        ),
    ),
    "carton": (
        _Kind(
            "Grocery > Dairy > Milk",
            "Milk Carton",
            ("Whole", "Light", "Oat", "Soy", "Cocoa"),
            ("1 l",),
            (0.99, 2.49),
        ),
        _Kind(
            "Grocery > Drinks > Juice",
            "Juice Carton",
            ("Apple", "Orange", "Grape", "Tropic"),
            ("1 l",),
            (1.29, 3.19),
        ),
    ),
    "bottle": (
        _Kind("Grocery > Drinks > Water and tea", "Tea Bottle", _TASTES, ("500 ml", "750 ml"), (0.89, 2.99)),
        _Kind(
            "Household > Bath > Shampoo",
            "Shampoo",
            ("Repair", "Fresh", "Care", "Volume"),
            ("250 ml",),
            (2.49, 7.99),
        ),
    ),
    "box": (
        _Kind(
            "Grocery > Breakfast > Cereal",
            "Cereal Box",
            ("Honey", "Choco", "Nut", "Berry", "Bran"),
            ("375 g",),
            (1.99, 4.99),
        ),
        _Kind(
            "Grocery > Drinks > Tea",
            "Tea Box",
            ("Mint", "Earl", "Chai", "Camomile"),
            ("20 bags",),
            (1.49, 3.99),
        ),
    ),
    "jar": (
        _Kind(
            "Grocery > Pantry > Spreads",
            "Jam Jar",
            ("Apricot", "Plum", "Cherry", "Quince"),
            ("340 g",),
            (1.79, 4.49),
        ),
        _Kind(
            "Grocery > Pantry > Sauces",
            "Sauce Jar",
            ("Basil", "Chilli", "Olive", "Pesto"),
            ("190 g",),
            (1.99, 4.99),
        ),
    ),
    "pouch": (
        _Kind(
            "Grocery > Snacks > Crisps",
            "Crisps",
            ("Salt", "Paprika", "Onion", "Pepper"),
            ("150 g",),
            (0.99, 2.99),
        ),
        _Kind(
            "Grocery > Drinks > Coffee",
            "Coffee",
            ("Mild", "Strong", "Roma", "Decaf"),
            ("500 g",),
            (3.99, 9.99),
        ),
    ),
    "tube": (
        _Kind(
            "Household > Bath > Tooth care",
            "Toothpaste",
            ("White", "Mint", "Kids", "Herbal"),
            ("75 ml",),
            (0.99, 3.99),
        ),
        _Kind(
            "Household > Bath > Creams",
            "Hand Cream",
            ("Aloe", "Rose", "Almond", "Olive"),
            ("100 ml",),
            (1.99, 6.99),
        ),
    ),
    "shirt": (_Kind("Fashion > Clothing > T-shirts", "T-Shirt", _FABRICS, ("S", "M", "L"), (9.90, 34.90)),),
    "shoe": (_Kind("Fashion > Footwear > Trainers", "Trainers", _FABRICS, ("38", "41", "43"), (29.90, 119.00)),),
    "mug": (
        _Kind(
            "Household > Kitchen > Mugs",
            "Mug",
            ("Morning", "Home", "Bistro", "Camp", "Office"),
            ("300 ml",),
            (3.90, 14.90),
        ),
    ),
}

_COLOURS: Final[dict[str, tuple[str, ...]]] = {
    "shirt": ("black", "white", "grey", "red", "green", "blue", "purple", "pink", "beige", "yellow", "brown"),
    "shoe": ("black", "white", "grey", "red", "blue", "brown", "green", "pink", "beige", "orange"),
    "mug": ("white", "black", "blue", "yellow", "green", "red", "grey", "beige", "pink", "orange"),
}
_PRINTED: Final = (
    "red", "blue", "green", "yellow", "orange", "white", "purple", "black", "pink", "brown", "beige", "grey",
)  # fmt: skip


def make_catalogue(n_products: int, seed: int, family: str) -> list[RenderedProduct]:
    """A catalogue of distinct products; deterministic by its arguments.

    Types come in turn, so every type appears once there are as many products as types; so do the label
    layouts within a type. About
    ``PRODUCTS_PER_BRAND`` products share a brand, and many share type or colour. No two products agree
    in brand, type and variant words, nor in brand, type, colour and size together with the same artwork.

    :raises ValueError: ``n_products`` < 1, or an unknown family.
    """
    if n_products < 1:
        raise ValueError(f"n_products must be at least 1, got {n_products}")
    world = world_of(family)
    rng = rng_for("catalogue", family, seed)
    brands = _brands(world, max(2, -(-n_products // PRODUCTS_PER_BRAND)), rng)
    taken: set[tuple[str, str, str, str]] = set()
    products = []
    for index in range(n_products):
        kind_name = TYPES[index % len(TYPES)]
        layout = world.layouts[(index // len(TYPES) + TYPES.index(kind_name) + seed) % len(world.layouts)]
        product = _product(world, kind_name, brands, taken, rng)
        products.append(replace(product, sku=f"{family}-{seed}-{index:04d}", layout=layout))
    return products


def _brands(world: World, count: int, rng: np.random.Generator) -> list[str]:
    every = [onset + ending for onset in world.onsets for ending in world.endings]
    return [every[i] for i in rng.permutation(len(every))[: min(count, len(every))]]


def _product(
    world: World,
    type_name: str,
    brands: list[str],
    taken: set[tuple[str, str, str, str]],
    rng: np.random.Generator,
) -> RenderedProduct:
    for attempt in range(10_000):
        kind = _KINDS[type_name][rng.integers(len(_KINDS[type_name]))]
        brand = brands[rng.integers(len(brands))]
        variant = str(rng.choice(kind.variants))
        if attempt >= 200:
            variant = f"{variant} No. {int(rng.integers(2, 100))}"
        colours = _COLOURS.get(type_name, _PRINTED)
        colour = str(colours[rng.integers(len(colours))])
        words, look = (brand, type_name, variant, "words"), (brand, type_name, colour, "look")
        if words in taken or (look in taken and attempt < 200):
            continue
        taken.update((words, look))
        low, high = kind.price
        return RenderedProduct(
            sku="",
            name=f"{brand} {variant} {kind.noun}",
            brand=brand,
            type=type_name,
            colour=colour,
            category=kind.category,
            price=Decimal(f"{low + (high - low) * rng.beta(1.6, 2.2):.2f}"),
            family=world.family,
            variant=variant,
            size=str(rng.choice(kind.sizes)),
            pattern=world.patterns[rng.integers(len(world.patterns))],
            layout="",
            seed=int(rng.integers(2**31)),
        )
    raise ValueError(f"no free combination left for another {type_name} with {len(brands)} brands")
