"""Photos that show no product at all: landscapes, abstract shapes, faces, pages of text, pets."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin
from typing import Final

import numpy as np

from augment.render.cameras import CAMERAS, develop
from augment.render.lettering import PLAIN, word_mask
from augment.render.raster import (
    RGB,
    Point,
    UInt8,
    blur,
    ellipse,
    fill_poly,
    line,
    mix,
    paint,
    shaded,
    smooth_noise,
    solid,
)  # fmt: skip
from augment.render.seeding import rng_for

_SYLLABLES: Final = (
    "lo",
    "rem",
    "ip",
    "sum",
    "do",
    "lor",
    "sit",
    "am",
    "et",
    "con",
    "sec",
    "te",
    "tur",
    "mi",
    "na",
)
_SKINS: Final[tuple[RGB, ...]] = (
    (244, 206, 176),
    (222, 172, 134),
    (176, 122, 86),
    (122, 80, 56),
    (84, 56, 42),
)
_FURS: Final[tuple[RGB, ...]] = (
    (206, 150, 88),
    (120, 90, 66),
    (64, 60, 62),
    (224, 218, 208),
    (156, 152, 150),
)


def render_foreign(seed: int, size: tuple[int, int] = (480, 640)) -> UInt8:
    """A phone photo of something that is no product; deterministic by (seed, size).

    The kinds of ``FOREIGN_KINDS`` come in turn with the seed.

    :param size: (width, height) in pixels, each >= 64.
    :returns: uint8 (height, width, 3) RGB.
    :raises ValueError: a size too small.
    """
    width, height = size
    if min(size) < 64:
        raise ValueError(f"size must be at least 64 x 64 pixels, got {width} x {height}")
    rng = rng_for("foreign", seed)
    scene = _PAINTERS[FOREIGN_KINDS[seed % len(FOREIGN_KINDS)]](width, height, rng)
    cameras = [camera for purpose in sorted(CAMERAS) for camera in CAMERAS[purpose]]
    return develop(scene, cameras[int(rng.integers(len(cameras)))], rng, float(rng.uniform(0.8, 1.1)))


def _random_colour(rng: np.random.Generator, low: int = 20, high: int = 245) -> RGB:
    r, g, b = (int(value) for value in rng.integers(low, high, 3))
    return r, g, b


def _gradient(width: int, height: int, top: RGB, bottom: RGB) -> UInt8:
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    column = np.asarray(top, dtype=np.float32) * (1 - share) + np.asarray(bottom, dtype=np.float32) * share
    return np.ascontiguousarray(np.broadcast_to(column, (height, width, 3)).astype(np.uint8))


def _landscape(width: int, height: int, rng: np.random.Generator) -> UInt8:
    skies: tuple[tuple[RGB, RGB], ...] = (
        ((84, 146, 214), (206, 226, 240)),
        ((226, 120, 84), (250, 214, 160)),
        ((120, 130, 142), (200, 204, 208)),
    )
    top, low = skies[int(rng.integers(len(skies)))]
    scene = _gradient(width, height, top, low)
    x, y, r = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.3) * height, width * rng.uniform(0.04, 0.09)
    ellipse(scene, (x, y), (r, r), (255, 246, 214))
    ground: RGB = ((70, 122, 66), (150, 132, 80), (96, 108, 84))[int(rng.integers(3))]
    layers = int(rng.integers(3, 6))
    for layer in range(layers):
        depth = (layer + 1) / layers
        base = height * (0.35 + 0.45 * depth)
        ridge = smooth_noise(rng, 8, width, int(rng.integers(4, 10)))[0] * height * 0.12
        points: list[Point] = [(float(i), float(base + ridge[i])) for i in range(0, width, 4)]
        fill_poly(
            scene,
            [(0, height), *points, (width, base), (width, height)],
            mix(low, ground, 0.25 + 0.75 * depth),
        )
    for _ in range(int(rng.integers(0, 9))):
        _tree(
            scene,
            rng.uniform(0, 1) * width,
            rng.uniform(0.75, 0.98) * height,
            rng.uniform(0.08, 0.2) * height,
            ground,
        )
    return shaded(scene, 1 + 0.03 * smooth_noise(rng, height, width, 60))


def _tree(scene: UInt8, x: float, y: float, tall: float, ground: RGB) -> None:
    line(scene, [(x, y), (x, y - tall * 0.5)], (82, 62, 46), tall * 0.08)
    for step in range(3):
        w, top = tall * (0.34 - 0.08 * step), y - tall * (0.55 + 0.22 * step)
        fill_poly(
            scene,
            [(x - w, top + tall * 0.3), (x + w, top + tall * 0.3), (x, top)],
            mix(ground, (10, 40, 20), 0.45),
        )


def _abstract(width: int, height: int, rng: np.random.Generator) -> UInt8:
    scene = _gradient(width, height, _random_colour(rng), _random_colour(rng))
    for _ in range(int(rng.integers(8, 26))):
        colour, x, y = _random_colour(rng), rng.uniform(0, 1) * width, rng.uniform(0, 1) * height
        r, kind = width * rng.uniform(0.04, 0.3), int(rng.integers(3))
        if kind == 0:
            ellipse(scene, (x, y), (r, r * rng.uniform(0.4, 1)), colour)
        elif kind == 1:
            turn = rng.uniform(0, 2 * pi)
            corners = int(rng.integers(3, 6))
            angles = [turn + 2 * pi * i / corners for i in range(corners)]
            fill_poly(scene, [(x + r * cos(a), y + r * sin(a)) for a in angles], colour)
        else:
            line(scene, [(x, y), (rng.uniform(0, 1) * width, rng.uniform(0, 1) * height)], colour, r * 0.2)
    return blur(scene, width * rng.choice((0.0, 0.004, 0.02)))


def _face(width: int, height: int, rng: np.random.Generator) -> UInt8:
    scene = blur(_abstract(width, height, rng), width * 0.03)
    skin = _SKINS[int(rng.integers(len(_SKINS)))]
    hair = mix(_FURS[int(rng.integers(len(_FURS)))], (20, 16, 14), 0.4)
    x, y, r = (
        width * rng.uniform(0.42, 0.58),
        height * rng.uniform(0.36, 0.46),
        min(width, height) * rng.uniform(0.22, 0.32),
    )
    fill_poly(
        scene,
        [
            (x - 1.9 * r, height),
            (x - 1.1 * r, y + 1.55 * r),
            (x + 1.1 * r, y + 1.55 * r),
            (x + 1.9 * r, height),
        ],
        _random_colour(rng),
    )
    fill_poly(
        scene,
        [
            (x - 0.4 * r, y + 0.8 * r),
            (x + 0.4 * r, y + 0.8 * r),
            (x + 0.45 * r, y + 1.8 * r),
            (x - 0.45 * r, y + 1.8 * r),
        ],
        mix(skin, (90, 40, 30), 0.2),
    )
    ellipse(scene, (x, y - 0.15 * r), (1.02 * r, 1.22 * r), hair)
    ellipse(scene, (x, y + 0.1 * r), (0.86 * r, 1.12 * r), skin)
    for side in (-1, 1):
        eye = (x + side * 0.34 * r, y - 0.05 * r)
        ellipse(scene, eye, (0.15 * r, 0.085 * r), (250, 250, 248))
        ellipse(scene, eye, (0.07 * r, 0.08 * r), (50, 38, 32))
        line(
            scene,
            [(eye[0] - 0.18 * r, eye[1] - 0.19 * r), (eye[0] + 0.18 * r, eye[1] - 0.21 * r)],
            hair,
            0.06 * r,
        )
    line(
        scene,
        [(x, y), (x + 0.08 * r, y + 0.34 * r), (x - 0.06 * r, y + 0.38 * r)],
        mix(skin, (90, 40, 30), 0.35),
        0.04 * r,
    )
    smile = rng.uniform(0.0, 0.16)
    line(
        scene,
        [(x - 0.28 * r, y + 0.62 * r), (x, y + (0.62 + smile) * r), (x + 0.28 * r, y + 0.62 * r)],
        (172, 72, 72),
        0.08 * r,
    )
    light = np.linspace(1.1, 0.8, width, dtype=np.float32)[None, :] * np.ones((height, 1), dtype=np.float32)
    return shaded(scene, light if rng.random() < 0.5 else light[:, ::-1])


def _text_page(width: int, height: int, rng: np.random.Generator) -> UInt8:
    paper = mix((255, 253, 246), _random_colour(rng), 0.06)
    scene = solid(height, width, paper)
    left, right, y = width * 0.1, width * 0.9, height * 0.07
    title = word_mask(_words(rng, 2).title(), PLAIN, width * 0.7, height * 0.05)
    paint(scene, title, (30, 30, 34), round(left), round(y))
    y += height * 0.09
    step = height * rng.uniform(0.028, 0.04)
    while y < height * 0.94:
        words = word_mask(_words(rng, 14), PLAIN, 4 * width, step * 0.62)
        length = round((right - left) * rng.uniform(0.86, 1.0))
        paint(scene, np.ascontiguousarray(words[:, :length]), (52, 52, 56), round(left), round(y))
        y += step * (2.0 if rng.random() < 0.1 else 1.0)
    return shaded(scene, (0.93 + 0.08 * smooth_noise(rng, height, width, 3)).astype(np.float32))


def _words(rng: np.random.Generator, count: int) -> str:
    return " ".join("".join(rng.choice(_SYLLABLES, int(rng.integers(1, 4)))) for _ in range(count))


def _pet(width: int, height: int, rng: np.random.Generator) -> UInt8:
    scene = _gradient(width, height, _random_colour(rng, 110), _random_colour(rng, 70, 200))
    fur = _FURS[int(rng.integers(len(_FURS)))]
    dark, r = mix(fur, (20, 14, 10), 0.4), min(width, height) * rng.uniform(0.17, 0.24)
    x, y = width * rng.uniform(0.35, 0.6), height * rng.uniform(0.34, 0.46)
    tail = [
        (x + 1.2 * r, y + 2.6 * r),
        (x + 2.1 * r, y + 2.0 * r),
        (x + 2.0 * r, y + rng.uniform(0.6, 1.4) * r),
    ]
    line(scene, tail, dark, 0.28 * r)
    ellipse(scene, (x + 0.25 * r, y + 1.9 * r), (1.25 * r, 1.45 * r), fur)
    for side in (-0.6, 0.5):
        ellipse(scene, (x + side * r, y + 3.1 * r), (0.34 * r, 0.5 * r), mix(fur, (255, 255, 255), 0.15))
    pointed = rng.random() < 0.5
    for side in (-1, 1):
        if pointed:
            fill_poly(
                scene,
                [
                    (x + side * 0.35 * r, y - 0.8 * r),
                    (x + side * 0.95 * r, y - 1.5 * r),
                    (x + side * 0.98 * r, y - 0.35 * r),
                ],
                dark,
            )
        else:
            ellipse(scene, (x + side * 0.98 * r, y + 0.1 * r), (0.28 * r, 0.8 * r), dark)
    ellipse(scene, (x, y), (r, 0.92 * r), fur)
    ellipse(scene, (x, y + 0.4 * r), (0.48 * r, 0.36 * r), mix(fur, (255, 255, 255), 0.35))
    for side in (-1, 1):
        ellipse(
            scene,
            (x + side * 0.4 * r, y - 0.12 * r),
            (0.15 * r, 0.17 * r),
            (226, 190, 70) if pointed else (62, 40, 26),
        )
        ellipse(scene, (x + side * 0.4 * r, y - 0.12 * r), (0.06 * r, 0.14 * r), (16, 14, 14))
        for whisker in (-0.1, 0.05):
            line(
                scene,
                [(x + side * 0.3 * r, y + 0.4 * r), (x + side * 1.2 * r, y + (0.35 + whisker) * r)],
                (235, 232, 226),
                0.02 * r,
            )
    ellipse(scene, (x, y + 0.26 * r), (0.14 * r, 0.1 * r), (52, 34, 36))
    return shaded(scene, (1 + 0.06 * smooth_noise(rng, height, width, 55)).astype(np.float32))


_PAINTERS: Final[dict[str, Callable[[int, int, np.random.Generator], UInt8]]] = {
    "landscape": _landscape, "abstract": _abstract, "face": _face, "text": _text_page, "pet": _pet,
}  # fmt: skip

FOREIGN_KINDS: Final[tuple[str, ...]] = tuple(_PAINTERS)
"""What ``render_foreign`` draws, in the order the seeds run through them."""
