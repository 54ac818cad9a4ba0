"""Training the fusion embedding: one network for every subset of modalities, by a contrastive loss (seed 003).

A step draws items of several labels and embeds them once for each subset of the modalities; within a subset every two
items are a pair. Their similarity s is brought to 1 where they are alike and to 0 where they are not: the cosine is
scaled from -1..1 to 0..1 and judged by cross-entropy; Euclidean distance by the margin loss of Hadsell, Chopra and
LeCun ("Dimensionality reduction by learning an invariant mapping", CVPR 2006). Alike and unalike pairs count half each.

Negatives share a modality too, as the seed's do (another photo under the same name): a share of the items is put
together from modalities of different labels. Two items are alike in a subset where all of its modalities have the same
label, so these ask the fusion to look at every modality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.backbone.network import load_keras
from models.errors import NotEnoughData, UsageError
from models.multimodal.modalities import ENCODER_LAYERS, Bools, Dense, Encoder, FusionEmbedding, Metric
from models.values import Float32

Ints = NDArray[np.intp]

_LEAST_SCALE: Final = 1e-6
_NEARLY: Final = 1e-4
"""Similarities are kept this far from 0 and 1, and distances from 0, where logarithm and root have no slope."""


@dataclass(frozen=True, slots=True)
class ModalitySettings:
    """How to fit.

    width: outputs of every layer but the last. size: length of an embedding. labels_a_step, items_a_label: what a step
    draws. mixed: share of items put together from several labels, 0..1. margin: Euclidean distance from which unalike
    items are left in peace. learning_rate: Adam's at the start; it falls to 0 along half a cosine.
    """

    metric: Metric = "cosine"
    width: int = 128
    size: int = 64
    steps: int = 4000
    labels_a_step: int = 30
    items_a_label: int = 8
    mixed: float = 0.5
    margin: float = 1.0
    learning_rate: float = 0.002
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ModalityItems:
    """What to learn from.

    inputs: float32 (n, m) a modality. labels: intp (n,), equal for items that are alike.
    present: bool (n,) for modalities that not every item has.
    """

    inputs: Mapping[str, Float32]
    labels: Ints
    present: Mapping[str, Bools]

    def there(self, name: str) -> Ints:
        """The rows that have the modality."""
        return np.flatnonzero(self.present[name]) if name in self.present else np.arange(len(self.labels))


def fit_modalities(items: ModalityItems, settings: ModalitySettings | None = None) -> FusionEmbedding:
    """Train the embedding; the same items and settings give the same network on the same machine.

    :raise UsageError: arrays that do not fit each other.
    :raise NotEnoughData: fewer than two labels, or a modality that no item has.
    """
    settings = settings or ModalitySettings()
    _check(items)
    names = tuple(items.inputs)
    scales = {name: _scaling(items.inputs[name][items.there(name)]) for name in names}
    tensorflow, keras = load_keras()
    keras.utils.set_random_seed(settings.seed)
    layers = _Layers(keras, [items.inputs[name].shape[1] for name in names], settings)
    scaled = [(items.inputs[name] - scales[name][0]) / scales[name][1] for name in names]
    train = _trainer(tensorflow, keras, layers, [np.nan_to_num(values) for values in scaled], settings)
    draw = _Draw(items, settings, np.random.default_rng(settings.seed))
    for _ in range(settings.steps):
        rows, drawn = draw.step()
        train(tensorflow.constant(rows), tensorflow.constant(drawn))
    encoders = {
        name: Encoder(*scales[name], tuple(_dense(layer) for layer in chain))
        for name, chain in zip(names, layers.encoders, strict=True)
    }
    return FusionEmbedding(encoders, [_dense(layer) for layer in layers.fusion], settings.metric)


class _Layers:
    """Keras' layers, in the order of the forward pass of ``FusionEmbedding``."""

    def __init__(self, keras: Any, inputs: Sequence[int], settings: ModalitySettings) -> None:
        def dense(width: int, activation: str | None = "relu") -> Any:
            return keras.layers.Dense(width, activation, kernel_initializer="he_normal")

        self.encoders = [[dense(settings.width) for _ in range(ENCODER_LAYERS)] for _ in inputs]
        self.fusion = [dense(settings.width), dense(settings.size, None)]
        for chain, width in zip(self.encoders, inputs, strict=True):
            for layer in chain:
                layer.build((None, width))
                width = settings.width  # noqa: PLW2901 - what the next layer of the chain is given
        self.fusion[0].build((None, len(inputs) * (settings.width + 1)))
        self.fusion[1].build((None, settings.width))

    @property
    def variables(self) -> list[Any]:
        """All that is trained."""
        chains = [*self.encoders, self.fusion]
        return [variable for chain in chains for layer in chain for variable in layer.trainable_variables]


