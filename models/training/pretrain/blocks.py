"""Inception-v3 cut into blocks at the maps where a teacher's and a student's can be compared.

Two blocks of the stem, then the eleven mixed blocks. A block is a model of its own over layers that it shares
with its network: training the block trains the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.backbone.network import import_keras, weighted_layers
from models.values import Float32

_EPSILON = 1e-3
"""Of Keras' batch norm in Inception-v3; a moving variance of 1 - epsilon makes it an exact identity."""


@dataclass(frozen=True, slots=True)
class Block:
    """name: of the block. model: from the map before it to its own."""

    name: str
    model: Any


def block_outputs(network: Any) -> list[tuple[str, Any]]:
    """(name, tensor) of the maps, in order: the stem's two before their pooling, then mixed0 to mixed10."""
    keras = import_keras()
    pools = [layer for layer in network.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    stem = [("stem0", pools[0].input), ("stem1", pools[1].input)]
    return stem + [(f"mixed{i}", network.get_layer(f"mixed{i}").output) for i in range(11)]


def cut_blocks(network: Any) -> list[Block]:
    """The thirteen blocks of ``network``, in order."""
    keras = import_keras()
    before = network.input
    blocks = []
    for name, tensor in block_outputs(network):
        blocks.append(Block(name, keras.Model(before, tensor, name=f"block_{name}")))
        before = tensor
    return blocks


def maps_model(network: Any) -> Any:
    """A model from pixels in [-1, 1] to the list of all block maps."""
    keras = import_keras()
    return keras.Model(network.input, [tensor for _, tensor in block_outputs(network)])


def start_student(network: Any, seed: int) -> None:
    """Random values, in place: He-normal kernels (He et al., ICCV 2015) from a seeded NumPy generator, batch norm an
    identity (mean 0, variance 1 - epsilon, beta 0).

    Each output's kernel is shifted to mean 0: after a ReLU the inputs' common part is large and says little, and a
    shifted kernel does not answer to it.
    """
    generator = np.random.default_rng(seed)
    for spec, layer in weighted_layers(network):
        if spec.name.startswith("conv2d"):
            shape = spec.shapes[0]
            deviation = np.sqrt(2.0 / np.prod(shape[:3]))
            kernel = generator.standard_normal(shape) * deviation
            layer.set_weights([(kernel - kernel.mean(axis=(0, 1, 2))).astype(np.float32)])
        else:
            beta, mean, variance = spec.shapes
            layer.set_weights([np.zeros(beta), np.zeros(mean), np.full(variance, 1.0 - _EPSILON)])


def channel_weights(maps: Sequence[Float32]) -> list[Float32]:
    """How much a channel's squared error counts: one over its variance, channels that never vary not at all.

    A channel that hardly ever answers would count most of all, so half the median deviation is the least that
    divides.

    maps: a teacher's maps of some images, float32 (n, h, w, c) each.
    Returns float32 (c,) each, so that the weighted sum is the mean over living channels of the unexplained share.
    """
    weights = []
    for values in maps:
        deviation = values.std(axis=(0, 1, 2), dtype=np.float64)
        living = deviation > 1e-3
        floor = 0.5 * float(np.median(deviation[living]))
        share = np.where(living, 1.0 / np.maximum(deviation, floor) ** 2, 0.0) / max(1, living.sum())
        weights.append(share.astype(np.float32))
    return weights
