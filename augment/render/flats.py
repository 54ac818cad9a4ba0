"""Soft and flat things: pouch, tube, T-shirt and shoe, drawn from the front and tilted as a plane."""

from __future__ import annotations

from math import pi, radians
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.render.families import RenderedProduct
from augment.render.labels import back_label, design_of, front_label
from augment.render.lettering import word_mask
from augment.render.raster import (
    Float,
    Point,
    UInt8,
    blur,
    ellipse,
    fill_poly,
    line,
    luminance,
    mix,
    paint,
    shaded,
    smooth_noise,
    solid,
)  # fmt: skip
from augment.render.seeding import rng_for
from augment.render.shapes import logo_mask, pattern_mask
from augment.render.solids import Pose

FLAT_HEIGHT: Final = 480
_DARK = (24, 22, 26)


def flat_front(product: RenderedProduct, back: bool) -> UInt8:
    """The product seen straight on, uint8 (480, w, 4) RGBA; ``back`` shows the other side.

    :raises ValueError: the product's type is not drawn flat.
    """
    painters = {"pouch": _pouch, "tube": _tube, "shirt": _shirt, "shoe": _shoe}
    if product.type not in painters:
        raise ValueError(f"{product.type!r} is not drawn flat; flat types are: {', '.join(painters)}")
    return painters[product.type](product, back)