def _trainer(
    tensorflow: Any, keras: Any, layers: _Layers, values: Sequence[Float32], settings: ModalitySettings
) -> Any:
    """A function (rows int32 (items, modalities), -1 where missing; labels alike) that does one step."""
    data = [tensorflow.constant(part, tensorflow.float32) for part in values]
    subsets = np.array(_subsets(len(values)), np.float32)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps))
    variables = layers.variables
    optimizer.build(variables)

    def loss(rows: Any, labels: Any) -> Any:
        encoded = []
        for place, part in enumerate(data):
            out = tensorflow.gather(part, tensorflow.maximum(rows[:, place], 0))
            for layer in layers.encoders[place]:
                out = layer(out)
            encoded.append(out)
        fused = _fused(tensorflow, layers, encoded, subsets)
        return _pair_loss(tensorflow, fused, *_pairs(tensorflow, rows, labels, subsets), settings)

    @tensorflow.function(autograph=False, jit_compile=True)  # type: ignore[untyped-decorator]
    def step(rows: Any, labels: Any) -> None:
        with tensorflow.GradientTape() as tape:
            value = loss(rows, labels)
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))

    return step


def _fused(tensorflow: Any, layers: _Layers, encoded: Sequence[Any], subsets: Float32) -> Any:
    """Embeddings (subsets, items, size).

    The fusion's first layer is linear in its parts, so each part goes through it once, and a subset adds up its own.
    """
    modalities, width = len(encoded), int(encoded[0].shape[1])
    kernel, bias = layers.fusion[0].kernel, layers.fusion[0].bias
    parts = tensorflow.reshape(kernel[: modalities * width], (modalities, width, -1))
    said = tensorflow.einsum("mbw,mwo->mbo", tensorflow.stack(encoded), parts)
    summed = tensorflow.einsum("sm,mbo->sbo", subsets, said)
    flags = tensorflow.linalg.matmul(subsets, kernel[modalities * width :]) + bias
    return layers.fusion[1](tensorflow.nn.relu(summed + flags[:, None, :]))


def _pairs(tensorflow: Any, rows: Any, labels: Any, subsets: Float32) -> tuple[Any, Any]:
    """(alike, unalike), each (subsets, items, items) of 0 and 1: pairs of different items with all of the subset."""
    same = tensorflow.cast(labels[:, None, :] == labels[None, :, :], tensorflow.float32)
    there = tensorflow.cast(rows >= 0, tensorflow.float32)
    differing = tensorflow.einsum("sm,ijm->sij", subsets, 1.0 - same)
    lacking = tensorflow.einsum("sm,im->si", subsets, 1.0 - there)
    whole = tensorflow.cast(lacking < 0.5, tensorflow.float32)
    both = whole[:, :, None] * whole[:, None, :] * (1.0 - np.eye(int(rows.shape[0]), dtype=np.float32))
    alike = both * tensorflow.cast(differing < 0.5, tensorflow.float32)
    return alike, both - alike


