"""The random network: random convolutions with calibrated batch norm, the yardstick of every trained one.

Convolutions are drawn from a seeded NumPy generator, so they do not depend on Keras' random numbers;
batch-norm statistics are measured, layer after layer, on rendered images, so every layer sees inputs of
zero mean and unit variance. It tells colours, textures and shapes apart but has learned nothing: what
trained weights are worth is what they add to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from models.backbone.network import load_keras, weighted_layers
from models.backbone.preprocessing import fit_input, scale_pixels, stack_inputs
from models.backbone.weights import RANDOM_SEED
from models.values import UInt8

CALIBRATION_IMAGES: Final = 32

ImageSource = Callable[[int], Sequence[UInt8]]
"""Given how many, returns that many images, uint8 (height, width, 3) RGB."""


def make_random(network: Any, images: ImageSource, seed: int = RANDOM_SEED) -> None:
    """Give ``network`` the random weights, in place.

    network: a ``keras.Model`` from ``build_network``.
    images: where calibration images come from; the same images and seed give the same network
        up to the rounding of the machine's arithmetic.
    """
    _draw_convolutions(network, np.random.default_rng(seed))
    batch = scale_pixels(stack_inputs([fit_input(image) for image in images(CALIBRATION_IMAGES)]))
    _calibrate(network, batch)


def _draw_convolutions(network: Any, generator: np.random.Generator) -> None:
    """He-normal kernels (He et al., ICCV 2015): variance 2 / inputs of a kernel; batch norm reset."""
    for spec, layer in weighted_layers(network):
        if spec.name.startswith("conv2d"):
            shape = spec.shapes[0]
            deviation = np.sqrt(2.0 / np.prod(shape[:3]))
            layer.set_weights([(generator.standard_normal(shape) * deviation).astype(np.float32)])
        else:
            beta, mean, variance = spec.shapes
            layer.set_weights([np.zeros(beta), np.zeros(mean), np.ones(variance)])


def _calibrate(network: Any, batch: Any) -> None:
    """Set every batch norm's moving statistics to those of ``batch``.

    In training mode each layer normalises by its own batch, so one pass feeds every layer already
    calibrated inputs; momentum 0 makes the moving statistics those of this batch.
    """
    tensorflow, keras = load_keras()
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        # Graph mode frees each activation after its last use; eager mode would keep gigabytes.
        tensorflow.function(lambda pixels: network(pixels, training=True), autograph=False)(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
