"""The category classifier: type, colour and season of a product from its name, its picture and its mall's category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from models.errors import UsageError
from models.multimodal.calibration import AT_HAND, AtHand, Calibration
from models.multimodal.features import EncodedNames, NameFeatures
from models.multimodal.names import CategoryWords, normalise
from models.multimodal.network import Network
from models.multimodal.sources import Malls
from models.multimodal.stop_words import StopWords, without_stop_words
from models.values import BOTTLENECK_SIZE, TOP_K, Float32, Scored

TYPE = "type"
"""The head that names the category; every network has it."""

_BATCH: Final = 1024

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """n products to be classified.

    names: "" where there is none. images: float32 (n, 2048), bottlenecks, anything where absent; has_image: bool (n,).
    sources, mall_categories: as the catalogue says, None where it does not.
    """

    names: tuple[str, ...]
    images: Float32
    has_image: NDArray[np.bool_]
    sources: tuple[str | None, ...]
    mall_categories: tuple[str | None, ...]

    @classmethod
    def of_names(cls, names: Sequence[str], images: Float32 | None = None) -> Listing:
        """Names with a picture each (float32 (n, 2048)), or without any."""
        n = len(names)
        shown = images is not None
        vectors = images if images is not None else np.zeros((n, BOTTLENECK_SIZE), np.float32)
        return cls(tuple(names), vectors, np.full(n, shown), (None,) * n, (None,) * n)

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, chosen: NDArray[np.intp]) -> Listing:
        """The chosen products, in that order."""
        return Listing(
            tuple(self.names[row] for row in chosen),
            self.images[chosen],
            self.has_image[chosen],
            tuple(self.sources[row] for row in chosen),
            tuple(self.mall_categories[row] for row in chosen),
        )


@dataclass(frozen=True, slots=True)
class CategoryAnswer:
    """What the classifier says of one product.

    ranked: types with their calibrated probability 0..1, best first, at most ``TOP_K``. answered: False where it is
    hard to tell, that is, where the first one's probability lies below the threshold; nothing should then be decided
    without a person. category: the path that products of the first type mostly have, None where none has one.
    further: other heads (colour, season) -> the first answer and its probability.
    """

    ranked: tuple[Scored, ...]
    answered: bool
    category: str | None
    further: Mapping[str, Scored]


class CategoryClassifier:
    """A trained classifier. Several networks (``members``) that differ by their seed alone average their logits.

    answers: head -> what its logits stand for. paths: type -> category path. words: of the categories. stop_words: left
    out of a name that holds them and seems to be of their category, before it is asked about once more.
    """

    def __init__(
        self,
        features: NameFeatures,
        members: Sequence[Network],
        answers: Mapping[str, tuple[str, ...]],
        calibration: Calibration,
        malls: Malls,
        paths: Mapping[str, str],
        words: CategoryWords,
        stop_words: StopWords | None = None,
    ) -> None:
        """:raise UsageError: no member, or answers that do not fit one."""
        for member in members:
            counts = {head: len(answers.get(head, ())) for head in member.architecture.heads}
            if counts != dict(member.architecture.heads):
                raise UsageError(f"a network of heads {dict(member.architecture.heads)} came with answers {counts}")
        if not members:
            raise UsageError("a classifier needs at least one network")
        self.features = features
        self.members = tuple(members)
        self.answers = dict(answers)
        self.calibration = calibration
        self.malls = malls
        self.paths = dict(paths)
        self.words = words
        self.stop_words = dict(stop_words or {})

    def logits(self, encoded: EncodedNames, images: Float32, has_image: NDArray[np.bool_]) -> dict[str, Float32]:
        """Logits of the heads, averaged over the members: float32 (n, answers)."""
        parts: list[dict[str, Float32]] = []
        for start in range(0, max(len(encoded), 1), _BATCH):  # embedded names take 30 kB each
            rows = np.arange(start, min(start + _BATCH, len(encoded)))
            told = [member.logits(encoded.subset(rows), images[rows], has_image[rows]) for member in self.members]
            parts.append({head: np.mean([one[head] for one in told], axis=0) for head in told[0]})
        return {head: np.concatenate([part[head] for part in parts]) for head in parts[0]}

    def says_no_category(self, name: str) -> bool:
        """Whether the name holds none of the catalogue's category words."""
        return self.words.mask(name) == normalise(name)

    def type_logits(
        self, encoded: EncodedNames, images: Float32, has_image: NDArray[np.bool_]
    ) -> dict[AtHand, Float32]:
        """Logits of the type by each view, float32 (n, answers): of the name alone, the picture alone, and both. A view
        means something for the rows that have what it shows.
        """
        nameless = EncodedNames(np.zeros_like(encoded.pieces), np.zeros_like(encoded.extras))
        return {
            "name": self.logits(encoded, images, np.zeros_like(has_image))[TYPE],
            "image": self.logits(nameless, images, has_image)[TYPE],
            "both": self.logits(encoded, images, has_image)[TYPE],
        }

    def probabilities(self, listing: Listing) -> dict[str, Float64]:
        """Float64 (n, answers) of each head; those of the type are calibrated and know the mall's category."""
        found = self._probabilities(listing)
        if not self.stop_words:
            return found
        first = [self.paths.get(self.answers[TYPE][place]) for place in found[TYPE].argmax(axis=1)]
        names = [
            without_stop_words(name, path, self.stop_words) for name, path in zip(listing.names, first, strict=True)
        ]
        again = np.flatnonzero([old != new for old, new in zip(listing.names, names, strict=True)])
        if len(again):
            told = self._probabilities(replace(listing, names=tuple(names)).subset(again))
            for head, values in told.items():
                found[head][again] = values
        return found

    def _probabilities(self, listing: Listing) -> dict[str, Float64]:
        encoded = self.features.encode(listing.names)
        told = self.logits(encoded, listing.images, listing.has_image)
        has_name = encoded.pieces[:, 0] > 0
        found = {head: np.asarray(softmax(values.astype(np.float64), axis=1)) for head, values in told.items()}
        of_type = told[TYPE].astype(np.float64)
        rows = np.flatnonzero(has_name & listing.has_image)
        if len(rows):
            views = self.type_logits(encoded.subset(rows), listing.images[rows], listing.has_image[rows])
            untold = np.array([self.says_no_category(listing.names[row]) for row in rows])[:, None]
            for view, logits in views.items():
                weights = np.where(untold, self.calibration.untold[view], self.calibration.views[view])
                of_type[rows] = weights * logits + (0.0 if view == AT_HAND[0] else of_type[rows])
        found[TYPE] = self.calibration.probabilities(of_type, has_name, listing.has_image)
        if self.malls.keys:
            added = self.malls.added(listing.sources, listing.mall_categories)
            found[TYPE] = np.asarray(np.exp(log_softmax(np.log(np.maximum(found[TYPE], 1e-30)) + added, axis=1)))
        return found

    def classify(self, listing: Listing, k: int = TOP_K) -> list[CategoryAnswer]:
        """One answer a product. Equal probabilities are ordered by name. A product without name, picture and mall
        category gets what is most frequent, and is hard to tell.
        """
        found = self.probabilities(listing)
        return [self._answer({head: values[row] for head, values in found.items()}, k) for row in range(len(listing))]

    def _answer(self, probabilities: Mapping[str, Float64], k: int) -> CategoryAnswer:
        of_type = probabilities[TYPE]
        ranked = tuple(
            Scored(self.answers[TYPE][place], float(of_type[place]))
            for place in np.argsort(-of_type, kind="stable")[:k]
        )
        further = {
            head: Scored(self.answers[head][int(values.argmax())], float(values.max()))
            for head, values in probabilities.items()
            if head != TYPE
        }
        answered = bool(ranked) and ranked[0].score >= self.calibration.threshold
        return CategoryAnswer(ranked, answered, self.paths.get(ranked[0].label) if ranked else None, further)