def _pair_loss(tensorflow: Any, fused: Any, alike: Any, unalike: Any, settings: ModalitySettings) -> Any:
    """Mean over the subsets of the mean loss of alike pairs and that of unalike ones."""
    if settings.metric == "cosine":
        unit = tensorflow.math.l2_normalize(fused, axis=2)
        cosine = tensorflow.linalg.matmul(unit, unit, transpose_b=True)
        similarity = tensorflow.clip_by_value(0.5 + 0.5 * cosine, _NEARLY, 1.0 - _NEARLY)
        near, far = -tensorflow.math.log(similarity), -tensorflow.math.log(1.0 - similarity)
    else:
        squares = tensorflow.reduce_sum(fused * fused, axis=2)
        products = tensorflow.linalg.matmul(fused, fused, transpose_b=True)
        apart = tensorflow.maximum(squares[:, :, None] + squares[:, None, :] - 2.0 * products, _NEARLY**2)
        near, far = apart, tensorflow.maximum(settings.margin - tensorflow.sqrt(apart), 0.0) ** 2

    def mean(losses: Any, pairs: Any) -> Any:
        counts = tensorflow.maximum(tensorflow.reduce_sum(pairs, axis=(1, 2)), 1.0)
        return tensorflow.reduce_mean(tensorflow.reduce_sum(losses * pairs, axis=(1, 2)) / counts)

    return mean(near, alike) + mean(far, unalike)


class _Draw:
    """Draws the items of a step."""

    def __init__(self, items: ModalityItems, settings: ModalitySettings, rng: np.random.Generator) -> None:
        self._rng = rng
        self._settings = settings
        self._classes, codes = np.unique(items.labels, return_inverse=True)
        self._members = [np.flatnonzero(codes == code) for code in range(len(self._classes))]
        self._there = np.stack([np.isin(np.arange(len(codes)), items.there(name)) for name in items.inputs], axis=1)
        self._with = [
            [members[self._there[members, place]] for members in self._members] for place in range(len(items.inputs))
        ]
        self._able = [[code for code, rows in enumerate(own) if len(rows)] for own in self._with]

    def step(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(rows, labels), int32 (items, modalities) each."""
        settings = self._settings
        groups = min(settings.labels_a_step, len(self._classes))
        mixed = round(groups * settings.mixed) if len(self._with) > 1 else 0
        whole = self._rng.permutation(len(self._classes))[: groups - mixed]
        drawn = [self._whole(int(code)) for code in whole] + [self._mixed() for _ in range(mixed)]
        rows, codes = (np.concatenate(part) for part in zip(*drawn, strict=True))
        return rows.astype(np.int32), codes.astype(np.int32)

    def _whole(self, code: int) -> tuple[Ints, Ints]:
        """Items of one label, each with what it has."""
        chosen = self._rng.choice(self._members[code], self._settings.items_a_label)
        rows = np.where(self._there[chosen], chosen[:, None], -1)
        return rows, np.full(rows.shape, code)

    def _mixed(self) -> tuple[Ints, Ints]:
        """Items whose every modality is one of another label's."""
        codes = [int(self._rng.choice(own)) for own in self._able]
        count = self._settings.items_a_label
        rows = np.stack([self._rng.choice(self._with[p][code], count) for p, code in enumerate(codes)], axis=1)
        return rows, np.broadcast_to(np.array(codes), rows.shape)


def _subsets(count: int) -> list[tuple[float, ...]]:
    """Every subset but the empty one, as flags, small ones first."""
    every = [own for size in range(1, count + 1) for own in combinations(range(count), size)]
    return [tuple(float(place in own) for place in range(count)) for own in every]


def _scaling(values: Float32) -> tuple[Float32, Float32]:
    mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean, np.maximum(values.std(axis=0, dtype=np.float64), _LEAST_SCALE).astype(np.float32)


def _dense(layer: Any) -> Dense:
    weight, bias = layer.get_weights()
    return Dense(weight, bias)


def _check(items: ModalityItems) -> None:
    if items.labels.ndim != 1 or len(np.unique(items.labels)) < 2:
        raise NotEnoughData(f"labels of shape {items.labels.shape} came; two different ones are needed at least")
    for name, values in items.inputs.items():
        if values.ndim != 2 or len(values) != len(items.labels):
            raise UsageError(f"{name} of shape {values.shape} came; expected ({len(items.labels)}, m)")
        if not len(items.there(name)):
            raise NotEnoughData(f"no item has {name}; leave the modality out")
        if not np.isfinite(values[items.there(name)]).all():
            raise UsageError(f"{name} holds NaN or infinity; mark missing rows in `present`")
