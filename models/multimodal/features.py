"""A name as rows of embedding tables: its subwords, and hashed words, pairs of words and words at its ends.

After Joulin et al., "Bag of Tricks for Efficient Text Classification" (2016): n-grams are hashed into a fixed number of
buckets, so that they need no vocabulary. Which word comes first (mostly a brand) and last (mostly the kind of thing)
says much in product names, so words at the ends have rows of their own.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.multimodal.names import normalise
from models.multimodal.subwords import Subwords

BUCKETS: Final = 2**15
MOST_PIECES: Final = 32
MOST_EXTRAS: Final = 48
"""Pieces and extras of a name that count; what a longer name says after them is not read."""

NOTHING: Final = 0
"""The row that stands for no piece; it is masked."""

Rows = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedNames:
    """Names as row numbers, ``NOTHING`` behind the last.

    pieces: int32 (n, MOST_PIECES), 1 + the subword's number. extras: int32 (n, MOST_EXTRAS), 1 + the bucket.
    """

    pieces: Rows
    extras: Rows

    def __len__(self) -> int:
        return len(self.pieces)

    def subset(self, chosen: NDArray[np.intp]) -> EncodedNames:
        """The chosen names, in that order."""
        return EncodedNames(self.pieces[chosen], self.extras[chosen])


class NameFeatures:
    """Turns names into rows; the same name always into the same ones."""

    def __init__(self, subwords: Subwords, buckets: int = BUCKETS) -> None:
        self.subwords = subwords
        self.buckets = buckets

    def encode(self, names: Sequence[str]) -> EncodedNames:
        """Names in any spelling; an empty one gives ``NOTHING`` throughout."""
        pieces = np.full((len(names), MOST_PIECES), NOTHING, np.int32)
        extras = np.full((len(names), MOST_EXTRAS), NOTHING, np.int32)
        for row, (name, numbers) in enumerate(zip(names, self.subwords.encode_all(names), strict=True)):
            known = numbers[:MOST_PIECES]
            pieces[row, : len(known)] = known + 1
            hashed = [1 + bucket(extra, self.buckets) for extra in extra_features(name)[:MOST_EXTRAS]]
            extras[row, : len(hashed)] = hashed
        return EncodedNames(pieces, extras)


def extra_features(name: str) -> list[str]:
    """What is hashed of a name: words at its ends, words, pairs of neighbours; the most telling first."""
    told = normalise(name).split()
    if not told:
        return []
    ends = [f"last {told[-1]}", f"first {told[0]}"]
    if len(told) > 1:
        ends += [f"last two {told[-2]} {told[-1]}", f"last but one {told[-2]}"]
    pairs = [f"pair {one} {other}" for one, other in pairwise(told)]
    mixed = [feature for both in zip([f"word {word}" for word in told], [*pairs, ""], strict=True) for feature in both]
    return ends + [feature for feature in mixed if feature]


def bucket(feature: str, buckets: int) -> int:
    """Which bucket a feature falls into: its CRC-32 modulo their number, the same on every machine."""
    return zlib.crc32(feature.encode()) % buckets
