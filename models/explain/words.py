"""Which words of a name an answer comes from: what is lost when each is left out.

Leaving words out asks the model itself and needs nothing of its inside; a name has a dozen words, so it is one small
batch. The shares do not add up to the score: two words that say the same cost nothing one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError

ScoreTexts = Callable[[Sequence[str]], NDArray[np.floating]]
"""Texts -> how much the model holds of the answer in question for each, (n,): a log-probability or a margin."""


@dataclass(frozen=True, slots=True)
class WordShare:
    """A word as it stands in the name, and what the score loses without it: above 0 it speaks for the answer."""

    word: str
    share: float


def word_shares(name: str, score: ScoreTexts) -> tuple[WordShare, ...]:
    """The share of every word of ``name``, in its order; a word that occurs twice has a share for each place.

    An empty name has none. :raise UsageError: ``score`` gives another number of values, NaN or infinity.
    """
    words = name.split()
    if not words:
        return ()
    texts = [name, *(" ".join(words[:place] + words[place + 1 :]) for place in range(len(words)))]
    scores = np.asarray(score(texts), np.float64)
    if scores.shape != (len(texts),) or not np.isfinite(scores).all():
        raise UsageError(f"{len(texts)} texts were scored with {scores.shape} values; expected one finite value each")
    return tuple(WordShare(word, float(scores[0] - without)) for word, without in zip(words, scores[1:], strict=True))


def deletion_order(shares: Sequence[WordShare]) -> list[int]:
    """Places of the words, the strongest first; of equal ones the earlier."""
    return sorted(range(len(shares)), key=lambda place: (-shares[place].share, place))
