"""Product names as the text models read them: one spelling, product codes kept whole, category words masked.

Names of a catalogue are ungrammatical: "CASIO G-Shock Men's Black Digital Watch G-7710-1DR G223". Every text model
reads ``normalise(name)``; whoever trains or serves one must not spell names in another way.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

LEAST_CODE_LENGTH: Final = 4
"""Characters from which a word with digits is called a product code: "g223" is one, "3pc" is not."""

_APOSTROPHES: Final = re.compile(r"['’‘`´]")
_JOINED: Final = re.compile(r"[^\W_]+(?:[-./+][^\W_]+)*")
_JOINERS: Final = re.compile(r"[-./+]")
_DIGIT: Final = re.compile(r"\d")
_SEPARATORS: Final = re.compile(r"[-/+]")
_HANGUL: Final = re.compile(r"[가-힣]")
_SMALL_WORDS: Final = frozenset(("and", "the", "for", "of", "with", "및", "기타"))


def normalise(name: str) -> str:
    """The one spelling that text models read: lower case, single spaces, letters and digits of any script.

    NFC, casefold, NFC. Apostrophes vanish ("Men's" -> "mens"). Characters other than letters and digits divide words
    ("T-shirt" -> "t shirt"), but for a hyphen, slash, plus or point inside a word with a digit, which is a code or a
    measure: "G-7710-1DR" -> "g77101dr", "1.5L" -> "1.5l". Idempotent; "" where nothing is left.
    """
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return " ".join(part for joined in _JOINED.findall(_APOSTROPHES.sub("", text)) for part in _parts(joined))


def _parts(joined: str) -> list[str]:
    """A run of letters and digits with single joiners inside, as one code or as several words."""
    if joined.isalpha():
        return [joined]
    if _DIGIT.search(joined):
        return [_SEPARATORS.sub("", joined)]
    return _JOINERS.split(joined)


def words(name: str) -> list[str]:
    """The words of the normalised name, in order."""
    return normalise(name).split()


def is_code(word: str) -> bool:
    """Whether a normalised word is a product code: letters and digits together, or digits alone, of some length."""
    return len(word) >= LEAST_CODE_LENGTH and "." not in word and any(character.isdigit() for character in word)


def product_codes(name: str) -> list[str]:
    """The product codes of a name, normalised, in order; the same code is told once."""
    return list(dict.fromkeys(word for word in words(name) if is_code(word)))


def stem(word: str) -> str:
    """A normalised English word without its plural ending: "watches" -> "watch", "dresses" -> "dress".

    No dictionary: "dress" stays, "accessories" becomes "accessory", and a rare "lens" "len". Other scripts stay as
    they are.
    """
    if len(word) > 4 and word.endswith(("sses", "ches", "shes", "xes")):
        return word[:-2]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")):
        return word[:-1]
    return word


class CategoryWords:
    """The words of a shop's categories and types, and names without them.

    A name usually says its category ("... Men Black T-shirt"), which a shop that asks for the category does not know
    to be right. Measured without those words, a model shows what it learned beside reading the answer.

    A word of the name is masked where its stem is a category's ("Watches" masks "watch"); so are two neighbours whose
    join is one ("t shirt" for "Tshirts"). Hangul words of two syllables or more are masked inside longer words too
    ("여성원피스" keeps "여성"): Korean names leave spaces out. The words of *all* categories are masked in every name:
    only the product's own would need the answer, and tell it by what is missing.
    """

    def __init__(self, categories: Iterable[str]) -> None:
        """categories: names of types and categories, also whole paths ("Apparel > Topwear > Tshirts")."""
        found = {stem(word) for category in categories for word in words(category)}
        self.stems: frozenset[str] = frozenset(
            word for word in found if word not in _SMALL_WORDS and not word.isdigit() and len(word) > 1
        )
        inside = sorted((w for w in self.stems if len(w) > 1 and _HANGUL.match(w)), key=lambda w: (-len(w), w))
        self._inside = re.compile("|".join(map(re.escape, inside))) if inside else None

    def mask(self, name: str) -> str:
        """The normalised name without category words; "" where nothing else was said."""
        told = words(name)
        kept: list[str] = []
        place = 0
        while place < len(told):
            if place + 1 < len(told) and stem(told[place] + told[place + 1]) in self.stems:
                place += 2
                continue
            if stem(told[place]) not in self.stems:
                kept.append(told[place])
            place += 1
        text = " ".join(kept)
        return text if self._inside is None else " ".join(self._inside.sub(" ", text).split())
