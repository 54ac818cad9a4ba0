"""The printed artwork of a product: brand identity, label layouts, back panels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin
from typing import Final

import numpy as np

from augment.render.families import RenderedProduct
from augment.render.lettering import PLAIN, word_mask
from augment.render.raster import RGB, Point, UInt8, ellipse, fill_poly, luminance, mix, paint, solid
from augment.render.seeding import rng_for
from augment.render.shapes import logo_mask, pattern_mask
from augment.render.worlds import COLOUR_NAMES, Lettering, world_of

_DARK: Final[RGB] = (28, 26, 30)
_LIGHT: Final[RGB] = (250, 249, 245)
_MIN_CONTRAST: Final = 70


@dataclass(frozen=True, slots=True)
class Design:
    """What the artwork is made of. The brand fixes logo, lettering and accent; the product the rest."""

    main: RGB
    tint: RGB
    accent: RGB
    fruit: RGB
    ink: RGB
    logo: str
    lettering: Lettering


@lru_cache(maxsize=4096)
def design_of(product: RenderedProduct) -> Design:
    """The design of a product, from its brand and its own seed."""
    world = world_of(product.family)
    brand, own = rng_for("brand", product.family, product.brand), rng_for("design", product.seed)
    main = world.shades(product.colour)[int(own.integers(2))]
    tint = mix(main, _DARK if luminance(main) > 128 else _LIGHT, float(own.uniform(0.14, 0.26)))
    accents = [world.shades(name)[0] for name in brand.permutation(COLOUR_NAMES)]
    accent = next(c for c in accents if _distance(c, main) > 150 and abs(luminance(c) - luminance(main)) > 40)
    fruits = [world.shades(name)[1] for name in own.permutation(COLOUR_NAMES)]
    return Design(
        main=main,
        tint=tint,
        accent=accent,
        fruit=next(c for c in fruits if _distance(c, main) > 110),
        ink=ink_on(main),
        logo=world.logos[int(brand.integers(len(world.logos)))],
        lettering=world.letterings[int(brand.integers(len(world.letterings)))],
    )


def ink_on(ground: RGB) -> RGB:
    """Near-white or near-black, whichever reads better on ``ground``."""
    return _DARK if luminance(ground) > 140 else _LIGHT


def _distance(first: RGB, second: RGB) -> float:
    return float(np.linalg.norm(np.subtract(first, second)))


class Label:
    """A printed sheet (height, width, 3) that layouts draw on; positions are shares of its edges."""

    def __init__(self, product: RenderedProduct, width: int, height: int) -> None:
        self.product, self.width, self.height = product, width, height
        self.design = design_of(product)
        self.rng = rng_for("label", product.seed)
        self.pixels = solid(height, width, self.design.main)

    def pattern(self, strength: float = 1.0) -> None:
        mask = pattern_mask(self.product.pattern, self.width, self.height, self.rng)
        paint(self.pixels, mask, mix(self.design.main, self.design.tint, strength), 0, 0)

    def poly(self, points: list[Point], colour: RGB) -> None:
        fill_poly(self.pixels, [(x * self.width, y * self.height) for x, y in points], colour)

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: RGB) -> None:
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def disc(self, x: float, y: float, radius: float, colour: RGB) -> None:
        """A circle; the radius is a share of the shorter edge."""
        r = radius * min(self.width, self.height)
        ellipse(self.pixels, (x * self.width, y * self.height), (r, r), colour)

    def word(self, text: str, box: tuple[float, float, float, float], colour: RGB, plain: bool = False) -> None:
        """Text centred on (x, y) within (w, h): ``box`` is (x, y, w, h)."""
        x, y, w, h = box
        lettering = PLAIN if plain else self.design.lettering
        self._centred(word_mask(text, lettering, w * self.width, h * self.height), x, y, colour)

    def upright_word(self, text: str, box: tuple[float, float, float, float], colour: RGB) -> None:
        """The wordmark turned by 90 degrees, reading upwards."""
        x, y, w, h = box
        mask = word_mask(text, self.design.lettering, h * self.height, w * self.width)
        self._centred(np.ascontiguousarray(np.rot90(mask)), x, y, colour)

    def logo(self, x: float, y: float, size: float, colour: RGB) -> None:
        edge = max(8, round(size * min(self.width, self.height)))
        self._centred(logo_mask(self.design.logo, edge), x, y, colour)

    def motif(self, x: float, y: float, size: float) -> None:
        """A heap of what is inside: fruits, beans or leaves, by the product's own seed."""
        rng = rng_for("motif", self.product.seed)
        colour, edge = self.design.fruit, size * min(self.width, self.height)
        kind, count = int(rng.integers(3)), int(rng.integers(3, 7))
        for index in range(count):
            angle = 2 * pi * index / count
            px, py = x * self.width + edge * 0.3 * cos(angle), y * self.height + edge * 0.24 * sin(angle)
            r = edge * float(rng.uniform(0.17, 0.25))
            axes = (r, r) if kind == 0 else ((r * 1.35, r * 0.7) if kind == 1 else (r * 0.65, r * 1.3))
            ellipse(self.pixels, (px, py), axes, mix(colour, _DARK, 0.25))
            ellipse(self.pixels, (px - r * 0.08, py - r * 0.08), (axes[0] * 0.86, axes[1] * 0.86), colour)
            ellipse(self.pixels, (px - r * 0.3, py - r * 0.3), (r * 0.2, r * 0.16), mix(colour, _LIGHT, 0.6))

    def small_print(self, x: float, y: float, width: float, colour: RGB) -> None:
        """Variant words above the size."""
        self.word(self.product.variant, (x, y, width, 0.07), colour, plain=True)
        self.word(self.product.size, (x, y + 0.085, width * 0.6, 0.045), colour, plain=True)

    def _centred(self, mask: UInt8, x: float, y: float, colour: RGB) -> None:
        height, width = mask.shape
        paint(self.pixels, mask, colour, round(x * self.width - width / 2), round(y * self.height - height / 2))


