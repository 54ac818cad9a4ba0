"""Logos and patterns: masks drawn from geometry, by the names the worlds list."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin
from typing import Final

import numpy as np

from augment.render.raster import Point, UInt8, ellipse, fill_poly, line


def logo_mask(name: str, size: int) -> UInt8:
    """A logo as a mask (size, size). :raises ValueError: no such logo."""
    if name not in _LOGOS:
        raise ValueError(f"unknown logo {name!r}; valid names are: {', '.join(_LOGOS)}")
    mask = np.zeros((size, size), dtype=np.uint8)
    _LOGOS[name](mask, size)
    return mask


def pattern_mask(name: str, width: int, height: int, rng: np.random.Generator) -> UInt8:
    """A pattern as a mask (height, width); its scale and angle come from ``rng``.

    :raises ValueError: no such pattern.
    """
    if name not in _PATTERNS:
        raise ValueError(f"unknown pattern {name!r}; valid names are: {', '.join(_PATTERNS)}")
    mask = np.zeros((height, width), dtype=np.uint8)
    _PATTERNS[name](mask, rng)
    return mask


def _polygon(mask: UInt8, size: int, points: list[Point], value: int = 255) -> None:
    fill_poly(mask, [(x * size, y * size) for x, y in points], value)


def _radial(count: int, outer: float, inner: float, turn: float = -pi / 2) -> list[Point]:
    radii = (outer, inner)
    return [
        (0.5 + radii[i % 2] * cos(turn + pi * i / count), 0.5 + radii[i % 2] * sin(turn + pi * i / count))
        for i in range(2 * count)
    ]


def _disc(mask: UInt8, x: float, y: float, r: float, value: int = 255) -> None:
    size = mask.shape[0]
    ellipse(mask, (x * size, y * size), (r * size, r * size), value)


def _star(mask: UInt8, size: int) -> None:
    _polygon(mask, size, _radial(5, 0.48, 0.2))


def _sun(mask: UInt8, size: int) -> None:
    _polygon(mask, size, _radial(12, 0.48, 0.33))
    _disc(mask, 0.5, 0.5, 0.27, 0)
    _disc(mask, 0.5, 0.5, 0.2)


def _hexagon(mask: UInt8, size: int) -> None:
    _polygon(mask, size, [(0.5 + 0.46 * cos(pi * i / 3), 0.5 + 0.46 * sin(pi * i / 3)) for i in range(6)])
    _polygon(mask, size, [(0.5 + 0.22 * cos(pi * i / 3), 0.5 + 0.22 * sin(pi * i / 3)) for i in range(6)], 0)


def _crescent(mask: UInt8, size: int) -> None:
    _disc(mask, 0.48, 0.5, 0.45)
    _disc(mask, 0.66, 0.42, 0.36, 0)


def _shield(mask: UInt8, size: int) -> None:
    _polygon(mask, size, [(0.1, 0.1), (0.5, 0.02), (0.9, 0.1), (0.86, 0.6), (0.5, 0.97), (0.14, 0.6)])
    _polygon(mask, size, [(0.5, 0.14), (0.78, 0.2), (0.74, 0.56), (0.5, 0.8)], 0)


def _ring(mask: UInt8, size: int) -> None:
    ellipse(mask, (size * 0.5, size * 0.5), (size * 0.4, size * 0.4), 255, size * 0.13)
    _disc(mask, 0.5, 0.5, 0.14)


def _bolt(mask: UInt8, size: int) -> None:
    _polygon(mask, size, [(0.62, 0.02), (0.2, 0.55), (0.46, 0.55), (0.36, 0.98), (0.82, 0.4), (0.54, 0.4)])


def _leaf(mask: UInt8, size: int) -> None:
    arc = np.linspace(0, pi, 20)
    upper = [(0.05 + 0.9 * t / pi, 0.5 - 0.34 * sin(t)) for t in arc]
    _polygon(mask, size, upper + [(x, 1 - y) for x, y in reversed(upper)])
    line(mask, [(0.1 * size, 0.5 * size), (0.85 * size, 0.5 * size)], 0, size * 0.05)


def _mountain(mask: UInt8, size: int) -> None:
    _polygon(mask, size, [(0.02, 0.88), (0.36, 0.14), (0.56, 0.55), (0.68, 0.36), (0.98, 0.88)])
    _polygon(mask, size, [(0.29, 0.32), (0.36, 0.14), (0.45, 0.34), (0.36, 0.42)], 0)


def _crown(mask: UInt8, size: int) -> None:
    points = [(0.08, 0.85), (0.04, 0.25), (0.28, 0.52), (0.5, 0.12), (0.72, 0.52), (0.96, 0.25), (0.92, 0.85)]
    _polygon(mask, size, points)


def _window(mask: UInt8, size: int) -> None:
    for x, y in ((0.08, 0.08), (0.54, 0.08), (0.08, 0.54), (0.54, 0.54)):
        _polygon(mask, size, [(x, y), (x + 0.38, y), (x + 0.38, y + 0.38), (x, y + 0.38)])


def _drop(mask: UInt8, size: int) -> None:
    _polygon(mask, size, [(0.5, 0.02), (0.79, 0.5), (0.21, 0.5)])
    _disc(mask, 0.5, 0.64, 0.32)
    _disc(mask, 0.4, 0.7, 0.08, 0)


def _heart(mask: UInt8, size: int) -> None:
    _disc(mask, 0.29, 0.33, 0.24)
    _disc(mask, 0.71, 0.33, 0.24)
    _polygon(mask, size, [(0.07, 0.42), (0.5, 0.95), (0.93, 0.42), (0.5, 0.3)])


def _fish(mask: UInt8, size: int) -> None:
    ellipse(mask, (size * 0.42, size * 0.5), (size * 0.38, size * 0.24), 255)
    _polygon(mask, size, [(0.68, 0.5), (0.97, 0.24), (0.97, 0.76)])
    _disc(mask, 0.24, 0.44, 0.05, 0)


def _clover(mask: UInt8, size: int) -> None:
    for x, y in ((0.5, 0.26), (0.27, 0.52), (0.73, 0.52)):
        _disc(mask, x, y, 0.22)
    line(mask, [(0.5 * size, 0.45 * size), (0.56 * size, 0.96 * size)], 255, size * 0.08)


_LOGOS: Final[dict[str, Callable[[UInt8, int], None]]] = {
    "star": _star, "hexagon": _hexagon, "crescent": _crescent, "shield": _shield, "ring": _ring,
    "bolt": _bolt, "leaf": _leaf, "mountain": _mountain, "crown": _crown, "window": _window,
    "sun": _sun, "drop": _drop, "heart": _heart, "fish": _fish, "clover": _clover,
}  # fmt: skip


def _lattice(mask: UInt8, step: float, shifted: bool) -> list[Point]:
    height, width = mask.shape
    return [
        (x + (step / 2 if shifted and row % 2 else 0), y)
        for row, y in enumerate(np.arange(step / 2, height + step, step))
        for x in np.arange(0, width + step, step)
    ]


def _bars(mask: UInt8, step: float, share: float, slope: float) -> None:
    height, width = mask.shape
    reach = abs(slope) * height
    for x in np.arange(-reach - step, width + reach + step, step):
        thick = step * share
        fill_poly(
            mask,
            [(x, 0), (x + thick, 0), (x + thick + slope * height, height), (x + slope * height, height)],
            255,
        )


def _stripes(mask: UInt8, rng: np.random.Generator) -> None:
    _bars(mask, mask.shape[0] * rng.uniform(0.1, 0.26), 0.5, 0.0)


def _slashes(mask: UInt8, rng: np.random.Generator) -> None:
    _bars(mask, mask.shape[0] * rng.uniform(0.12, 0.3), 0.35, rng.choice((-1, 1)) * rng.uniform(0.5, 1.1))


def _dots(mask: UInt8, rng: np.random.Generator) -> None:
    step = mask.shape[0] * rng.uniform(0.09, 0.2)
    for point in _lattice(mask, step, shifted=True):
        ellipse(mask, point, (step * 0.28, step * 0.28), 255)


def _rings(mask: UInt8, rng: np.random.Generator) -> None:
    step = mask.shape[0] * rng.uniform(0.16, 0.3)
    for point in _lattice(mask, step, shifted=bool(rng.integers(2))):
        ellipse(mask, point, (step * 0.32, step * 0.32), 255, step * 0.12)


def _diamonds(mask: UInt8, rng: np.random.Generator) -> None:
    step = mask.shape[0] * rng.uniform(0.12, 0.25)
    for x, y in _lattice(mask, step, shifted=True):
        a, b = step * 0.3, step * 0.46
        fill_poly(mask, [(x - a, y), (x, y - b), (x + a, y), (x, y + b)], 255)


def _wavy(mask: UInt8, rng: np.random.Generator, sharp: bool) -> None:
    height, width = mask.shape
    step, period = height * rng.uniform(0.12, 0.22), height * rng.uniform(0.2, 0.4)
    xs = np.arange(0, width + 4, 4.0)
    phase = xs / period * 2 * pi
    bend = (2 / pi) * np.arcsin(np.sin(phase)) if sharp else np.sin(phase)
    for y in np.arange(-step, height + step, step):
        line(mask, list(zip(xs, y + bend * step * 0.3, strict=True)), 255, step * 0.32)


def _waves(mask: UInt8, rng: np.random.Generator) -> None:
    _wavy(mask, rng, sharp=False)


def _zigzag(mask: UInt8, rng: np.random.Generator) -> None:
    _wavy(mask, rng, sharp=True)


def _checks(mask: UInt8, rng: np.random.Generator) -> None:
    step = mask.shape[0] * rng.uniform(0.1, 0.2)
    rows, columns = (np.arange(n) // step for n in mask.shape)
    mask[...] = np.where((rows[:, None] + columns[None, :]) % 2 == 0, 255, 0)


def _grid(mask: UInt8, rng: np.random.Generator) -> None:
    step = mask.shape[0] * rng.uniform(0.1, 0.22)
    rows, columns = (np.arange(n) % step < step * 0.22 for n in mask.shape)
    mask[...] = np.where(rows[:, None] | columns[None, :], 255, 0)


def _rays(mask: UInt8, rng: np.random.Generator) -> None:
    height, width = mask.shape
    count, reach, turn = int(rng.integers(9, 17)), float(height + width), rng.uniform(0, pi)
    x, y = width / 2, height * rng.uniform(0.3, 0.7)
    for i in range(count):
        a, b = turn + 2 * pi * i / count, turn + 2 * pi * (i + 0.5) / count
        fill_poly(
            mask,
            [(x, y), (x + reach * cos(a), y + reach * sin(a)), (x + reach * cos(b), y + reach * sin(b))],
            255,
        )


def _blobs(mask: UInt8, rng: np.random.Generator) -> None:
    height, width = mask.shape
    for _ in range(int(rng.integers(18, 32))):
        r = height * rng.uniform(0.04, 0.13)
        ellipse(mask, (rng.uniform(0, width), rng.uniform(0, height)), (r * rng.uniform(0.7, 1.4), r), 255)


def _arcs(mask: UInt8, rng: np.random.Generator) -> None:
    height, width = mask.shape
    step = height * rng.uniform(0.11, 0.2)
    centre = (width * rng.choice((0.0, 0.5, 1.0)), height * rng.choice((0.0, 1.0)))
    for i in range(1, int(1.6 * max(height, width) / step)):
        ellipse(mask, centre, (i * step, i * step), 255, step * 0.4)


_PATTERNS: Final[dict[str, Callable[[UInt8, np.random.Generator], None]]] = {
    "stripes": _stripes, "dots": _dots, "waves": _waves, "checks": _checks,
    "zigzag": _zigzag, "rays": _rays, "diamonds": _diamonds, "blobs": _blobs,
    "arcs": _arcs, "grid": _grid, "slashes": _slashes, "rings": _rings,
}  # fmt: skip
