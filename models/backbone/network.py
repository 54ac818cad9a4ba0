"""The Keras network: Inception-v3 without top, global average pool (pool_3).

Needs TensorFlow, which is imported inside the functions only; used where backbones are prepared and by
the TensorFlow runtime, never by the serving path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.backbone.preprocessing import SCALE
from models.values import INPUT_SIZE


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer that carries weights.

    name: Keras' own counter by class in network order (``conv2d``, ``conv2d_1``,
        ``batch_normalization`` ...), the same in every process.
    shapes: shapes of its arrays, in Keras' order (convolution: kernel; batch norm: beta,
        moving mean, moving variance).
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]


def load_keras() -> tuple[Any, Any]:
    """(tensorflow, keras) with the TensorFlow backend, on the CPU, without its start-up chatter.

    Seconds on the first call. Environment variables already set by the operator win.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    keras = import_keras()
    with _silent_stderr():
        import tensorflow

    return tensorflow, keras


def import_keras() -> Any:
    """keras alone, on the backend that ``KERAS_BACKEND`` names (TensorFlow where it names none).

    For code that trains: it may run on a GPU and on any backend, with TensorFlow not even installed.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent_stderr():
        import keras

    return keras


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what native code writes to file descriptor 2 meanwhile: TensorFlow reports a missing GPU there before
    its own log level counts. Exceptions are not affected."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def build_network(size: int | None = INPUT_SIZE) -> Any:
    """An Inception-v3 up to pool_3 with Keras' own random start values.

    size: edge of the input, pixels; None leaves it open (at least 75).
    Returns a ``keras.Model``: float32 (n, size, size, 3) in [-1, 1] -> float32 (n, 2048).
    """
    keras = import_keras()
    return keras.applications.InceptionV3(weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3))


def weighted_layers(network: Any) -> list[tuple[LayerSpec, Any]]:
    """The layers that carry weights with their specification, in network order."""
    keras = import_keras()
    counters: dict[str, int] = {}
    found: list[tuple[LayerSpec, Any]] = []
    for layer in network.layers:
        if not layer.weights:
            continue
        kind = "conv2d" if isinstance(layer, keras.layers.Conv2D) else "batch_normalization"
        count = counters.get(kind, 0)
        counters[kind] = count + 1
        name = kind if count == 0 else f"{kind}_{count}"
        shapes = tuple(tuple(int(n) for n in weight.shape) for weight in layer.weights)
        found.append((LayerSpec(name, shapes), layer))
    return found


def pool3_function(network: Any) -> Any:
    """A traced function from pixels to pool_3, the scaling to [-1, 1] included.

    Returns a ``tf.function``: uint8 (n, 299, 299, 3) RGB -> float32 (n, 2048). Both runtimes come from
    this one graph, so neither can scale differently.
    """
    tensorflow, _ = load_keras()
    signature = [tensorflow.TensorSpec([None, INPUT_SIZE, INPUT_SIZE, 3], tensorflow.uint8, name="pixels")]

    @tensorflow.function(input_signature=signature, autograph=False)  # type: ignore[untyped-decorator]
    def pool3(pixels: Any) -> Any:
        return network(tensorflow.cast(pixels, tensorflow.float32) / SCALE - 1.0, training=False)

    return pool3
