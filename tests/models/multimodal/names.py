"""Names of a small shop, in English and Korean, for tests."""

from __future__ import annotations

from itertools import product

COLOURS = ("red", "blue", "black", "빨강")
BRANDS = ("Akko", "Birna", "Corvo", "도담")
KINDS = ("shirt", "shoe", "watch", "원피스")

SHOP = [
    f"{brand} {colour} {kind} {brand[:2]}{number}{colour[:1]}"
    for number, (brand, colour, kind) in enumerate(product(BRANDS, COLOURS, KINDS), start=100)
] * 3
"""``brand colour kind code``, each combination three times."""
