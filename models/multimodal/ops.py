"""The few operations a network of this package consists of, so that its formula is written once.

Serving runs the formula on numpy arrays; training runs the same one on tensors (``models.training.text.tensors``),
which adds gradients. What is served is what was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

Array = Any
"""A numpy array or a tensor; both know ``+ - * / @`` and slicing."""


class Ops(Protocol):
    """Operations beyond operators. Shapes and dtypes are those of the numpy functions of the same name."""

    def take(self, table: Array, rows: Array) -> Array:
        """Rows of a table (m, d) by number: (..., d)."""
        ...

    def take_or_zero(self, table: Array, rows: Array) -> Array:
        """The same with rows counted from 1; number 0 stands for a row of zeros. The table may be empty."""
        ...

    def present(self, rows: Array) -> Array:
        """float32: 1 where a number is above 0, else 0."""
        ...

    def concatenate(self, parts: Sequence[Array]) -> Array:
        """Along the last axis."""
        ...

    def sum(self, values: Array, axis: int, *, keepdims: bool = False) -> Array: ...

    def maximum(self, values: Array, least: float) -> Array: ...

    def sqrt(self, values: Array) -> Array: ...

    def tanh(self, values: Array) -> Array: ...

    def sigmoid(self, values: Array) -> Array: ...

    def softmax(self, values: Array) -> Array:
        """Along the last axis."""
        ...

    def dropout(self, values: Array) -> Array:
        """What training leaves out at random; serving leaves out nothing."""
        ...


class NumpyOps:
    """Serving."""

    def take(self, table: Array, rows: Array) -> Array:
        return table[rows]

    def take_or_zero(self, table: Array, rows: Array) -> Array:
        return np.concatenate([np.zeros((1, table.shape[1]), table.dtype), table])[rows]

    def present(self, rows: Array) -> Array:
        return (rows > 0).astype(np.float32)

    def concatenate(self, parts: Sequence[Array]) -> Array:
        return np.concatenate(parts, axis=-1)

    def sum(self, values: Array, axis: int, *, keepdims: bool = False) -> Array:
        return values.sum(axis=axis, keepdims=keepdims)

    def maximum(self, values: Array, least: float) -> Array:
        return np.maximum(values, np.float32(least))

    def sqrt(self, values: Array) -> Array:
        return np.sqrt(values)

    def tanh(self, values: Array) -> Array:
        return np.tanh(values)

    def sigmoid(self, values: Array) -> Array:
        return np.float32(1.0) / (np.float32(1.0) + np.exp(-np.clip(values, -30.0, 30.0)))

    def softmax(self, values: Array) -> Array:
        shifted = np.exp(values - values.max(axis=-1, keepdims=True))
        return shifted / shifted.sum(axis=-1, keepdims=True)

    def dropout(self, values: Array) -> Array:
        return values
