"""One embedding for whatever is known of an item: any subset of its modalities (seed 003; mission B9).

Each modality (a name's vector, a bottleneck, a category; in the experiment: drawn numbers) has an encoder of three
fully connected layers. What the encoders say is put side by side, zeros where a modality is missing, with a flag a
modality that tells which are there; two more layers fuse it:

    z_m = relu(D3(relu(D2(relu(D1((x_m - mean_m) / scale_m))))))        e = F2(relu(F1([z_1, 0, z_3, 1, 0, 1])))

Alike are items that lie close: by the cosine (then e has unit length) or by Euclidean distance. The forward pass is
numpy; ``models.training.fit.modalities`` trains it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleDamaged, UsageError
from models.values import Float32

Metric = Literal["cosine", "euclidean"]
Bools = NDArray[np.bool_]

ENCODER_LAYERS: Final = 3
FUSION_LAYERS: Final = 2

_FORMAT: Final = 1
_LEAST_LENGTH: Final = 1e-12
_MAX_UNPACKED_BYTES: Final = 2**30
_ROWS_AT_A_TIME: Final = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """One fully connected layer: ``x @ weight + bias``. weight: float32 (inputs, outputs); bias: float32 (outputs,)."""

    weight: Float32
    bias: Float32


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """One modality's way into the embedding.

    mean, scale: float32 (m,), of the values it was trained on; scale > 0. layers: three, each followed by a ReLU.
    """

    mean: Float32
    scale: Float32
    layers: tuple[Dense, ...]


class FusionEmbedding:
    """The trained embedding. Safe to share between threads.

    encoders: by the modality's name; their order is that of the fusion's input. fusion: its two layers.
    :raise UsageError: no modality, an unknown metric, or layers whose shapes do not fit each other.
    """

    def __init__(self, encoders: Mapping[str, Encoder], fusion: Sequence[Dense], metric: Metric = "cosine") -> None:
        self._encoders = dict(encoders)
        self._fusion = tuple(fusion)
        self.metric = metric
        if metric not in get_args(Metric):
            raise UsageError(f"metric {metric!r} came; expected one of {', '.join(get_args(Metric))}")
        _check_shapes(self._encoders, self._fusion)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names it knows, in order."""
        return tuple(self._encoders)

    @property
    def size(self) -> int:
        """Length of an embedding."""
        return int(self._fusion[-1].bias.shape[0])

    def inputs(self, modality: str) -> int:
        """Length of that modality's vectors. :raise UsageError: it knows no such modality."""
        if modality not in self._encoders:
            raise UsageError(f"modality {modality!r} came; this embedding knows {', '.join(self.modalities)}")
        return int(self._encoders[modality].mean.shape[0])

    def embed(self, inputs: Mapping[str, Float32], present: Mapping[str, Bools] | None = None) -> Float32:
        """The embeddings of n items.

        inputs: float32 (n, m) for each modality that at least one item has; left untouched.
        present: bool (n,) for modalities that not every item has: rows without it are not looked at.
        Returns float32 (n, size); of unit length where the metric is the cosine.
        :raise UsageError: an unknown modality, another shape, NaN or infinity, or an item without any modality.
        """
        count = self._count(inputs)
        there = self._present(inputs, present or {}, count)
        embedded = np.empty((count, self.size), np.float32)
        for start in range(0, count, _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            embedded[rows] = self._fuse({name: values[rows] for name, values in inputs.items()}, there[rows])
        return embedded

    def distances(self, queries: Float32, members: Float32) -> Float32:
        """How far apart embeddings are, float32 (q, n) of (q, size) and (n, size).

        cosine: 1 - s, where s is the cosine scaled from -1..1 to 0..1 (seed 003's similarity), so 0..1.
        euclidean: the Euclidean distance.
        """
        products = queries @ members.T
        if self.metric == "cosine":
            return np.clip(0.5 - 0.5 * products, 0.0, 1.0)
        squares = (queries**2).sum(axis=1)[:, None] + (members**2).sum(axis=1) - 2.0 * products
        return np.sqrt(np.maximum(squares, 0.0))

    def save(self, path: Path) -> None:
        """Write one ``.npz`` of plain arrays (no pickle)."""
        arrays: dict[str, NDArray[np.generic]] = {
            "format": np.array(_FORMAT),
            "metric": np.array(self.metric),
            "modalities": np.array(self.modalities, dtype=np.str_),
        }
        for place, encoder in enumerate(self._encoders.values()):
            arrays[f"mean_{place}"], arrays[f"scale_{place}"] = encoder.mean, encoder.scale
            for number, layer in enumerate(encoder.layers):
                arrays[f"weight_{place}_{number}"], arrays[f"bias_{place}_{number}"] = layer.weight, layer.bias
        for number, layer in enumerate(self._fusion):
            arrays[f"weight_fusion_{number}"], arrays[f"bias_fusion_{number}"] = layer.weight, layer.bias
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> FusionEmbedding:
        """Read what ``save`` wrote; it embeds exactly alike.

        :raise BundleDamaged: missing, cut off, not such a file, or one that would unpack to more than 1 GiB.
        """
        try:
            with zipfile.ZipFile(path) as packed:
                size = sum(member.file_size for member in packed.infolist())
            if size > _MAX_UNPACKED_BYTES:
                raise ValueError(f"it unpacks to {size} bytes, at most {_MAX_UNPACKED_BYTES} are expected")
            with np.load(path, allow_pickle=False) as data:
                if int(data["format"]) != _FORMAT:
                    raise ValueError(f"format {data['format']}, this version reads {_FORMAT}")
                names = [str(name) for name in data["modalities"]]
                encoders = {
                    name: Encoder(data[f"mean_{place}"], data[f"scale_{place}"], _layers(data, str(place)))
                    for place, name in enumerate(names)
                }
                metric: Metric = "euclidean" if str(data["metric"]) == "euclidean" else "cosine"
                return cls(encoders, _layers(data, "fusion"), metric)
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, UsageError) as error:
            raise BundleDamaged(f"{path.name} is not a saved fusion embedding ({error}); train again") from error

    def _count(self, inputs: Mapping[str, Float32]) -> int:
        if not inputs:
            raise UsageError(f"no modality came; give at least one of {', '.join(self.modalities)}")
        for name, values in inputs.items():
            if values.ndim != 2 or values.shape[1] != self.inputs(name):
                raise UsageError(f"{name} of shape {values.shape} came; expected (n, {self.inputs(name)})")
        counts = {len(values) for values in inputs.values()}
        if len(counts) > 1:
            raise UsageError(f"modalities of {sorted(counts)} items came; each must describe the same items")
        return counts.pop()

    def _present(self, inputs: Mapping[str, Float32], present: Mapping[str, Bools], count: int) -> Bools:
        """bool (n, modalities)."""
        there = np.zeros((count, len(self._encoders)), np.bool_)
        for place, name in enumerate(self._encoders):
            if name in inputs:
                there[:, place] = present.get(name, True)
                if not np.isfinite(inputs[name][there[:, place]]).all():
                    raise UsageError(f"{name} holds NaN or infinity; mark missing rows in `present`")
        if count and not there.any(axis=1).all():
            raise UsageError(f"item {int(np.argmin(there.any(axis=1)))} has no modality; leave it out")
        return there

    def _fuse(self, inputs: Mapping[str, Float32], there: Bools) -> Float32:
        parts = []
        for place, (name, encoder) in enumerate(self._encoders.items()):
            encoded = np.zeros((len(there), encoder.layers[-1].bias.shape[0]), np.float32)
            rows = there[:, place]
            if rows.any():
                encoded[rows] = _encode(encoder, inputs[name][rows])
            parts.append(encoded)
        joined = np.concatenate([*parts, there.astype(np.float32)], axis=1)
        first, second = self._fusion
        fused = np.maximum(joined @ first.weight + first.bias, 0.0) @ second.weight + second.bias
        if self.metric == "cosine":
            fused /= np.maximum(np.linalg.norm(fused, axis=1, keepdims=True), _LEAST_LENGTH)
        return np.asarray(fused, np.float32)