def front_label(product: RenderedProduct, width: int, height: int) -> UInt8:
    """The front artwork, uint8 (height, width, 3) RGB."""
    label = Label(product, width, height)
    _LAYOUTS[product.layout](label)
    return label.pixels


def back_label(product: RenderedProduct, width: int, height: int) -> UInt8:
    """The back or side: pattern, small wordmark, a panel of text lines and a barcode."""
    label = Label(product, width, height)
    label.pattern(0.6)
    label.word(product.brand, (0.5, 0.12, 0.7, 0.09), label.design.ink)
    label.rect(0.12, 0.24, 0.88, 0.9, _LIGHT)
    rng = rng_for("back", product.seed)
    for y in np.arange(0.29, 0.64, 0.045):
        label.rect(0.18, y, 0.18 + 0.64 * float(rng.uniform(0.55, 1.0)), y + 0.014, (120, 120, 118))
    x = 0.2
    while x < 0.78:
        bar = float(rng.choice((0.008, 0.014, 0.022)))
        label.rect(x, 0.69, x + bar, 0.85, _DARK)
        x += bar + float(rng.choice((0.008, 0.016)))
    return label.pixels


def _readable(colour: RGB, ground: RGB) -> RGB:
    return colour if abs(luminance(colour) - luminance(ground)) >= _MIN_CONTRAST else ink_on(ground)


def _band(label: Label) -> None:
    design = label.design
    label.pattern()
    label.rect(0, 0.36, 1, 0.6, design.accent)
    label.rect(0, 0.345, 1, 0.36, design.ink)
    label.rect(0, 0.6, 1, 0.615, design.ink)
    label.logo(0.5, 0.19, 0.3, design.ink)
    label.word(label.product.brand, (0.5, 0.48, 0.86, 0.17), ink_on(design.accent))
    label.small_print(0.5, 0.71, 0.6, design.ink)
    label.motif(0.5, 0.9, 0.2)


def _split(label: Label) -> None:
    design = label.design
    label.pattern()
    label.poly([(0, 0.52), (1, 0.26), (1, 0.58), (0, 0.84)], design.main)
    label.poly([(0, 0.84), (1, 0.58), (1, 1), (0, 1)], design.accent)
    label.word(label.product.brand, (0.5, 0.5, 0.88, 0.2), _readable(design.accent, design.main))
    label.logo(0.22, 0.16, 0.26, design.ink)
    label.word(label.product.variant, (0.66, 0.84, 0.56, 0.08), ink_on(design.accent), plain=True)
    label.motif(0.24, 0.9, 0.2)
    label.word(label.product.size, (0.74, 0.94, 0.3, 0.05), ink_on(design.accent), plain=True)


