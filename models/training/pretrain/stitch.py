"""Between the stages: the blocks, each taught with the teacher's maps, are made to work on each other's.

A block's answer leaves part of the teacher's map unexplained, so its channels vary less than the teacher's, and
the next block sees inputs unlike those it was taught with. Layer after layer, batch norm (an identity so far)
gets the mean and variance that bring its own output, in the stitched network, back to the moments it had on the
teacher's maps; behind a block's last convolutions it gets the spread of the teacher's.

All moments are taken *behind* the batch norms, so it does not matter how a teacher shares its scale between
convolution and norm (folded, as some files have it, or not, as Keras' own).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.backbone.network import import_keras, weighted_layers
from models.training.pretrain.blocks import block_outputs, cut_blocks
from models.training.pretrain.precision import full
from models.values import Float32

_LEAST_DEVIATION: Final = 1e-3
_EPSILON: Final = 1e-3
_BATCH: Final = 16
_PASSES: Final = 5
"""The longest branch of a block has five convolutions; each pass settles one more of them."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A convolution of the student with its batch norm, and the teacher's batch norm in the same place.
    last: its map is part of the block's."""

    convolution: Any
    norm: Any
    teacher_norm: Any
    last: bool


def stitch(student: Any, teacher: Any, pixels: Float32) -> None:
    """Calibrate ``student`` in place.

    student, teacher: networks of ``build_network``, weights set. pixels: float32 (n, size, size, 3) in [-1, 1],
    about a hundred images.
    """
    pairs = {pair.convolution.name: pair for pair in _pairs(student, teacher)}
    fed_teacher = fed_student = pixels
    entrances = _entrances(student), _entrances(teacher)
    blocks = zip(cut_blocks(student), cut_blocks(teacher), *entrances, strict=True)
    for block, guide, student_input, teacher_input in blocks:
        own = [pairs[layer.name] for layer in block.model.layers if layer.name in pairs]
        taught = _moments(_moments_model(student_input, [pair.norm.output for pair in own]), fed_teacher)
        wanted = _moments(_moments_model(teacher_input, [pair.teacher_norm.output for pair in own]), fed_teacher)
        before_norms = _moments_model(student_input, [pair.convolution.output for pair in own])
        for _ in range(_PASSES):
            found = _moments(before_norms, fed_student)
            for place, pair in enumerate(own):
                _calibrate(pair, taught[place], wanted[place], found[place])
        (fed_student,) = _answers(block.model, fed_student)
        (fed_teacher,) = _answers(guide.model, fed_teacher)


def silence_dead_inputs(student: Any, teacher: Any, pixels: Float32) -> int:
    """Let no convolution read channels that never varied in the teacher: what came there was a constant.

    The student's own such channels were taught nothing yet; unread, they wait for the joint stage to use them.
    Returns how many channels of block maps are dead.
    """
    keras = import_keras()
    outputs = block_outputs(teacher)
    moments = _moments(_moments_model(teacher.input, [tensor for _, tensor in outputs]), pixels)
    count = 0
    for block, entrance, (_, deviation) in zip(cut_blocks(student)[1:], _entrances(student)[1:], moments, strict=False):
        dead = deviation < _LEAST_DEVIATION
        count += int(dead.sum())
        for layer in block.model.layers if dead.any() else ():
            if isinstance(layer, keras.layers.Conv2D) and _reads(layer, entrance):
                kernel = np.asarray(layer.kernel).copy()
                kernel[:, :, dead] = 0.0
                layer.kernel.assign(kernel)
    return count


def _entrances(network: Any) -> list[Any]:
    """The tensor that each block starts from, in the network's own graph."""
    return [network.input, *(tensor for _, tensor in block_outputs(network)[:-1])]


def _reads(layer: Any, entrance: Any) -> bool:
    """Whether a convolution reads a block's entrance, directly or through a pool."""
    keras = import_keras()
    before = layer.input
    while before is not entrance:
        producer = _producer(before)
        if not isinstance(producer, keras.layers.MaxPooling2D | keras.layers.AveragePooling2D):
            return False
        before = producer.input
    return True


def _pairs(student: Any, teacher: Any) -> list[_Pair]:
    """All convolutions with their batch norms, in network order."""
    outputs = _last_convolutions(student)
    return [
        _Pair(convolution, norm, guide, convolution.name in outputs)
        for (convolution, norm), (_, guide) in zip(_normed(student), _normed(teacher), strict=True)
    ]


def _normed(network: Any) -> list[tuple[Any, Any]]:
    """(convolution, the batch norm behind it), in network order."""
    layers = weighted_layers(network)
    kinds = [spec.name.startswith("conv2d") for spec, _ in layers]
    norms = {_producer(layer.input).name: layer for (_, layer), conv in zip(layers, kinds, strict=True) if not conv}
    return [(layer, norms[layer.name]) for (_, layer), conv in zip(layers, kinds, strict=True) if conv]


def _last_convolutions(student: Any) -> set[str]:
    """Names of the convolutions whose activation is part of a block's map."""
    keras = import_keras()
    found = set()
    pending = [tensor for _, tensor in block_outputs(student)]
    while pending:
        layer = _producer(pending.pop())
        if isinstance(layer, keras.layers.Conv2D):
            found.add(layer.name)
        elif isinstance(layer, keras.layers.Concatenate):
            pending += list(layer.input)
        elif isinstance(layer, keras.layers.Activation | keras.layers.BatchNormalization):
            pending.append(layer.input)
    return found


def _producer(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _moments_model(entrance: Any, maps: list[Any]) -> Any:
    """A model from a block's entrance to each map's mean and mean square over the positions, (n, channels) each."""
    keras = import_keras()
    exact = [full(tensor) for tensor in maps]
    means = [keras.ops.mean(tensor, axis=(1, 2)) for tensor in exact]
    squares = [keras.ops.mean(keras.ops.square(tensor), axis=(1, 2)) for tensor in exact]
    return keras.Model(entrance, means + squares)


def _answers(model: Any, images: Float32) -> list[Float32]:
    """The model's outputs for all images. Called as it is: tracing dozens of models that run a few times costs more
    than it saves."""
    found = []
    for start in range(0, len(images), _BATCH):
        outputs = model(images[start : start + _BATCH], training=False)
        found.append([np.asarray(values) for values in (outputs if isinstance(outputs, list) else [outputs])])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _moments(model: Any, images: Float32) -> list[tuple[Float32, Float32]]:
    """(mean, standard deviation) by channel of each of the model's maps."""
    found = [values.mean(axis=0, dtype=np.float64) for values in _answers(model, images)]
    half = len(found) // 2
    pairs = zip(found[:half], found[half:], strict=True)
    return [(mean, np.sqrt(np.maximum(square - mean**2, 0.0))) for mean, square in pairs]


def _calibrate(pair: _Pair, taught: Any, wanted: Any, found: Any) -> None:
    """Give the norm what turns the moments ``found`` before it into the ``taught`` ones, or, for the spread of a
    block's map, into the teacher's ``wanted`` ones."""
    mean, deviation = taught[0], np.maximum(taught[1], _LEAST_DEVIATION)
    if pair.last:
        deviation = np.where(wanted[1] > _LEAST_DEVIATION, wanted[1], deviation)
    variance = np.maximum((found[1] / deviation) ** 2, 1e-6)
    pair.norm.set_weights([mean, found[0], np.maximum(variance - _EPSILON, 0.0)])
