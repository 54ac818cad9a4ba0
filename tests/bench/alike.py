"""The shop that picks are measured in: lines of products that look alike, photographed in a hurry.

In the demonstration's shop products differ in type, brand and colour and are photographed with care; nearly every first
candidate is right, and no pick could teach anything. Here it is as hard as in shops: a brand sells variants of one
product in one package, in the same or the next colour, and every other photo has something wrong with it.
How hard it is was settled by Top-1 before any retraining, and by nothing that came after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from app.cli.demo.shop import FAMILY
from augment.render import FailureKind, RenderedProduct, make_catalogue

VARIANTS: Final = ("Original", "Light", "Extra", "Fresh", "Organic")
"""Of one product: they share brand, package, layout and pattern, and differ in words, motif and shade."""

SHOTS: Final[Sequence[str]] = tuple(
    shot for failure in FailureKind if failure is not FailureKind.NONE for shot in (FailureKind.NONE, failure)
)
"""How shoppers' photos come out in turn: every other one well, the rest with each failure that can be drawn."""

_NEXT: Final = {
    "black": "grey", "grey": "white", "white": "beige", "beige": "yellow", "yellow": "orange", "orange": "red",
    "red": "pink", "pink": "purple", "purple": "blue", "blue": "green", "green": "yellow", "brown": "orange",
}  # fmt: skip
"""The colour beside each."""

_SEED = 11


def alike_products(count: int) -> list[RenderedProduct]:
    """So many products, those of a line next to each other; every other variant has the colour beside its line's."""
    lines = make_catalogue(-(-count // len(VARIANTS)), _SEED, FAMILY)
    products = [_variant(line, number) for line in lines for number in range(len(VARIANTS))]
    return products[:count]


def _variant(line: RenderedProduct, number: int) -> RenderedProduct:
    words = VARIANTS[number]
    return replace(
        line,
        sku=f"{line.sku}-{words.lower()}",
        name=line.name.replace(line.variant, words),
        variant=words,
        colour=_NEXT[line.colour] if number % 2 else line.colour,
        seed=line.seed + number,
    )
