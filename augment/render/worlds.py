"""The families: disjoint worlds of brands, hues, letter shapes, logos, patterns and label layouts.

What a network saw of one family tells it nothing of the artwork of another; only the kinds of product
(a can, a shoe) and the names of colours are shared.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Final

RGB = tuple[int, int, int]

_BASE_HSV: Final[dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]] = {
    "black": ((230, 0.20, 0.12), (30, 0.10, 0.17)),
    "white": ((40, 0.03, 0.97), (210, 0.03, 0.94)),
    "grey": ((215, 0.06, 0.58), (30, 0.05, 0.48)),
    "red": ((356, 0.84, 0.82), (1, 0.88, 0.68)),
    "orange": ((27, 0.88, 0.95), (21, 0.85, 0.90)),
    "yellow": ((50, 0.84, 0.97), (54, 0.72, 0.95)),
    "green": ((130, 0.68, 0.56), (105, 0.62, 0.64)),
    "blue": ((217, 0.82, 0.74), (206, 0.72, 0.86)),
    "purple": ((276, 0.62, 0.58), (284, 0.55, 0.68)),
    "pink": ((335, 0.45, 0.95), (343, 0.38, 0.97)),
    "brown": ((24, 0.64, 0.42), (18, 0.56, 0.36)),
    "beige": ((38, 0.26, 0.87), (34, 0.31, 0.82)),
}

COLOUR_NAMES: Final[tuple[str, ...]] = tuple(_BASE_HSV)
"""The colour names people use; every product has one of them."""

TYPES: Final[tuple[str, ...]] = (
    "can", "carton", "bottle", "box", "jar", "pouch", "tube", "shirt", "shoe", "mug",
)  # fmt: skip
"""The kinds of product drawn."""


@dataclass(frozen=True, slots=True)
class Lettering:
    """How a wordmark's letters are shaped from the built-in font.

    slant: horizontal shear (0 upright). width: stretch along the line. weight: extra stroke as a share
    of the letter size. tracking: extra space between letters as a share of the size.
    case: ``upper``, ``lower`` or ``title``. hollow: only the outline is drawn.
    """

    slant: float
    width: float
    weight: float
    tracking: float
    case: str
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """One family's stock of artwork; ``hue_shift`` and ``value_scale`` move the shared colours."""

    family: str
    onsets: tuple[str, ...]
    endings: tuple[str, ...]
    hue_shift_deg: float
    value_scale: float
    letterings: tuple[Lettering, ...]
    logos: tuple[str, ...]
    patterns: tuple[str, ...]
    layouts: tuple[str, ...]

    def shades(self, colour: str) -> tuple[RGB, RGB]:
        """The family's two exact sRGB values (0-255) of a named colour.

        :raises ValueError: no such colour name.
        """
        if colour not in _BASE_HSV:
            raise ValueError(f"unknown colour {colour!r}; valid names are: {', '.join(COLOUR_NAMES)}")
        first, second = _BASE_HSV[colour]
        return self._shift(first), self._shift(second)

    def _shift(self, hsv: tuple[float, float, float]) -> RGB:
        hue, saturation, value = hsv
        r, g, b = colorsys.hsv_to_rgb(
            ((hue + self.hue_shift_deg) % 360) / 360, saturation, min(1.0, value * self.value_scale)
        )
        return round(r * 255), round(g * 255), round(b * 255)


WORLDS: Final[dict[str, World]] = {
    world.family: world
    for world in (
        World(
            "pretrain",
            ("Bal", "Cor", "Dren", "Fal", "Gor", "Hul", "Jar", "Kem", "Lor", "Mal", "Nor", "Pel",
             "Quar", "Rus", "Sol", "Tur", "Ul", "Var", "Wex", "Zan"),
            ("ado", "bex", "cour", "dine", "ext", "fina", "gard", "hout", "ique", "kovo", "lund", "mont"),
            -5.0, 0.97,
            (
                Lettering(0.0, 1.0, 0.05, 0.02, "upper"),
                Lettering(0.22, 0.95, 0.03, 0.0, "title"),
                Lettering(0.0, 0.72, 0.045, 0.06, "upper"),
                Lettering(0.0, 1.30, 0.02, 0.0, "lower"),
                Lettering(-0.12, 1.05, 0.04, 0.03, "title", hollow=True),
            ),
            ("star", "hexagon", "crescent", "shield", "ring"),
            ("stripes", "dots", "waves", "checks"),
            ("band", "split", "badge"),
        ),
        World(
            "training",
            ("Ab", "Bru", "Cli", "Dau", "Eb", "Fry", "Gle", "Hyr", "Isk", "Jun", "Kly", "Lyn"),
            ("asta", "bori", "ceno", "delle", "effo", "gusta", "hani", "ivo", "oska", "umbra"),
            0.0, 0.94,
            (
                Lettering(0.0, 0.85, 0.02, 0.16, "upper"),
                Lettering(0.30, 1.15, 0.05, 0.0, "lower"),
                Lettering(0.0, 1.10, 0.055, 0.02, "title"),
            ),
            ("bolt", "leaf", "mountain", "crown", "window"),
            ("zigzag", "rays", "diamonds", "blobs"),
            ("ribbon", "frame", "tower"),
        ),
        World(
            "demo",
            ("Amb", "Bris", "Ced", "Dov", "Elm", "Fen", "Hav", "Juni", "Lark", "Mar", "Oak", "Pip",
             "Ros", "Thy", "Will"),
            ("berry", "brook", "croft", "dale", "ette", "field", "ley", "mere", "stone", "wick"),
            5.0, 1.0,
            (
                Lettering(0.0, 1.15, 0.04, 0.06, "lower"),
                Lettering(0.16, 0.80, 0.04, 0.02, "upper"),
                Lettering(0.0, 1.0, 0.0, 0.10, "title"),
                Lettering(-0.20, 1.20, 0.045, 0.0, "upper"),
            ),
            ("sun", "drop", "heart", "fish", "clover"),
            ("arcs", "grid", "slashes", "rings"),
            ("arch", "stack", "corner"),
        ),
    )
}  # fmt: skip

FAMILIES: Final[tuple[str, ...]] = tuple(WORLDS)
"""The families by name: for making weights, for catalogues used in training, for demonstrations."""


def world_of(family: str) -> World:
    """The world of a family. :raises ValueError: no such family."""
    if family not in WORLDS:
        raise ValueError(f"unknown family {family!r}; valid names are: {', '.join(FAMILIES)}")
    return WORLDS[family]
