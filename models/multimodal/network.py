"""The network that reads names and pictures: two encoders, a fusion, a head for each thing asked.

    name     subwords, hashed words -> embedding bag -> hidden layer -+
                                                                      +-> fusion -> type | colour | season
    picture  bottleneck -> standardised -> hidden layer --------------+

Either may be absent. The formula is written for any ``Ops``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleDamaged, UsageError
from models.multimodal.features import EncodedNames
from models.multimodal.fusion import FUSIONS, Fusion, Parameters, Shapes, Sides
from models.multimodal.ops import Array, NumpyOps, Ops
from models.values import BOTTLENECK_SIZE, Float32

PIECES, EXTRAS = "text/pieces", "text/extras"
TABLES = (PIECES, EXTRAS)
"""The embedding tables; a training step touches few of their rows."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What shapes the network.

    pieces, buckets: rows of the tables beside the one for nothing. embedded: length of an embedding. width: of each
    encoder's result. fusion: a name of ``FUSIONS``. heads: what is asked -> number of possible answers.
    """

    pieces: int
    buckets: int
    embedded: int
    width: int
    fusion: str
    heads: Mapping[str, int]

    def fused_by(self) -> Fusion:
        """:raise UsageError: no such fusion."""
        if self.fusion not in FUSIONS:
            raise UsageError(f"there is no fusion {self.fusion!r}; expected one of {', '.join(FUSIONS)}")
        return FUSIONS[self.fusion]

    def shapes(self) -> Shapes:
        """Shape of every parameter, by name; one-dimensional ones begin as zeros."""
        fusion = self.fused_by()
        shapes: Shapes = {
            PIECES: (self.pieces + 1, self.embedded),
            EXTRAS: (self.buckets + 1, self.embedded),
            "text/weight": (2 * self.embedded, self.width),
            "text/bias": (self.width,),
            "image/weight": (BOTTLENECK_SIZE, self.width),
            "image/bias": (self.width,),
            **fusion.shapes(self.width, self.embedded),
        }
        for head, answers in self.heads.items():
            shapes[f"head/{head}/weight"] = (fusion.size(self.width), answers)
            shapes[f"head/{head}/bias"] = (answers,)
        return shapes

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "heads": dict(self.heads)}


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """n products as the network takes them (numpy arrays or tensors).

    pieces, extras: see ``EncodedNames``; columns that hold nothing may be cut off. has_name: float32 (n, 1), 1 or 0.
    images: float32 (k, 2048), standardised bottlenecks of the products that show one. image_rows: int32 (n,), which of
    them is whose, counted from 1; 0 is absent.
    """

    pieces: Array
    extras: Array
    has_name: Array
    images: Array
    image_rows: Array


def sides_of(ops: Ops, parameters: Parameters, inputs: Inputs) -> Sides:
    """What the two encoders say."""
    pieces, piece_mask = _embedded(ops, parameters[PIECES], inputs.pieces)
    extras, extra_mask = _embedded(ops, parameters[EXTRAS], inputs.extras)
    bag = ops.concatenate([_bag(ops, pieces, piece_mask), _bag(ops, extras, extra_mask)])
    text = ops.maximum(ops.dropout(bag) @ parameters["text/weight"] + parameters["text/bias"], 0.0)
    image = ops.maximum(ops.dropout(inputs.images) @ parameters["image/weight"] + parameters["image/bias"], 0.0)
    return Sides(
        text * inputs.has_name,
        ops.take_or_zero(image, inputs.image_rows),
        inputs.has_name,
        ops.present(inputs.image_rows)[:, None],
        pieces * inputs.has_name[:, :, None],
        piece_mask * inputs.has_name,
    )


def fused(ops: Ops, architecture: Architecture, parameters: Parameters, inputs: Inputs) -> Array:
    """What the heads read: (n, size of the fusion)."""
    return architecture.fused_by().fuse(ops, parameters, sides_of(ops, parameters, inputs))


def logits(ops: Ops, architecture: Architecture, parameters: Parameters, inputs: Inputs) -> dict[str, Array]:
    """Logits (n, answers) of each head."""
    shared = ops.dropout(fused(ops, architecture, parameters, inputs))
    return {
        head: shared @ parameters[f"head/{head}/weight"] + parameters[f"head/{head}/bias"]
        for head in architecture.heads
    }


def _embedded(ops: Ops, table: Array, rows: Array) -> tuple[Array, Array]:
    """(embeddings (n, m, e), zero where there is none; mask float32 (n, m))."""
    mask = ops.present(rows)
    return ops.take(table, rows) * mask[:, :, None], mask


def _bag(ops: Ops, embedded: Array, mask: Array) -> Array:
    """Sum over the square root of the count: longer names say more, but not in proportion."""
    return ops.sum(embedded, 1) / ops.sqrt(ops.maximum(ops.sum(mask, 1, keepdims=True), 1.0))


class Network:
    """A trained network, ready to serve.

    parameters: float32 arrays by name, as ``Architecture.shapes`` says. centre, scale: what was subtracted from
    bottlenecks, float32 (2048,), and what they were divided by, > 0.
    """

    def __init__(
        self, architecture: Architecture, parameters: Mapping[str, Float32], centre: Float32, scale: float
    ) -> None:
        """:raise BundleDamaged: parameters that are not finite or do not fit the architecture."""
        for name, shape in architecture.shapes().items():
            if name not in parameters or parameters[name].shape != shape:
                came = "nothing" if name not in parameters else parameters[name].shape
                raise BundleDamaged(f"{name} of the text network should have shape {shape}, found {came}; train again")
            if not np.isfinite(parameters[name]).all():
                raise BundleDamaged(f"{name} of the text network is not finite; train again")
        if centre.shape != (BOTTLENECK_SIZE,) or not scale > 0:
            raise BundleDamaged("the text network's scale of bottlenecks is damaged; train again")
        self.architecture = architecture
        self.parameters = dict(parameters)
        self.centre = centre
        self.scale = scale

    def logits(self, names: EncodedNames, images: Float32, has_image: NDArray[np.bool_]) -> dict[str, Float32]:
        """Float32 (n, answers) of each head. See ``prepared``."""
        return logits(NumpyOps(), self.architecture, self.parameters, self.prepared(names, images, has_image))

    def embedded(self, names: EncodedNames, images: Float32, has_image: NDArray[np.bool_]) -> Float32:
        """What the heads read, float32 (n, size of the fusion)."""
        return fused(NumpyOps(), self.architecture, self.parameters, self.prepared(names, images, has_image))

    def prepared(self, names: EncodedNames, images: Float32, has_image: NDArray[np.bool_]) -> Inputs:
        """images: float32 (n, 2048), bottlenecks; has_image: bool (n,), rows of ``images`` that count. A name without
        a piece counts as absent.

        :raise UsageError: shapes that do not fit.
        """
        n = len(names)
        if images.shape != (n, BOTTLENECK_SIZE) or has_image.shape != (n,):
            raise UsageError(f"{n} names came with images {images.shape} and flags {has_image.shape}")
        numbers = np.where(has_image, np.cumsum(has_image), 0).astype(np.int32)
        return Inputs(
            trimmed(names.pieces),
            trimmed(names.extras),
            (names.pieces[:, :1] > 0).astype(np.float32),
            (images[has_image] - self.centre) / np.float32(self.scale),
            numbers,
        )


def trimmed(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Without the columns at the end in which no row holds anything; at least one column stays."""
    used = np.flatnonzero((rows > 0).any(axis=0))
    return rows[:, : (int(used[-1]) + 1 if len(used) else 1)]
