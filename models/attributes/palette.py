"""The colour names people use for products, and where they lie in CIELAB (D65).

Every name has one or more anchors. An anchor is a place in Lab and a *reach*: by how many CIEDE2000 units it
may be farther from a pixel than its rival and still claim it. Wide names (blue, green, orange) have a long
reach, narrow ones (khaki, lavender) a short one. Places and reaches started from hand-picked values and were
moved in steps of 6, 4, 3 and 2 units wherever that raised the likelihood of the colour names on one half of
7,584 studio photos of fashion products, each name weighted by one over the square root of its frequency, so
that rare names are not swallowed. ``models.training.reports.colour`` measures them on the other half.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Anchor(NamedTuple):
    """One place of a colour name: L in 0..100, a and b about -128..127, reach in CIEDE2000 units."""

    name: str
    L: float
    a: float
    b: float
    reach: float


ANCHORS: Final = (
    Anchor("black", 9, -6, 4, 2.0),
    Anchor("black", 27, 0, 0, -2.0),
    Anchor("white", 100, -1, -7, -6.0),
    Anchor("white", 96, 0, -4, 0.0),
    Anchor("grey", 43, -2, 1, -3.0),
    Anchor("grey", 63, 0, -5, -2.5),
    Anchor("grey", 81, 0, -3, -3.0),
    Anchor("silver", 69, -2, -2, 0.0),
    Anchor("cream", 100, -3, 10, -4.0),
    Anchor("beige", 71, 3, 16, 1.0),
    Anchor("tan", 49, 13, 25, 2.0),
    Anchor("brown", 27, 9, 13, 2.0),
    Anchor("brown", 48, 8, 13, 0.0),
    Anchor("khaki", 71, 3, 21, -2.0),
    Anchor("gold", 68, 5, 22, 0.0),
    Anchor("yellow", 92, -2, 55, 3.0),
    Anchor("orange", 75, 37, 37, 6.0),
    Anchor("red", 56, 46, 21, 2.5),
    Anchor("red", 32, 40, 23, 3.0),
    Anchor("maroon", 31, 32, 11, 3.0),
    Anchor("pink", 83, 30, -1, 4.0),
    Anchor("pink", 56, 55, 2, 0.0),
    Anchor("magenta", 36, 61, -7, 2.0),
    Anchor("purple", 29, 19, -16, 1.0),
    Anchor("purple", 60, 19, -23, 4.5),
    Anchor("lavender", 72, 21, -12, 0.0),
    Anchor("blue", 35, 7, -38, 2.0),
    Anchor("blue", 61, -2, -22, 3.0),
    Anchor("blue", 85, -6, -19, 3.0),
    Anchor("blue", 32, 3, -30, 0.0),
    Anchor("navy blue", 26, 2, -16, 2.0),
    Anchor("turquoise", 60, -37, -23, 2.0),
    Anchor("green", 52, -33, 9, 6.0),
    Anchor("green", 81, -27, 21, 4.0),
    Anchor("green", 20, -24, 11, 3.0),
    Anchor("olive", 43, -7, 16, 2.5),
)

NAMES: Final = tuple(dict.fromkeys(anchor.name for anchor in ANCHORS))
"""The distinct names, in palette order; equal shares are decided in this order."""

FAMILY: Final = {
    "cream": "white",
    "silver": "grey",
    "tan": "brown",
    "khaki": "beige",
    "gold": "yellow",
    "maroon": "red",
    "magenta": "pink",
    "lavender": "purple",
    "navy blue": "blue",
    "turquoise": "blue",
    "olive": "green",
}
"""The basic colour of a shade; a name that is not listed is basic itself."""

ALIASES: Final = {
    "gray": "grey",
    "charcoal": "grey",
    "grey melange": "grey",
    "steel": "silver",
    "metallic": "silver",
    "off white": "white",
    "ivory": "cream",
    "skin": "beige",
    "nude": "beige",
    "taupe": "brown",
    "coffee brown": "brown",
    "mushroom brown": "brown",
    "bronze": "brown",
    "copper": "brown",
    "rust": "orange",
    "peach": "orange",
    "mustard": "yellow",
    "burgundy": "maroon",
    "rose": "pink",
    "fuchsia": "magenta",
    "violet": "purple",
    "mauve": "lavender",
    "navy": "navy blue",
    "turquoise blue": "turquoise",
    "teal": "turquoise",
    "cyan": "turquoise",
    "sea green": "green",
    "lime green": "green",
    "fluorescent green": "green",
}
"""Other words for a palette name, casefolded, as catalogues write them."""


def palette_name(text: str) -> str | None:
    """The palette's name for a colour word (upper or lower case), or None where it has none."""
    word = " ".join(text.casefold().split())
    word = ALIASES.get(word, word)
    return word if word in NAMES else None
