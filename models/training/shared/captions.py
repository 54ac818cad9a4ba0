"""Captions: what a shopper might type for a product, made of its name and of its columns as words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix

from models.multimodal.names import stem
from models.multimodal.subwords import Pieces, Subwords
from models.training.shared.data import KINDS, SLOTS, Facts, Ints, Listing
from models.training.shared.rewording import FILLERS, with_fillers

_KIND_SHARE: Final = 0.85
_SHARES: Final = {"colour": 0.6, "brand": 0.2, "season": 0.05}
"""How often a caption names a slot of its product."""

_NAME_WORDS_SHARE: Final = 0.35
_MOST_NAME_WORDS: Final = 3
_STEMMED_SHARE: Final = 0.5
_FILLED_SHARE: Final = 0.15
_DROPPED_SHARE: Final = 0.15
"""Of a name's words that are left out each time it is learned, so that no single one carries it."""

_TYPE: Final = SLOTS.index("type")


_FILLER_SHARE: Final = 0.002
_LEAST_FILLERS: Final = 50
"""How often the vocabulary is shown each filler: of the names, and at least; often enough to be kept whole."""


def vocabulary(listings: Sequence[Listing], size: int) -> Subwords:
    """The pieces of everything that captions are made of: names, columns as words, and fillers.

    :raise NotEnoughData: no listing says anything. :raise UsageError: see ``Subwords.train``.
    """
    texts = [" ".join([*listing.words(), *listing.slots().values()]) for listing in listings]
    told = [text for text in texts if text]
    fillers = [" ".join(FILLERS)] * max(_LEAST_FILLERS, round(_FILLER_SHARE * len(told)))
    return Subwords.train([*told, *fillers] if told else [], size)


@dataclass(frozen=True, slots=True, eq=False)
class Captions:
    """m captions. pieces: subwords of each. asked, wanted: what they say, see ``Facts.fits``."""

    pieces: Sequence[Pieces]
    asked: Ints
    wanted: csr_matrix


class CaptionMaker:
    """Draws captions and names of listings; every word is divided into subwords once.

    Pieces never cross the border of words (SentencePiece's default), so a text's pieces are those of its words.
    """

    def __init__(self, listings: Sequence[Listing], facts: Facts, subwords: Subwords, seed: int) -> None:
        self._facts = facts
        self._subwords = subwords
        self._random = np.random.default_rng(seed)
        self._names = [listing.words() for listing in listings]
        self._pieces: dict[str, Pieces] = {}

    def names(self, rows: Ints, *, whole: bool = False) -> list[Pieces]:
        """The pieces of these listings' names, some words left out at random unless ``whole``; empty for no name."""
        found = []
        for row in rows:
            told = self._names[row]
            if not whole and len(told) > 2:
                kept = self._random.random(len(told)) >= _DROPPED_SHARE
                told = [word for word, keep in zip(told, kept, strict=True) if keep] or told
            found.append(self._divided(told))
        return found

    def captions(self, rows: Ints) -> Captions:
        """One caption a listing: its kind, colour, brand, season, words of its name, each now and then.

        A listing of which nothing of that is known gets an empty caption, which fits every listing.
        """
        asked = np.full((len(rows), len(SLOTS)), -1, dtype=np.int64)
        pieces, wanted_rows, wanted_columns = [], [], []
        for place, row in enumerate(rows):
            words, slots, stems = self._draw(int(row))
            if words and self._random.random() < _FILLED_SHARE:
                words = with_fillers(words, self._random)
            for slot in slots:
                asked[place, slot] = self._facts.codes[row, slot]
            wanted_rows += [place] * len(stems)
            wanted_columns += stems
            pieces.append(self._divided(words))
        wanted = csr_matrix(
            (np.ones(len(wanted_rows), np.float32), (wanted_rows, wanted_columns)),
            shape=(len(rows), self._facts.stems.shape[1]),
        )
        return Captions(pieces, asked, wanted)

    def _draw(self, row: int) -> tuple[list[str], list[int], list[int]]:
        """(words in random order, slots named, stems of the name's words that were taken)."""
        known = [slot for slot in range(len(SLOTS)) if self._facts.codes[row, slot] >= 0]
        kinds = [slot for slot in known if SLOTS[slot] in KINDS]
        slots = [s for s in known if self._random.random() < _SHARES.get(SLOTS[s], 0.0)]
        if kinds and self._random.random() < _KIND_SHARE:
            is_typed = _TYPE in kinds and self._random.random() < 0.5
            slots.append(_TYPE if is_typed else int(self._random.choice(kinds)))
        extra: list[str] = []
        names = self._names[row]
        if names and (not slots or self._random.random() < _NAME_WORDS_SHARE):
            count = min(len(names), int(self._random.integers(1, _MOST_NAME_WORDS + 1)))
            extra = [names[i] for i in self._random.choice(len(names), count, replace=False)]
        if not slots and not extra and known:
            slots = [int(self._random.choice(known))]
        parts = [[self._spelled(word) for word in self._value(row, slot)] for slot in slots]
        parts += [[word] for word in extra]
        order = self._random.permutation(len(parts))
        # A listing without a name lends its columns' words, which are no stems of names.
        stems = sorted({self._facts.stem_of[stem(word)] for word in extra if stem(word) in self._facts.stem_of})
        return [word for i in order for word in parts[i]], slots, stems

    def _value(self, row: int, slot: int) -> list[str]:
        return self._facts.values[SLOTS[slot]][self._facts.codes[row, slot]].split()

    def _spelled(self, word: str) -> str:
        """Plural as it stands, or without its ending: shoppers write both."""
        return stem(word) if self._random.random() < _STEMMED_SHARE else word

    def _divided(self, words: Sequence[str]) -> Pieces:
        told = [self._pieces[word] if word in self._pieces else self._learned(word) for word in words]
        return np.concatenate(told) if told else np.empty(0, np.int32)

    def _learned(self, word: str) -> Pieces:
        return self._pieces.setdefault(word, self._subwords.encode(word))