def _badge(label: Label) -> None:
    design = label.design
    label.pattern(0.8)
    label.disc(0.5, 0.42, 0.47, design.ink)
    label.disc(0.5, 0.42, 0.44, design.accent)
    label.logo(0.5, 0.27, 0.22, ink_on(design.accent))
    label.word(label.product.brand, (0.5, 0.45, 0.78, 0.14), ink_on(design.accent))
    label.word(label.product.variant, (0.5, 0.57, 0.5, 0.06), ink_on(design.accent), plain=True)
    label.motif(0.5, 0.82, 0.3)
    label.word(label.product.size, (0.82, 0.95, 0.28, 0.05), design.ink, plain=True)


def _ribbon(label: Label) -> None:
    design = label.design
    label.pattern(0.9)
    label.poly([(0, 0.2), (1, 0.34), (1, 0.6), (0, 0.46)], design.accent)
    label.poly([(0, 0.46), (1, 0.6), (1, 0.64), (0, 0.5)], design.ink)
    label.word(label.product.brand, (0.5, 0.4, 0.82, 0.16), ink_on(design.accent))
    label.logo(0.78, 0.14, 0.28, design.ink)
    label.motif(0.28, 0.78, 0.34)
    label.small_print(0.7, 0.78, 0.5, design.ink)


def _frame(label: Label) -> None:
    design = label.design
    label.pattern()
    label.rect(0.08, 0.06, 0.92, 0.94, design.accent)
    label.rect(0.12, 0.09, 0.88, 0.91, design.main)
    label.logo(0.5, 0.23, 0.26, _readable(design.accent, design.main))
    label.word(label.product.brand, (0.5, 0.44, 0.68, 0.16), design.ink)
    label.rect(0.25, 0.54, 0.75, 0.55, design.ink)
    label.small_print(0.5, 0.61, 0.5, design.ink)
    label.motif(0.5, 0.8, 0.26)


def _tower(label: Label) -> None:
    design = label.design
    label.pattern()
    label.rect(0.06, 0, 0.42, 1, design.accent)
    label.rect(0.42, 0, 0.45, 1, design.ink)
    label.upright_word(label.product.brand, (0.24, 0.5, 0.24, 0.92), ink_on(design.accent))
    label.logo(0.73, 0.2, 0.34, design.ink)
    label.motif(0.73, 0.52, 0.32)
    label.small_print(0.73, 0.78, 0.42, design.ink)


def _arch(label: Label) -> None:
    design = label.design
    label.pattern()
    arch = [(0.5 + 0.38 * cos(a), 0.52 - 0.22 * sin(a)) for a in np.linspace(0, pi, 24)]
    label.poly([(0.88, 1.0), *arch, (0.12, 1.0)], design.accent)
    label.word(label.product.brand, (0.5, 0.17, 0.9, 0.16), _readable(design.ink, design.main))
    label.logo(0.5, 0.45, 0.24, ink_on(design.accent))
    label.word(label.product.variant, (0.5, 0.63, 0.6, 0.075), ink_on(design.accent), plain=True)
    label.motif(0.5, 0.81, 0.28)
    label.word(label.product.size, (0.5, 0.955, 0.3, 0.045), ink_on(design.accent), plain=True)


def _stack(label: Label) -> None:
    design = label.design
    label.pattern()
    label.rect(0, 0.0, 1, 0.3, design.main)
    label.word(label.product.brand, (0.5, 0.16, 0.88, 0.18), _readable(design.accent, design.main))
    label.rect(0, 0.31, 1, 0.335, design.accent)
    label.motif(0.36, 0.5, 0.3)
    label.logo(0.78, 0.5, 0.24, design.ink)
    label.rect(0, 0.69, 1, 1, design.accent)
    label.small_print(0.5, 0.79, 0.7, ink_on(design.accent))


def _corner(label: Label) -> None:
    design = label.design
    label.pattern()
    label.disc(1.0, 0.08, 0.62, design.accent)
    label.logo(0.78, 0.2, 0.36, ink_on(design.accent))
    label.poly([(0, 0.6), (1, 0.6), (1, 0.8), (0, 0.8)], design.ink)
    label.word(label.product.brand, (0.5, 0.7, 0.9, 0.15), ink_on(design.ink))
    label.motif(0.27, 0.42, 0.34)
    label.word(label.product.variant, (0.36, 0.87, 0.6, 0.07), design.ink, plain=True)
    label.word(label.product.size, (0.84, 0.93, 0.26, 0.05), design.ink, plain=True)


_LAYOUTS: Final[dict[str, Callable[[Label], None]]] = {
    "band": _band, "split": _split, "badge": _badge,
    "ribbon": _ribbon, "frame": _frame, "tower": _tower,
    "arch": _arch, "stack": _stack, "corner": _corner,
}  # fmt: skip
