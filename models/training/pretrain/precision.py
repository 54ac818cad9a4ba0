"""The numbers a network computes with while it trains.

Mixed: layers compute in 16 bits, weights, losses and optimizer stay in 32. GPUs with units for it are faster so and
hold larger batches; a processor is slower. Keras scales the loss of ``mixed_float16`` by itself, so that small
gradients do not vanish.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, get_args

from models.backbone.network import import_keras

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
"""Keras' names of its dtype policies."""

PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Networks and models made meanwhile compute in ``precision``, and go on doing so."""
    keras = import_keras()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def full(values: Any) -> Any:
    """A tensor in float32: sums of squares of 16-bit numbers would overflow."""
    return import_keras().ops.cast(values, "float32")
