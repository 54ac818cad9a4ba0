"""The one way a photo becomes a square: shared by the variants and the backbone's preprocessing."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]

MIN_EDGE: Final = 1


def require_photo(pixels: UInt8) -> None:
    """Raise ``ValueError`` unless ``pixels`` is a non-empty uint8 array (h, w, 3)."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(
            f"expected a non-empty uint8 RGB array of shape (height, width, 3), got {pixels.dtype} "
            f"{pixels.shape}; decode the photo to 8-bit RGB first"
        )


def resize_square(pixels: UInt8, size: int) -> UInt8:
    """Resize to ``size`` x ``size``, each axis on its own (the aspect ratio is not kept).

    Axes that shrink are averaged (``INTER_AREA``, no aliasing), axes that grow are interpolated
    (``INTER_LINEAR``). The answer is always a fresh array; ``pixels`` is left untouched.

    :param pixels: uint8 (h, w, 3) RGB.
    :param size: edge of the result in pixels, >= 1.
    :returns: uint8 (size, size, 3).
    :raises ValueError: ``pixels`` is not such an array, or ``size`` < 1.
    """
    require_photo(pixels)
    if size < MIN_EDGE:
        raise ValueError(f"size must be at least {MIN_EDGE} pixel, got {size}")
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels.copy()
    result = pixels
    if height > size or width > size:
        shrunk = (min(width, size), min(height, size))
        result = np.asarray(cv2.resize(result, shrunk, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if result.shape[:2] != (size, size):
        result = np.asarray(cv2.resize(result, (size, size), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return result


def limit_short_edge(pixels: UInt8, limit: int) -> UInt8:
    """Shrink by averaging, aspect ratio kept, until the shorter edge is at most ``limit`` pixels.

    A smaller photo comes back as it is (the same array).
    """
    require_photo(pixels)
    height, width = pixels.shape[:2]
    short = min(height, width)
    if short <= limit:
        return pixels
    target = (max(1, round(width * limit / short)), max(1, round(height * limit / short)))
    return np.asarray(cv2.resize(pixels, target, interpolation=cv2.INTER_AREA), dtype=np.uint8)
