"""Putting cut-out products into a picture: blending, contact shadows and cast shadows."""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np

from augment.render.raster import UInt8, blur, ellipse, resize

_SHADOW_SCALE = 4
"""Shadows are soft: they are made at a quarter of the resolution."""


def place(target: UInt8, sprite: UInt8, x: int, y: int, coverage: UInt8 | None = None) -> None:
    """Blend ``sprite`` (h, w, 4) into ``target`` (H, W, 3) in place, its top left corner at (x, y).

    coverage: a mask (H, W) that is set where the sprite covers, for the target product, or None.
    """
    height, width = sprite.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, target.shape[1]), min(y + height, target.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = sprite[y0 - y : y1 - y, x0 - x : x1 - x]
    alpha = part[..., 3:].astype(np.float32) / 255
    region = target[y0:y1, x0:x1]
    region[...] = region + alpha * (part[..., :3].astype(np.float32) - region) + 0.5
    if coverage is not None:
        np.maximum(coverage[y0:y1, x0:x1], part[..., 3], out=coverage[y0:y1, x0:x1])


def stand(
    target: UInt8,
    sprite: UInt8,
    base: tuple[int, int],
    shadow: float,
    lean: float,
    *,
    coverage: UInt8 | None = None,
) -> None:
    """Stand a sprite on the floor with the middle of its base at ``base`` (x, y), shadows first.

    :param shadow: darkness of the contact shadow, 0-1. lean: how far the cast shadow falls to the side,
        in product heights; negative to the left.
    """
    height, width = sprite.shape[:2]
    x, y = base[0] - width // 2, base[1] - height
    _cast_shadow(target, sprite, (x, base[1]), 0.45 * shadow, lean)
    _contact_shadow(target, width, base, shadow)
    place(target, sprite, x, y, coverage)


def hang(target: UInt8, sprite: UInt8, base: tuple[int, int], shadow: float, *, coverage: UInt8 | None = None) -> None:
    """Lay a sprite flat on the picture plane: a soft shadow all around, as of a thing lying on a table."""
    height, width = sprite.shape[:2]
    x, y = base[0] - width // 2, base[1] - height
    pad = max(8, height // 12)
    mask = cv2.copyMakeBorder(sprite[..., 3], pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    _darken(
        target,
        np.asarray(mask, dtype=np.uint8),
        (x - pad + pad // 4, y - pad + pad // 3),
        shadow,
        height * 0.02,
    )
    place(target, sprite, x, y, coverage)


def _contact_shadow(target: UInt8, width: int, base: tuple[int, int], strength: float) -> None:
    half = max(4, round(width * 0.62))
    depth = max(3, round(width * 0.11))
    mask = np.zeros((4 * depth, 2 * half), dtype=np.uint8)
    ellipse(mask, (half, 2 * depth), (width * 0.5, depth * 0.8), 255)
    _darken(target, mask, (base[0] - half, base[1] - 2 * depth - depth // 3), strength, depth * 0.42)


def _cast_shadow(target: UInt8, sprite: UInt8, base: tuple[int, int], strength: float, lean: float) -> None:
    """The silhouette laid backwards on the floor."""
    height, width = sprite.shape[:2]
    flat, reach = 0.30, abs(lean) * height
    w, h = ceil((width + reach) / _SHADOW_SCALE) + 4, ceil(height * flat / _SHADOW_SCALE) + 4
    left = reach if lean < 0 else 0.0
    # A sprite pixel (u, v) falls at (left + u + lean (height - v), flat v) before scaling down.
    matrix = np.asarray([[1, -lean, left + lean * height], [0, flat, 0]], dtype=np.float32) / _SHADOW_SCALE
    mask = np.asarray(cv2.warpAffine(sprite[..., 3], matrix, (w, h)), dtype=np.uint8)
    large = resize(blur(mask, max(0.8, height * 0.012 / _SHADOW_SCALE * 2)), w * _SHADOW_SCALE, h * _SHADOW_SCALE)
    _darken(target, large, (round(base[0] - left), round(base[1] - flat * height)), strength, 0)


def _darken(target: UInt8, mask: UInt8, corner: tuple[int, int], strength: float, sigma: float) -> None:
    if sigma > 2:
        small = resize(mask, mask.shape[1] // 2, mask.shape[0] // 2)
        mask = resize(blur(small, sigma / 2), mask.shape[1], mask.shape[0])
    else:
        mask = blur(mask, sigma)
    height, width = mask.shape
    x0, y0 = max(corner[0], 0), max(corner[1], 0)
    x1, y1 = min(corner[0] + width, target.shape[1]), min(corner[1] + height, target.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = mask[y0 - corner[1] : y1 - corner[1], x0 - corner[0] : x1 - corner[0]]
    region = target[y0:y1, x0:x1]
    region[...] = region * (1 - strength / 255 * part[..., None].astype(np.float32))
