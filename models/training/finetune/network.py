"""Inception-v3 for fine-tuning: for any input size, cut in two, and with a part of it frozen.

Keras is imported inside the functions only.
"""

from __future__ import annotations

from typing import Any, Final

from models.backbone.network import load_keras, weighted_layers
from models.backbone.weight_files import LayerArrays
from models.training.finetune.settings import Depth

CUT: Final = "mixed8"
"""The block after which the network is cut: what lies below is frozen for ``last`` and ``last-two``.

Its 8 x 8 x 1280 output is smaller than mixed9's 8 x 8 x 2048, so keeping it and running a frozen mixed9 again
(6 % of the network) beats keeping two kinds of maps; both depths share one.
"""

_FROZEN_UP_TO: Final[dict[Depth, str | None]] = {"last": "mixed9", "last-two": "mixed8", "all": None}


def build_any_size() -> Any:
    """Inception-v3 up to pool_3 with Keras' random start values, for inputs of any size from 75 pixels.

    Returns a ``keras.Model``: float32 (n, s, s, 3) in [-1, 1] -> float32 (n, 2048); layers as in
    ``models.backbone.network.build_network``.
    """
    _, keras = load_keras()
    return keras.applications.InceptionV3(weights=None, include_top=False, pooling="avg", input_shape=(None, None, 3))


def cut_network(network: Any) -> tuple[Any, Any]:
    """(below, above) the cut; both share the network's layers, so training one changes the network.

    below: pixels -> maps (n, h, w, 1280). above: maps -> pool_3 (n, 2048).
    """
    _, keras = load_keras()
    maps = network.get_layer(CUT).output
    return keras.Model(network.input, maps), keras.Model(maps, network.output)


def free_layers(network: Any, depth: Depth) -> None:
    """Freeze the layers that ``depth`` leaves alone and free all others, in place.

    A network's layers are listed by distance from the output, so all that comes up to a block's own
    concatenation lies at or below it.
    """
    last_frozen = _FROZEN_UP_TO[depth]
    frozen = last_frozen is not None
    for layer in network.layers:
        layer.trainable = not frozen
        if layer.name == last_frozen:
            frozen = False


def get_arrays(network: Any) -> LayerArrays:
    """The network's weights, float32, one list a layer with weights, in network order."""
    return [list(layer.get_weights()) for _, layer in weighted_layers(network)]


def set_arrays(network: Any, arrays: LayerArrays) -> None:
    """Give the network these weights, in place."""
    for (_, layer), values in zip(weighted_layers(network), arrays, strict=True):
        layer.set_weights(values)
