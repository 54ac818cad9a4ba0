"""Which words of a product's name the category classifier's answer comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError
from models.explain import ScoreTexts, WordShare, word_shares
from models.multimodal.classifier import TYPE, Listing

_LEAST_PROBABILITY: Final = 1e-30


class Classifies(Protocol):
    """What is asked of ``models.multimodal.classifier.CategoryClassifier``."""

    @property
    def answers(self) -> dict[str, tuple[str, ...]]: ...

    def probabilities(self, listing: Listing) -> dict[str, NDArray[np.float64]]: ...


def name_shares(classifier: Classifies, listing: Listing, label: str) -> tuple[WordShare, ...]:
    """What the log-probability of the type ``label`` loses without each word, picture and mall category staying.

    listing: one product. :raise UsageError: more than one, or a type that the classifier does not know.
    """
    return word_shares(_only(listing).names[0], score_of(classifier, listing, label))


def score_of(classifier: Classifies, listing: Listing, label: str) -> ScoreTexts:
    """Names -> log-probability of the type ``label`` for this product under each of them."""
    if label not in classifier.answers[TYPE]:
        raise UsageError(f"the text model does not know the type {label!r}")
    place = classifier.answers[TYPE].index(label)

    def score(texts: Sequence[str]) -> NDArray[np.float64]:
        count = len(texts)
        asked = Listing(
            tuple(texts),
            np.repeat(listing.images, count, axis=0),
            np.repeat(listing.has_image, count),
            listing.sources * count,
            listing.mall_categories * count,
        )
        return np.log(np.maximum(classifier.probabilities(asked)[TYPE][:, place], _LEAST_PROBABILITY))

    return score


def _only(listing: Listing) -> Listing:
    if len(listing) != 1:
        raise UsageError(f"{len(listing)} products came; words are explained for one at a time")
    return listing
