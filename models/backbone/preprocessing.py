"""The numbers around the network: how a photo enters it and how its output is normalised.

Everything here is named in :data:`PREPROCESSING`, which enters the fingerprint of a space: change a
step and change the string, and vectors of before and after can no longer be mixed by mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from augment.geometry import resize_square
from models.errors import UsageError
from models.values import BOTTLENECK_SIZE, INPUT_SIZE, Float32, UInt8

PREPROCESSING: Final = "squash-299-area-linear|x/127.5-1|sqrt|l2|v1"
"""Version of this module: fit, scaling, normalisation."""

SCALE: Final = 127.5
"""uint8 pixels become ``pixel / SCALE - 1``, the range [-1, 1] Inception-v3 was trained with."""

_NEGATIVE_TOLERANCE: Final = 1e-4
"""pool_3 averages ReLU outputs, so it is never negative; rounding may leave this much."""


def fit_input(pixels: UInt8) -> UInt8:
    """Fit a photo into the network's square input by squashing both axes.

    The whole photo stays visible (a product near the edge is never cut off); the aspect ratio does
    not survive. Area interpolation when shrinking, linear when enlarging.

    pixels: uint8 (height, width, 3), RGB, any size from 1 x 1; left untouched.
    Returns uint8 (299, 299, 3), RGB, C-contiguous; a copy even where the size already fits.
    :raise UsageError: another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise UsageError(f"a photo of {pixels.dtype} {pixels.shape} came; expected uint8 (height, width, 3)")
    if pixels.shape[:2] == (INPUT_SIZE, INPUT_SIZE):
        return np.array(pixels, order="C", copy=True)
    return np.ascontiguousarray(resize_square(pixels, INPUT_SIZE))


def scale_pixels(inputs: UInt8) -> Float32:
    """Pixels in the network's range. The runtimes do the same inside their graphs.

    inputs: uint8, any shape, 0..255.
    Returns float32 of the same shape in [-1, 1].
    """
    scaled: Float32 = inputs.astype(np.float32) / np.float32(SCALE) - np.float32(1.0)
    return scaled


_INPUT_SHAPE: Final = (INPUT_SIZE, INPUT_SIZE, 3)


def check_inputs(inputs: Sequence[UInt8]) -> None:
    """Refuse what is no prepared input.

    inputs: n arrays uint8 (299, 299, 3), RGB.
    :raise UsageError: an array of another shape or dtype; the message names its place.
    """
    for place, pixels in enumerate(inputs):
        if pixels.shape != _INPUT_SHAPE or pixels.dtype != np.uint8:
            raise UsageError(
                f"input {place} is {pixels.dtype} {pixels.shape}; expected uint8 {_INPUT_SHAPE}: use fit_input"
            )


def stack_inputs(inputs: Sequence[UInt8]) -> UInt8:
    """Prepared inputs as one batch.

    inputs: n arrays uint8 (299, 299, 3), RGB.
    Returns uint8 (n, 299, 299, 3).
    :raise UsageError: an array of another shape or dtype; the message names its place.
    """
    check_inputs(inputs)
    if not inputs:
        return np.empty((0, *_INPUT_SHAPE), np.uint8)
    return np.stack(inputs)


def normalise(pooled: NDArray[np.floating]) -> Float32:
    """Normalised bottlenecks: the square root of each value, then unit Euclidean length.

    Euclidean distance between square-rooted, L1-normalised histograms is the Hellinger distance
    (Arandjelovic & Zisserman, "Three things everyone should know to improve object retrieval",
    CVPR 2012); dividing by the L2 length of the root is the same as L1-normalising first.

    pooled: floating (n, 2048), raw pool_3, >= 0; left untouched.
    Returns float32 (n, 2048), >= 0, every row of unit length. A row of zeros, which says nothing,
    becomes the uniform vector, so that the unit length always holds.
    :raise UsageError: another shape, NaN or infinity, or values clearly below 0.
    """
    if pooled.ndim != 2 or pooled.shape[1] != BOTTLENECK_SIZE:
        raise UsageError(f"pool_3 of shape {pooled.shape} came; expected (n, {BOTTLENECK_SIZE})")
    if not np.isfinite(pooled).all():
        raise UsageError("pool_3 holds NaN or infinity: the weights or the runtime are broken")
    if pooled.size and float(pooled.min()) < -_NEGATIVE_TOLERANCE:
        raise UsageError(f"pool_3 holds {float(pooled.min()):g}; an average of ReLU outputs is never below 0")
    root = np.sqrt(np.maximum(pooled, 0.0).astype(np.float64))
    root[~root.any(axis=1)] = 1.0
    unit: Float32 = (root / np.linalg.norm(root, axis=1, keepdims=True)).astype(np.float32)
    return unit
