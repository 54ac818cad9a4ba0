"""A small network with the maps of Inception-v3 (stem with two pools, mixed0 to mixed10, 2,048 features)."""

from __future__ import annotations

from typing import Any, Final

from models.backbone.network import import_keras

BRANCHED: Final = (0, 10)
"""Mixed blocks of two branches, a pooled one and a deep one; the others are one convolution each."""

REDUCING: Final = (3, 8)
"""Mixed blocks that halve the map's edges, as in Inception-v3."""

POOLED_NORM: Final = "mixed0_pooled_norm"
"""The batch norm of mixed0's pooled branch, whose channels come first in its map."""

_WIDTHS: Final = (8, 8, 8, 12, 12, 12, 12, 12, 16, 16, 2048)


def build_tiny() -> Any:
    """float32 (n, size, size, 3) -> float32 (n, 2048); layers of the kinds that ``weighted_layers`` knows."""
    keras = import_keras()
    layers = keras.layers

    def conv(tensor: Any, filters: int, size: int, strides: int = 1, name: str | None = None) -> Any:
        tensor = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(tensor)
        tensor = layers.BatchNormalization(scale=False, name=f"{name}_pooled_norm" if name else None)(tensor)
        return layers.Activation("relu")(tensor)

    pixels = keras.Input((None, None, 3))
    tensor = layers.MaxPooling2D(3, 2)(conv(pixels, 6, 3, 2))
    tensor = layers.MaxPooling2D(3, 2)(conv(tensor, 8, 3))
    for number, width in enumerate(_WIDTHS):
        name = f"mixed{number}"
        if number in BRANCHED:
            pooled = conv(layers.AveragePooling2D(3, 1, padding="same")(tensor), width // 2, 1, name=name)
            deep = conv(conv(tensor, 8, 1), width // 2, 3)
            tensor = layers.Concatenate(name=name)([pooled, deep])
        else:
            strides = 2 if number in REDUCING else 1
            tensor = layers.Activation("linear", name=name)(conv(tensor, width, 3, strides))
    return keras.Model(pixels, layers.GlobalAveragePooling2D()(tensor))