def class_means(embedded: Float32, labels: NDArray[np.integer], metric: Metric) -> tuple[Float32, NDArray[np.integer]]:
    """The prototype of each class: the mean of its members (Snell et al., "Prototypical Networks", 2017).

    embedded: float32 (n, size); labels: (n,). For the cosine the mean is scaled to unit length again.
    Returns (float32 (classes, size), the classes in ascending order).
    """
    classes, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes)
    ordered = embedded[np.argsort(codes, kind="stable")].astype(np.float64)
    means = np.add.reduceat(ordered, np.concatenate([[0], np.cumsum(counts)[:-1]]), axis=0) / counts[:, None]
    if metric == "cosine":
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), _LEAST_LENGTH)
    return means.astype(np.float32), classes


def _encode(encoder: Encoder, values: Float32) -> Float32:
    encoded = (values.astype(np.float32) - encoder.mean) / encoder.scale
    for layer in encoder.layers:
        encoded = np.maximum(encoded @ layer.weight + layer.bias, 0.0)
    return encoded


def _layers(data: Mapping[str, NDArray[np.float32]], part: str) -> tuple[Dense, ...]:
    count = FUSION_LAYERS if part == "fusion" else ENCODER_LAYERS
    return tuple(Dense(data[f"weight_{part}_{number}"], data[f"bias_{part}_{number}"]) for number in range(count))


def _check_shapes(encoders: Mapping[str, Encoder], fusion: Sequence[Dense]) -> None:
    if not encoders:
        raise UsageError("a fusion embedding needs at least one modality")
    encoded = 0
    for name, encoder in encoders.items():
        if len(encoder.layers) != ENCODER_LAYERS:
            raise UsageError(f"the encoder of {name} has {len(encoder.layers)} layers, expected {ENCODER_LAYERS}")
        if encoder.mean.ndim != 1 or encoder.scale.shape != encoder.mean.shape or not (encoder.scale > 0).all():
            raise UsageError(f"mean and scale of {name} must be vectors of one length, the scale above 0")
        encoded += _check_chain(name, encoder.layers, int(encoder.mean.shape[0]))
    if len(fusion) != FUSION_LAYERS:
        raise UsageError(f"the fusion has {len(fusion)} layers, expected {FUSION_LAYERS}")
    _check_chain("the fusion", fusion, encoded + len(encoders))


def _check_chain(name: str, layers: Sequence[Dense], inputs: int) -> int:
    """Returns the outputs of the last layer."""
    for number, layer in enumerate(layers):
        if layer.weight.ndim != 2 or layer.weight.shape[0] != inputs or layer.bias.shape != (layer.weight.shape[1],):
            raise UsageError(
                f"layer {number} of {name} has weight {layer.weight.shape} and bias {layer.bias.shape}; "
                f"expected ({inputs}, n) and (n,)"
            )
        if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
            raise UsageError(f"layer {number} of {name} holds NaN or infinity; its training diverged, train again")
        inputs = int(layer.weight.shape[1])
    return inputs
