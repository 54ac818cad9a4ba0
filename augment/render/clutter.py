"""Things that lie about on a table: plates, notes, pens, keys' worth of shapes."""

from __future__ import annotations

import numpy as np

from augment.render.raster import RGB, UInt8, ellipse, fill_poly, line, mix
from augment.render.stage import place


def draw_clutter(pixels: UInt8, horizon: float, rng: np.random.Generator) -> None:
    """Draw none to three things on the table below ``horizon`` (share of the height), in place."""
    height, width = pixels.shape[:2]
    for _ in range(int(rng.integers(0, 4))):
        edge = round(width * rng.uniform(0.18, 0.4))
        thing = np.zeros((edge, edge, 4), dtype=np.uint8)
        (_plate, _note, _pen)[int(rng.integers(3))](thing, rng)
        x = round(width * rng.choice((rng.uniform(-0.15, 0.12), rng.uniform(0.68, 0.95))))
        y = round(height * rng.uniform(horizon + 0.08, 0.9))
        soft = thing.copy()
        soft[..., :3] = 0
        soft[..., 3] = (soft[..., 3] * 0.3).astype(np.uint8)
        place(pixels, soft, x + edge // 40, y + edge // 30)
        place(pixels, thing, x, y)


def _colour(rng: np.random.Generator) -> RGB:
    r, g, b = (int(value) for value in rng.integers(40, 235, 3))
    return mix((r, g, b), (150, 150, 150), 0.35)


def _plate(thing: UInt8, rng: np.random.Generator) -> None:
    edge = thing.shape[0]
    colour, alpha = _colour(rng), np.zeros(thing.shape[:2], dtype=np.uint8)
    flat = rng.uniform(0.4, 0.6)
    for share, shade in ((0.48, 0.0), (0.44, 0.25), (0.3, 0.12), (0.28, 0.3)):
        layer = np.ascontiguousarray(thing[..., :3])
        ellipse(
            layer,
            (edge / 2, edge / 2),
            (edge * share, edge * share * flat),
            mix(colour, (255, 255, 255), shade),
        )
        thing[..., :3] = layer
    ellipse(alpha, (edge / 2, edge / 2), (edge * 0.48, edge * 0.48 * flat), 255)
    thing[..., 3] = alpha


def _note(thing: UInt8, rng: np.random.Generator) -> None:
    edge = thing.shape[0]
    layer, alpha = np.ascontiguousarray(thing[..., :3]), np.zeros(thing.shape[:2], dtype=np.uint8)
    lean = rng.uniform(-0.12, 0.12)
    quad = [
        (edge * (0.15 + lean), edge * 0.2),
        (edge * (0.85 + lean), edge * 0.25),
        (edge * 0.9, edge * 0.8),
        (edge * 0.1, edge * 0.78),
    ]
    fill_poly(layer, quad, mix(_colour(rng), (255, 255, 250), 0.7))
    for row in np.linspace(0.32, 0.7, 6):
        line(
            layer,
            [(edge * (0.22 + lean / 2), edge * row), (edge * rng.uniform(0.5, 0.8), edge * (row + 0.02))],
            (90, 92, 110),
            edge / 70,
        )
    fill_poly(alpha, quad, 255)
    thing[..., :3], thing[..., 3] = layer, alpha


def _pen(thing: UInt8, rng: np.random.Generator) -> None:
    edge = thing.shape[0]
    layer, alpha = np.ascontiguousarray(thing[..., :3]), np.zeros(thing.shape[:2], dtype=np.uint8)
    ends = [(edge * 0.12, edge * rng.uniform(0.2, 0.8)), (edge * 0.88, edge * rng.uniform(0.2, 0.8))]
    colour = _colour(rng)
    line(layer, ends, mix(colour, (0, 0, 0), 0.3), edge * 0.075)
    line(layer, [(x, y - edge * 0.015) for x, y in ends], mix(colour, (255, 255, 255), 0.3), edge * 0.03)
    line(alpha, ends, 255, edge * 0.075)
    thing[..., :3], thing[..., 3] = layer, alpha
