"""The frozen values that one stage hands to the next. No behaviour beyond small look-ups."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

BOTTLENECK_SIZE = 2048
"""Length of the pool_3 output of Inception-v3."""

MAP_CELLS = 8
"""Rows and columns of the last feature map, of which pool_3 is the mean."""

PROJECTED_SIZE = 256
"""Length of the projected bottleneck that the approximate index searches."""

INPUT_SIZE = 299
"""Edge of the square input of Inception-v3, pixels."""

TOP_K = 5
"""Labels each classifier names, and candidates an answer holds, unless asked otherwise."""

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]

ClassifierName = Literal["fcn", "knn", "svm"]
CLASSIFIER_NAMES: tuple[ClassifierName, ...] = ("fcn", "knn", "svm")


@dataclass(frozen=True, slots=True)
class Advice:
    """One hint to the shopper about the photo, e.g. code ``dark`` and a sentence for people."""

    code: Literal["dark", "bright", "blurred", "small", "cut_off"]
    message: str


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment after which nobody wants an answer any more. at: seconds of ``time.monotonic``."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        """Seconds that are left, 0 where none are."""
        return max(0.0, self.at - time.monotonic())


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A decoded photo.

    pixels: uint8 (height, width, 3), RGB order, sRGB, upright (orientation applied), opaque.
        May have been decoded at a reduced scale; never smaller than needed for ``INPUT_SIZE``
        unless the photo itself is smaller. Or fitted for the network: (299, 299, 3).
    content_hash: SHA-256 of the bytes that came, 64 hex digits.
    format: ``jpeg``, ``png``, ``webp`` or ``heic``, as sniffed.
    source_width, source_height: pixels of the upright photo before any reduction.
    advice: hints, empty when the photo is fine.
    """

    pixels: UInt8
    content_hash: str
    format: str
    source_width: int
    source_height: int
    advice: tuple[Advice, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the backbone sees in one photo.

    vector: float32 (2048,), the normalised bottleneck (``models.backbone.preprocessing``), >= 0,
        unit Euclidean length.
    space: identifier of the vector world it belongs to; vectors of two spaces never mix.
    """

    vector: Float32
    space: str


@dataclass(frozen=True, slots=True)
class Scored:
    """A label with a classifier's own score (larger is better; the unit is the classifier's)."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """One classifier's best labels for one photo.

    ranked: best first, distinct labels, at most the ``k`` asked for; may be empty.
    known: the labels this classifier could have named, or None where it knows every label that
        has a reference photo (the live k-NN memory).
    """

    classifier: ClassifierName
    ranked: tuple[Scored, ...]
    known: frozenset[str] | None

    def knows(self, label: str) -> bool:
        """Whether the classifier could have named ``label``."""
        return self.known is None or label in self.known

    def rank(self, label: str) -> int | None:
        """1-based place of ``label``, or None when it was not named."""
        for place, scored in enumerate(self.ranked, start=1):
            if scored.label == label:
                return place
        return None


class VoteState(StrEnum):
    """What a classifier says of a candidate."""

    RANKED = "ranked"
    NOT_RANKED = "not_ranked"
    LABEL_UNKNOWN = "label_unknown"


@dataclass(frozen=True, slots=True)
class CastVote:
    """One classifier's vote for one candidate; rank and score only where state is RANKED."""

    state: VoteState
    rank: int | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A label in the merged ranking.

    score: merged confidence in [0, 1]: estimated probability that this label is right.
    votes: one entry a classifier.
    """

    label: str
    score: float
    votes: Mapping[ClassifierName, CastVote]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The merged candidates, best first, distinct labels."""

    candidates: tuple[Candidate, ...]


class VerdictName(StrEnum):
    """Whether the photo shows a product of this catalogue."""

    KNOWN = "known"
    UNSURE = "unsure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a photo, as fractions of its width and height: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float

    def within(self, outer: Area) -> Area:
        """This part of ``outer``, as fractions of what ``outer`` is a part of."""
        return Area(
            outer.x + self.x * outer.width,
            outer.y + self.y * outer.height,
            self.width * outer.width,
            self.height * outer.height,
        )


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """Where in a photo a label is seen; ``models.explain`` makes it.

    values: float32 (rows, columns), from the top left: in 0..1, the strongest cell 1; all 0 where nothing speaks for
        the label. area: the part of the photo that the cells cover, in equal shares. classifier: whose view it is.
    """

    values: Float32
    area: Area
    classifier: ClassifierName

    @property
    def peak(self) -> tuple[float, float]:
        """(x, y), the centre of the strongest cell, as fractions of the photo; of equal cells the first."""
        rows, columns = self.values.shape
        row, column = divmod(int(self.values.argmax()), columns)
        return (
            self.area.x + self.area.width * (column + 0.5) / columns,
            self.area.y + self.area.height * (row + 0.5) / rows,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What recognition says of one photo.

    calibrated: False where the shipped prior judged because the catalogue is too small to fit one.
    timings_ms: wall milliseconds a stage: decode, network, classify, total.
    heat_maps: by label, where it is seen; empty unless asked for.
    """

    ranking: Ranking
    verdict: VerdictName
    calibrated: bool
    advice: tuple[Advice, ...]
    model_version: str
    weights: str
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    heat_maps: Mapping[str, HeatMap] = field(default_factory=dict)


class Neighbours(Protocol):
    """The k-NN memory, whoever keeps it: pgvector when serving, exact arrays when evaluating."""

    def nearest(
        self, vectors: Float32, k: int = TOP_K, within: frozenset[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """The ``k`` nearest distinct labels of each query.

        vectors: float32 (n, 2048), unit length, of this memory's space.
        within: only these labels may be named; None for all, an empty set names none.
        Returns, for each query, (label, Euclidean distance of its nearest photo), nearest first;
        equal distances are ordered by label. Fewer than ``k`` where the memory holds fewer labels.
        """
        ...

    def nearest_photo(self, vector: Float32, label: str) -> Float32 | None:
        """The stored vector of the label's photo that is nearest to ``vector``; None where it has no photo.

        vector: float32 (2048,). Returns float32 (2048,), as precise as the memory keeps it.
        """
        ...


class Backbone(Protocol):
    """Inception-v3 up to pool_3, prepared and loaded."""

    @property
    def space(self) -> str:
        """Identifier of the space its vectors belong to."""
        ...

    @property
    def weights(self) -> str:
        """Where the weights come from, for people: ``embedded``, ``imagenet``, ``file:NAME``, ``random``."""
        ...

    def extract(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> Float32:
        """Normalised bottlenecks of prepared inputs.

        inputs: n arrays uint8 (299, 299, 3), RGB (see ``models.backbone.preprocessing.fit_input``).
        deadline: how long the caller waits for its turn, where callers wait; None: as long as it takes.
        Returns float32 (n, 2048), >= 0, unit length; row i depends on input i alone.
        :raise DeadlineExceeded: the turn did not come in time.
        """
        ...

    def extract_with_maps(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> tuple[Float32, Float32]:
        """What ``extract`` gives, and the last feature maps: float32 (n, 8, 8, 2048), >= 0 but for rounding.

        A map's mean over its cells is the pool_3 that the bottleneck is the normalised form of.
        :raise DeadlineExceeded: the turn did not come in time.
        """
        ...
