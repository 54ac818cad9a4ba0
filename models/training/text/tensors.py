"""The operations of ``models.multimodal.ops`` on TensorFlow's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.multimodal.ops import Array


class TensorOps:
    """Training. dropout: share of values left out, 0..1."""

    def __init__(self, tf: Any, dropout: float) -> None:
        """tf: the TensorFlow module, which is imported where it is used."""
        self._tf = tf
        self._dropout = dropout

    def take(self, table: Array, rows: Array) -> Array:
        return self._tf.gather(table, rows)

    def take_or_zero(self, table: Array, rows: Array) -> Array:
        return self._tf.gather(self._tf.pad(table, [[1, 0], [0, 0]]), rows)

    def present(self, rows: Array) -> Array:
        return self._tf.cast(rows > 0, self._tf.float32)

    def concatenate(self, parts: Sequence[Array]) -> Array:
        return self._tf.concat(list(parts), axis=-1)

    def sum(self, values: Array, axis: int, *, keepdims: bool = False) -> Array:
        return self._tf.reduce_sum(values, axis=axis, keepdims=keepdims)

    def maximum(self, values: Array, least: float) -> Array:
        return self._tf.maximum(values, least)

    def sqrt(self, values: Array) -> Array:
        return self._tf.sqrt(values)

    def tanh(self, values: Array) -> Array:
        return self._tf.tanh(values)

    def sigmoid(self, values: Array) -> Array:
        return self._tf.sigmoid(values)

    def softmax(self, values: Array) -> Array:
        return self._tf.nn.softmax(values)

    def dropout(self, values: Array) -> Array:
        return self._tf.nn.dropout(values, self._dropout) if self._dropout else values
