"""The same product's name as another seller would write it, and words that shoppers put around what they look for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.multimodal.names import is_code, normalise

FILLERS: Final = (
    *("this", "in", "the", "same", "but", "like", "please", "with", "a", "for", "instead", "show", "me", "similar"),
    *("something", "one", "want", "looking", "of", "to", "is", "it", "i", "my", "that", "and", "colour", "color"),
    *("이거", "이것", "같은", "비슷한", "으로", "로", "색으로", "말고", "찾아줘", "보여줘", "주세요", "색상"),
)
"""Words of a request that say nothing of the product; captions carry some, so that the text encoder learns so."""

SELLER_WORDS: Final = (
    "new",
    "original",
    "sale",
    "best",
    "hot",
    "genuine",
    "official",
    "free shipping",
    "정품",
    "무료배송",
)

_DROPPED: Final = 0.2
_MISSPELT: Final = 0.06
_SHORTENED: Final = 0.06
_CODE_DROPPED: Final = 0.5
_SELLER_SHARE: Final = 0.4
_MOVED_SHARE: Final = 0.5


def reword(name: str, random: np.random.Generator) -> str:
    """Another seller's spelling of a name: words left out, moved, misspelt or cut short, a code left out, words of
    selling added. At least one word stays; equal draws give equal names."""
    told = normalise(name).split()
    kept = [word for word in told if random.random() >= (_CODE_DROPPED if is_code(word) else _DROPPED)]
    kept = kept or told[:1]
    kept = [_misspelt(word, random) for word in kept]
    if len(kept) > 2 and random.random() < _MOVED_SHARE:
        word = kept.pop(int(random.integers(len(kept))))
        kept.insert(int(random.integers(len(kept) + 1)), word)
    if random.random() < _SELLER_SHARE:
        kept.insert(0 if random.random() < 0.5 else len(kept), str(random.choice(SELLER_WORDS)))
    return " ".join(kept)


def _misspelt(word: str, random: np.random.Generator) -> str:
    if len(word) > 4 and random.random() < _MISSPELT:
        place = int(random.integers(1, len(word) - 2))
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if len(word) > 5 and random.random() < _SHORTENED:
        return word[: len(word) - 2]
    return word


def with_fillers(words: Sequence[str], random: np.random.Generator) -> list[str]:
    """The words with one to three fillers before or behind them."""
    told = [str(word) for word in random.choice(FILLERS, int(random.integers(1, 4)))]
    place = int(random.integers(len(told) + 1))
    return [*told[:place], *words, *told[place:]]
