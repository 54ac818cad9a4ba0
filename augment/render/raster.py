"""Small raster tools over OpenCV, typed: uint8 images in RGB order, masks 0-255."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float = NDArray[np.float32]
RGB = tuple[int, int, int]
Point = tuple[float, float]

_SUBPIXEL_BITS: Final = 4


def solid(height: int, width: int, colour: RGB) -> UInt8:
    """A plain image (height, width, 3)."""
    return np.full((height, width, 3), colour, dtype=np.uint8)


def resize(image: UInt8, width: int, height: int) -> UInt8:
    """Area average when shrinking, bilinear when growing."""
    shrinks = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (max(1, width), max(1, height)), interpolation=method), dtype=np.uint8)


def blur(image: UInt8, sigma: float) -> UInt8:
    """Gaussian blur; a sigma below 0.2 pixels leaves the image as it is."""
    if sigma < 0.2:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8)


def fill_poly(target: UInt8, points: Sequence[Point], value: RGB | int) -> None:
    """Fill an anti-aliased polygon in place; points are (x, y), fractions of a pixel count."""
    fixed = np.round(np.asarray(points, dtype=np.float64) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(target, [fixed], _value(value), cv2.LINE_AA, _SUBPIXEL_BITS)


def line(target: UInt8, points: Sequence[Point], value: RGB | int, thickness: float) -> None:
    """An anti-aliased open polyline in place."""
    fixed = np.round(np.asarray(points, dtype=np.float64) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.polylines(target, [fixed], False, _value(value), max(1, round(thickness)), cv2.LINE_AA, _SUBPIXEL_BITS)


def ellipse(target: UInt8, centre: Point, axes: Point, value: RGB | int, thickness: float = -1) -> None:
    """An anti-aliased upright ellipse (filled unless a thickness is given) in place."""
    scale = 1 << _SUBPIXEL_BITS
    cv2.ellipse(
        target,
        (round(centre[0] * scale), round(centre[1] * scale)),
        (max(1, round(axes[0] * scale)), max(1, round(axes[1] * scale))),
        0, 0, 360, _value(value),
        -1 if thickness < 0 else max(1, round(thickness)),
        cv2.LINE_AA, _SUBPIXEL_BITS,
    )  # fmt: skip


def paint(target: UInt8, mask: UInt8, colour: RGB, x: int, y: int) -> None:
    """Paint ``colour`` through ``mask`` with its top left corner at (x, y); parts outside are dropped."""
    height, width = mask.shape
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, target.shape[1]), min(y + height, target.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    alpha = mask[y0 - y : y1 - y, x0 - x : x1 - x, None].astype(np.float32) / 255
    region = target[y0:y1, x0:x1]
    region[...] = region + alpha * (np.asarray(colour, dtype=np.float32) - region) + 0.5


def shaded(image: UInt8, light: Float, gloss: Float | None = None) -> UInt8:
    """``image`` (h, w, 3) times ``light`` (h, w) plus white ``gloss`` (h, w), both about 0-1."""
    result = image * light[..., None]
    if gloss is not None:
        result += (255 * gloss)[..., None]
    return np.clip(result + 0.5, 0, 255).astype(np.uint8)


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """The colour ``share`` of the way from ``first`` to ``second``."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(first, second, strict=True))
    return r, g, b


def luminance(colour: RGB) -> float:
    """Rec. 601 luma, 0-255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> Float:
    """Cubic-interpolated random field, about -1 to 1, ``cells`` bumps along the longer edge."""
    step = max(height, width) / cells
    grid = rng.uniform(-1, 1, (max(2, round(height / step)) + 1, max(2, round(width / step)) + 1))
    field = cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, dtype=np.float32)


def _value(value: RGB | int) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else value
