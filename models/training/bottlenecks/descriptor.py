"""A small fact about each photo: its colours, by which near-duplicates and bursts are found."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from models.errors import UsageError
from models.values import Float32, UInt8

_EDGE: Final = 128
_BINS: Final = (6, 12, 12)
_CHROMA: Final = (64, 192)
"""Range of a* and b* that the bins cover, in OpenCV's 8-bit Lab (offset 128); beyond lies hardly any photo."""

SCENE_SIZE: Final = _BINS[0] * _BINS[1] * _BINS[2]


def scene_descriptor(pixels: UInt8) -> Float32:
    """The photo's colours as one unit vector: photos of one shelf in one light lie close together.

    A joint CIELAB histogram (6 x 12 x 12 bins of L*, a*, b*) under the square root, so that the scalar
    product of two descriptors is their Bhattacharyya coefficient, 1 for equal colours. It depends on no
    network, so scenes stay the same whatever weights are in use. Compared with tiny images, gradient
    histograms and bottlenecks in docs/decisions/0004-scenes.md.

    pixels: uint8 (height, width, 3), RGB; left untouched.
    Returns float32 (864,), >= 0, unit length.
    :raise UsageError: another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise UsageError(f"a photo of {pixels.dtype} {pixels.shape} came; expected uint8 (height, width, 3)")
    small = cv2.resize(pixels, (_EDGE, _EDGE), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    ranges = [0, 256, *_CHROMA, *_CHROMA]
    # Colours beyond the covered chroma count in the outermost bins.
    lab[..., 1:] = np.clip(lab[..., 1:], _CHROMA[0], _CHROMA[1] - 1)
    counts = cv2.calcHist([lab], [0, 1, 2], None, list(_BINS), ranges).ravel()
    return np.asarray(np.sqrt(counts / counts.sum()), dtype=np.float32)
