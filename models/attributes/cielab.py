"""sRGB to CIELAB, and the CIEDE2000 colour difference."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.values import UInt8

Float64 = NDArray[np.float64]

_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to XYZ (IEC 61966-2-1), white point D65."""
_WHITE: Final = _TO_XYZ.sum(axis=1)
_DELTA: Final = 6 / 29
_LEVELS: Final = np.arange(256) / 255
_LINEAR: Final = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)


def rgb_to_lab(pixels: UInt8) -> Float64:
    """CIELAB (CIE 15:2004, D65, 2 degrees) of sRGB pixels.

    pixels: uint8 (..., 3), RGB order. Returns float64 (..., 3): L in 0..100, a and b about -128..127.
    """
    ratio = (_LINEAR[pixels] @ _TO_XYZ.T) / _WHITE
    f = np.where(ratio > _DELTA**3, np.cbrt(ratio), ratio / (3 * _DELTA**2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def ciede2000(first: Float64, second: Float64) -> Float64:
    """Colour difference CIEDE2000 with kL = kC = kH = 1, element by element, with broadcasting.

    first, second: (..., 3) CIELAB. Returns float64 (...), >= 0, symmetric.
    Source: Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary
    test data, and mathematical observations", Color Research and Application 30(1), 2005.
    """
    l1, a1, b1 = np.moveaxis(np.asarray(first, dtype=np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, dtype=np.float64), -1, 0)
    mean_c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(mean_c7 / (mean_c7 + 25.0**7)))  # (2)-(4)
    a1, a2 = (1 + g) * a1, (1 + g) * a2  # (5)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)  # (6)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360  # (7)
    grey = c1 * c2 == 0
    d_h = np.where(grey, 0.0, (h2 - h1 + 180) % 360 - 180)  # (10)
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(d_h) / 2)  # (11)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2  # (12), (13)
    total = h1 + h2
    around = np.where(total < 360, total + 360, total - 360)
    mean_h = np.where(grey, total, np.where(np.abs(h1 - h2) <= 180, total, around) / 2)  # (14)
    t = (
        1
        - 0.17 * np.cos(np.radians(mean_h - 30))
        + 0.24 * np.cos(np.radians(2 * mean_h))
        + 0.32 * np.cos(np.radians(3 * mean_h + 6))
        - 0.20 * np.cos(np.radians(4 * mean_h - 63))
    )  # (15)
    d_theta = 30 * np.exp(-(((mean_h - 275) / 25) ** 2))  # (16)
    r_c = 2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))  # (17)
    light = (l2 - l1) / (1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2))  # (8), (18)
    chroma = (c2 - c1) / (1 + 0.045 * mean_c)  # (9), (19)
    hue = d_hue / (1 + 0.015 * mean_c * t)  # (20)
    turn = -np.sin(np.radians(2 * d_theta)) * r_c  # (21)
    squared = light**2 + chroma**2 + hue**2 + turn * chroma * hue  # (22)
    return np.sqrt(np.maximum(squared, 0.0))
