"""Convolution kernels as 8-bit numbers, one scale an output channel: how packed weights stay small."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError
from models.values import Float32

Int8 = NDArray[np.int8]

_LEVELS: Final = 127
_CLIP_RATIOS: Final = tuple(ratio / 40 for ratio in range(40, 19, -1))
"""Shares of a channel's largest value that the largest 8-bit number may stand for: 1, 0.975 ... 0.5."""


def quantise_kernel(kernel: Float32) -> tuple[Int8, Float32]:
    """Symmetric 8-bit numbers with one scale an output channel.

    Of 21 scales a channel, between half its largest value / 127 and all of it, the one with the least
    squared error: giving up a channel's few largest values makes all others finer.

    kernel: float32 (..., out), finite; left untouched.
    Returns int8 of the same shape within -127..127 and float32 (out,) scales >= 0; their product is the
    kernel up to half a scale for values that are not clipped, and its squared error a channel is never above
    what the full range gives.
    :raise UsageError: NaN, infinity, or no axis.
    """
    if not kernel.ndim or not np.isfinite(kernel).all():
        raise UsageError(f"a kernel of shape {kernel.shape} came; expected (..., out) without NaN or infinity")
    rows = np.asarray(kernel, dtype=np.float32).reshape(-1, kernel.shape[-1])
    largest = np.abs(rows).max(axis=0, initial=0.0)
    least = np.full(largest.shape, np.inf)
    values, scales = np.zeros(rows.shape, np.int8), np.zeros(largest.shape, np.float32)
    for ratio in _CLIP_RATIOS:
        scale = (largest * (ratio / _LEVELS)).astype(np.float32)
        rounded = np.rint(rows / np.where(scale > 0, scale, np.float32(1)))
        clipped = np.clip(rounded, -_LEVELS, _LEVELS)
        error = np.square(rows - clipped * scale, dtype=np.float64).sum(axis=0)
        better = error < least
        least = np.where(better, error, least)
        scales[better] = scale[better]
        values[:, better] = clipped[:, better].astype(np.int8)
    return values.reshape(kernel.shape), scales


def dequantise_kernel(values: Int8, scales: Float32) -> Float32:
    """The kernel that ``quantise_kernel`` came as near to as it could.

    values: int8 (..., out). scales: float32 (out,). Returns float32 (..., out).
    """
    return np.asarray(values, dtype=np.float32) * scales
