"""The shared space: words and bottlenecks become vectors of one world, where what belongs together lies together.

Two small encoders, trained contrastively on the shop's own catalogue (``models.training.shared``), numpy only:

    image   x = (bottleneck - centre) * scale;  x A + a + relu(x B + b) C                        -> unit length
    text    h = sum of the pieces' rows of the table / sqrt(their number);  h + relu(h D + d) E  -> unit length

A product lies where its name and its photos lie between them (``SharedSpace.place``); a search is the dot product of a
query with the products.

How it is kept is the concern of ``models.multimodal.shared_bundle``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError
from models.multimodal.subwords import Pieces, Subwords
from models.values import BOTTLENECK_SIZE, Float32

SHARED_SIZE: Final = 256
"""Length of a vector of the shared space."""

_LEAST_LENGTH: Final = 1e-12


def unit(vectors: NDArray[np.floating]) -> Float32:
    """float32 (n, d) of unit length; a row of zeros stays as it is: it says nothing."""
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    scaled: Float32 = (vectors / np.maximum(lengths, _LEAST_LENGTH)).astype(np.float32)
    return scaled


@dataclass(frozen=True, slots=True, eq=False)
class ImageEncoder:
    """Bottleneck -> shared space.

    centre: float32 (2048,). scale: what the centred bottleneck is multiplied by. linear (2048, d), linear_bias (d,):
    the straight way. hidden (2048, h), hidden_bias (h,), out (h, d): the way through a layer of rectified units.
    """

    centre: Float32
    scale: float
    linear: Float32
    linear_bias: Float32
    hidden: Float32
    hidden_bias: Float32
    out: Float32

    def encode(self, vectors: Float32) -> Float32:
        """float32 (n, d), unit length, of float32 (n, 2048) bottlenecks.

        :raise UsageError: another shape, NaN or infinity.
        """
        if vectors.ndim != 2 or vectors.shape[1] != BOTTLENECK_SIZE or not np.isfinite(vectors).all():
            raise UsageError(f"bottlenecks of shape {vectors.shape} came; expected (n, {BOTTLENECK_SIZE}), all finite")
        x = (vectors - self.centre) * np.float32(self.scale)
        bent = np.maximum(x @ self.hidden + self.hidden_bias, 0.0) @ self.out
        return unit(x @ self.linear + self.linear_bias + bent)


@dataclass(frozen=True, slots=True, eq=False)
class TextEncoder:
    """Words -> shared space; their order does not matter.

    table: float32 (pieces, d), a row a piece of ``subwords``. hidden (d, h), hidden_bias (h,), out (h, d).
    """

    subwords: Subwords
    table: Float32
    hidden: Float32
    hidden_bias: Float32
    out: Float32

    def encode(self, texts: Sequence[str]) -> Float32:
        """float32 (n, d), unit length; zeros for a text that says nothing (empty, punctuation alone)."""
        return self.encode_pieces(self.subwords.encode_all(texts))

    def encode_pieces(self, texts: Sequence[Pieces]) -> Float32:
        """``encode`` for texts that have been divided already."""
        sums = np.zeros((len(texts), self.table.shape[1]), np.float32)
        for row, pieces in enumerate(texts):
            if len(pieces):
                sums[row] = self.table[pieces].sum(axis=0) / math.sqrt(len(pieces))
        said = unit(sums + np.maximum(sums @ self.hidden + self.hidden_bias, 0.0) @ self.out)
        said[[not len(pieces) for pieces in texts]] = 0.0
        return said


@dataclass(frozen=True, slots=True, eq=False)
class RefineModel:
    """Changes where a photo lies by what the shopper says about it: "this, in red".

        z = p + weight * t + relu([p, t] D + d) E,  unit length

    p, t: photo and words in the shared space. hidden: float32 (2 d, h). hidden_bias (h,). out (h, d).
    """

    weight: float
    hidden: Float32
    hidden_bias: Float32
    out: Float32

    def refine(self, photos: Float32, texts: Float32) -> Float32:
        """float32 (n, d), unit length, of n photos and n texts of the shared space."""
        both = np.concatenate([photos, texts], axis=1)
        bent = np.maximum(both @ self.hidden + self.hidden_bias, 0.0) @ self.out
        return unit(photos + np.float32(self.weight) * texts + bent)


@dataclass(frozen=True, slots=True)
class ProductWords:
    """What is known of a product in words; each may be missing."""

    name: str | None = None
    brand: str | None = None
    type: str | None = None
    colour: str | None = None
    category: str | None = None

    def text(self) -> str:
        """The name, and after it what the row says beside it: brand, colour, type, the last level of the category."""
        leaf = None if self.category is None else self.category.rpartition(">")[2].strip()
        told = [self.name, *(part for part in (self.brand, self.colour, self.type or leaf) if part)]
        return " ".join(part for part in told if part)


@dataclass(frozen=True, slots=True, eq=False)
class SharedSpace:
    """Both encoders, and what is made of them. Any thread may call.

    name_share: weight of the name where a product has a photo too, 0..1; the photo has the rest.
    """

    image: ImageEncoder
    text: TextEncoder
    refining: RefineModel
    name_share: float

    def place(self, texts: Sequence[str], photos: Float32) -> Float32:
        """Where products lie: float32 (n, d), unit length; zeros where neither text nor photo says anything.

        texts: n, as ``ProductWords.text`` gives them, "" for none. photos: float32 (n, d), where their photos lie
        (``look``), zeros for none.
        """
        said = self.text.encode(texts)
        has_both = said.any(axis=1, keepdims=True) & photos.any(axis=1, keepdims=True)
        share = np.where(has_both, np.float32(self.name_share), np.float32(0.5))
        return unit(share * said + (1 - share) * photos)

    def look(self, vectors: Float32) -> Float32:
        """float32 (d,): where a product's photos lie, the mean of float32 (m, 2048) bottlenecks; zeros for none."""
        if not len(vectors):
            return np.zeros(SHARED_SIZE, np.float32)
        mean: Float32 = unit(self.image.encode(vectors).mean(axis=0, keepdims=True))[0]
        return mean

    def query(self, text: str, photo: Float32 | None = None) -> Float32:
        """float32 (d,), unit length: what a shopper looks for; a photo's bottleneck, float32 (2048,), comes first,
        and the words say what should be different.

        :raise UsageError: the words say nothing (punctuation alone).
        """
        said = self.text.encode([text])
        if not said.any():
            raise UsageError(f"the text {text[:50]!r} holds no letter or digit to search by")
        if photo is None:
            words: Float32 = said[0]
            return words
        both: Float32 = self.refining.refine(self.image.encode(photo[None, :]), said)[0]
        return both