def tilt_flat(picture: UInt8, pose: Pose, height: int) -> UInt8:
    """See a flat picture from the side or from above, as a plane in perspective; ``height`` pixels tall."""
    h, w = picture.shape[:2]
    yaw = radians((pose.yaw + 90) % 180 - 90) * 0.8
    pitch = radians(pose.pitch) * 0.8
    corners = np.asarray([(-w, h, 0), (w, h, 0), (w, -h, 0), (-w, -h, 0)], dtype=np.float64) / 2
    x, z = corners[:, 0] * np.cos(yaw), corners[:, 0] * np.sin(yaw)
    y, z = corners[:, 1] * np.cos(pitch) + z * np.sin(pitch) * 0.3, z - corners[:, 1] * np.sin(pitch)
    nearness = 1 - z / (3.2 * h)
    points = np.column_stack((x / nearness, -y / nearness))
    points -= points.min(axis=0)
    points *= height / points[:, 1].max()
    size = (int(np.ceil(points[:, 0].max())) + 1, int(np.ceil(points[:, 1].max())) + 1)
    source = np.asarray([(0, 0), (w, 0), (w, h), (0, h)], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(source, points.astype(np.float32))
    if height < h // 2:
        picture = blur(picture, 0.35 * h / height)
    return np.asarray(cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)


def _finish(colour: UInt8, silhouette: UInt8, light: Float, gloss: Float | None = None) -> UInt8:
    return np.dstack((shaded(colour, light, gloss), silhouette))


def _axes(height: int, width: int) -> tuple[Float, Float]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x / width, y / height


def _rim(silhouette: UInt8, reach: float) -> Float:
    """0 at the outline to 1 well inside: what makes a soft thing look full."""
    distance = cv2.distanceTransform(silhouette, cv2.DIST_L2, 3)
    return np.asarray(np.clip(distance / reach, 0, 1), dtype=np.float32)


def _pouch(product: RenderedProduct, back: bool) -> UInt8:
    height, width = FLAT_HEIGHT, 350
    colour = (back_label if back else front_label)(product, width, height)
    silhouette = np.zeros((height, width), dtype=np.uint8)
    ys = np.linspace(0, 1, 30)
    bulge = [(0.06 - 0.05 * np.sin(pi * y) ** 0.7) * width for y in ys]
    left = [(edge + 2, 3 + y * (height - 8)) for edge, y in zip(bulge, ys, strict=True)]
    fill_poly(silhouette, left + [(width - x, y) for x, y in reversed(left)], 255)
    x, y = _axes(height, width)
    rng = rng_for("creases", product.seed, back)
    creases = smooth_noise(rng, height, width, 9) * (0.25 + np.abs(x - 0.5) + np.abs(y - 0.5))
    full = np.sin(pi * np.clip(x, 0, 1)) ** 0.5 * np.sin(pi * np.clip(y, 0, 1)) ** 0.4
    light = 0.62 + 0.36 * full + 0.12 * (0.5 - x) + 0.11 * creases
    for seam in (0.0, 0.935):
        crimp = (y > seam) & (y < seam + 0.065)
        light = np.where(crimp, 0.84 + 0.08 * np.sin(x * width * 0.9), light)
    gloss = 0.30 * np.exp(-(((x - 0.24 - 0.03 * creases) / 0.05) ** 2)) * full + 0.1 * np.maximum(0, creases - 0.35)
    return _finish(colour, silhouette, light.astype(np.float32), gloss.astype(np.float32))


def _tube(product: RenderedProduct, back: bool) -> UInt8:
    height, width = FLAT_HEIGHT, 200
    design = design_of(product)
    cap_top = round(height * 0.86)
    colour = solid(height, width, design.accent)
    colour[:cap_top] = (back_label if back else front_label)(product, width, cap_top)
    silhouette = np.zeros((height, width), dtype=np.uint8)
    body = [(3, 3), (width - 3, 3), (width * 0.86, cap_top - 22), (width * 0.76, cap_top),
            (width * 0.24, cap_top), (width * 0.14, cap_top - 22)]  # fmt: skip
    fill_poly(silhouette, body, 255)
    fill_poly(silhouette, [(width * 0.22, cap_top), (width * 0.78, cap_top), (width * 0.75, height - 3),
                           (width * 0.25, height - 3)], 255)  # fmt: skip
    x, y = _axes(height, width)
    narrowing = 1 - 0.28 * np.clip(y / 0.86, 0, 1)
    u = np.clip((x - 0.5) * 2 / narrowing, -1, 1)
    light = 0.58 + 0.46 * np.sqrt(np.maximum(0, 1 - (u + 0.25) ** 2 * 0.62))
    light = np.where(y < 0.05, 0.86 + 0.08 * np.sin(x * width * 0.8), light)
    light = np.where((y > 0.87) & (np.sin(x * width * 0.55) > 0.2), light * 0.84, light)
    gloss = 0.28 * np.exp(-(((u + 0.45) / 0.1) ** 2)) * (y > 0.05)
    return _finish(colour, silhouette, light.astype(np.float32), gloss.astype(np.float32))


def _shirt(product: RenderedProduct, back: bool) -> UInt8:
    height, width = FLAT_HEIGHT, 500
    design, rng = design_of(product), rng_for("shirt", product.seed, back)
    colour = solid(height, width, design.main)
    if product.layout in ("band", "split", "ribbon", "tower", "stack", "corner"):
        weave = pattern_mask(product.pattern, width, height, rng_for("weave", product.seed))
        if product.layout in ("band", "ribbon", "stack"):
            weave[: round(height * 0.3)] = 0
            weave[round(height * 0.62) :] = 0
        paint(colour, weave, mix(design.main, design.accent, 0.55), 0, 0)
    half: list[Point] = [
        (0.40, 0.03),
        (0.24, 0.09),
        (0.02, 0.33),
        (0.13, 0.46),
        (0.245, 0.36),
        (0.235, 0.97),
        (0.5, 0.985),
    ]
    outline = half + [(1 - x, y) for x, y in reversed(half)] + [(0.5, 0.075 if back else 0.1)]
    silhouette = np.zeros((height, width), dtype=np.uint8)
    fill_poly(silhouette, [(x * width, y * height) for x, y in outline], 255)
    silhouette = blur(silhouette, 1.0)
    if not back:
        _chest_print(product, colour)
    x, y = _axes(height, width)
    folds = smooth_noise(rng, height, width, 7) + 0.6 * np.sin((x * 9 + 1.6 * np.sin(y * 3.0)) * 2 + rng.uniform(0, 6))
    light = 0.80 + 0.17 * _rim(silhouette, 34) + 0.055 * folds * np.clip(y * 1.6, 0.3, 1) + 0.05 * (0.5 - x)
    neck = mix(design.main, _DARK, 0.35)
    line(colour, [(0.4 * width, 0.035 * height), (0.44 * width, 0.09 * height), (0.5 * width, 0.115 * height),
                  (0.56 * width, 0.09 * height), (0.6 * width, 0.035 * height)], neck, 7)  # fmt: skip
    for side in (0.245, 0.755):
        line(
            colour,
            [(side * width, 0.37 * height), ((side + (0.5 - side) * 0.12) * width, 0.12 * height)],
            neck,
            2,
        )
    line(colour, [(0.24 * width, 0.945 * height), (0.76 * width, 0.945 * height)], neck, 2)
    return _finish(colour, silhouette, light.astype(np.float32))


def _chest_print(product: RenderedProduct, colour: UInt8) -> None:
    design = design_of(product)
    height, width = colour.shape[:2]
    ink = design.accent if abs(luminance(design.accent) - luminance(design.main)) > 60 else design.ink
    edge = 105 if product.layout in ("badge", "frame", "arch", "tower") else 64
    logo = logo_mask(design.logo, edge)
    paint(colour, logo, ink, (width - edge) // 2, round(height * 0.30) - edge // 4)
    words = word_mask(product.brand, design.lettering, width * 0.42, 52)
    paint(colour, words, ink, (width - words.shape[1]) // 2, round(height * 0.55))
    small = word_mask(product.variant, design.lettering, width * 0.2, 20)
    paint(colour, small, ink, (width - small.shape[1]) // 2, round(height * 0.69))


_UPPER: Final[tuple[Point, ...]] = (
    (0.03, 0.28),
    (0.05, 0.13),
    (0.12, 0.10),
    (0.20, 0.20),
    (0.30, 0.16),
    (0.38, 0.11),
    (0.46, 0.20),
    (0.58, 0.40),
    (0.74, 0.52),
    (0.90, 0.58),
    (0.965, 0.68),
    (0.97, 0.80),
    (0.03, 0.80),
    (0.02, 0.5),
)


def _smooth(points: tuple[Point, ...]) -> NDArray[np.float64]:
    """Chaikin corner cutting, three rounds, closed."""
    curve = np.asarray(points, dtype=np.float64)
    for _ in range(3):
        following = np.roll(curve, -1, axis=0)
        curve = np.stack((0.75 * curve + 0.25 * following, 0.25 * curve + 0.75 * following), axis=1).reshape(-1, 2)
    return curve


def _shoe(product: RenderedProduct, back: bool) -> UInt8:
    height, width = 330, 620
    design, rng = design_of(product), rng_for("shoe", product.seed)
    colour = solid(height, width, design.main)
    paint(colour, pattern_mask(product.pattern, width, height, rng), mix(design.main, design.tint, 0.7), 0, 0)
    silhouette = np.zeros((height, width), dtype=np.uint8)
    fill_poly(silhouette, [(float(x * width), float(y * height)) for x, y in _smooth(_UPPER)], 255)
    sole: list[Point] = [
        (0.02, 0.76),
        (0.98, 0.76),
        (0.985, 0.86),
        (0.93, 0.955),
        (0.05, 0.955),
        (0.015, 0.88),
    ]
    fill_poly(silhouette, [(x * width, y * height) for x, y in sole], 255)
    _shoe_parts(product, colour, back)
    rubber = mix(design.accent, (240, 240, 236), 0.75 if rng.random() < 0.6 else 0.1)
    fill_poly(colour, [(x * width, y * height) for x, y in sole], rubber)
    line(
        colour,
        [(0.02 * width, 0.86 * height), (0.97 * width, 0.86 * height)],
        mix(rubber, design.accent, 0.8),
        8,
    )
    for x in np.arange(0.06, 0.94, 0.035):
        line(colour, [(x * width, 0.91 * height), (x * width, 0.96 * height)], mix(rubber, _DARK, 0.4), 3)
    _, y = _axes(height, width)
    folds = smooth_noise(rng, height, width, 8)
    light = (0.70 + 0.34 * _rim(silhouette, 46) + 0.05 * folds - 0.12 * np.clip(y - 0.6, 0, 1)).astype(np.float32)
    shoe = _finish(colour, silhouette, light)
    if back:
        shoe = np.ascontiguousarray(shoe[:, ::-1])
    scaled = cv2.resize(shoe, (round(width * FLAT_HEIGHT / height), FLAT_HEIGHT), interpolation=cv2.INTER_LINEAR)
    return np.asarray(scaled, dtype=np.uint8)


def _shoe_parts(product: RenderedProduct, colour: UInt8, back: bool) -> None:
    """Toe cap, heel, collar, laces, side stripes, logo and (on the outer side) the wordmark."""
    design = design_of(product)
    height, width = colour.shape[:2]
    stitch = mix(design.main, _DARK, 0.4)
    fill_poly(
        colour,
        [(0.80 * width, 0.45 * height), (width, 0.5 * height), (width, height), (0.84 * width, height)],
        design.tint,
    )
    fill_poly(colour, [(0, 0), (0.10 * width, 0), (0.15 * width, 0.8 * height), (0, 0.8 * height)], design.accent)
    line(colour, [(0.80 * width, 0.5 * height), (0.84 * width, 0.78 * height)], stitch, 3)
    ellipse(colour, (0.21 * width, 0.12 * height), (0.1 * width, 0.09 * height), stitch)
    for index in range(5):
        x, y = 0.44 + 0.055 * index, 0.2 + 0.075 * index
        line(colour, [(x * width, y * height), ((x - 0.045) * width, (y + 0.14) * height)], (244, 243, 238), 7)
    slant = {
        "band": 2,
        "split": 3,
        "badge": 1,
        "ribbon": 2,
        "frame": 1,
        "tower": 3,
        "arch": 2,
        "stack": 3,
        "corner": 1,
    }
    for index in range(slant[product.layout]):
        x = (0.46 + 0.07 * index) * width
        line(colour, [(x, 0.46 * height), (x - 0.06 * width, 0.76 * height)], design.accent, 13)
    edge = round(0.2 * height)
    paint(colour, logo_mask(design.logo, edge), design.ink, round(0.69 * width), round(0.54 * height))
    words = word_mask(product.brand, design.lettering, 0.24 * width, 0.12 * height)
    words = words if not back else np.ascontiguousarray(words[:, ::-1])
    paint(colour, words, design.ink, round(0.17 * width), round(0.44 * height))
