"""Keys for searching and sorting text."""

import re
import unicodedata

_SPACES = re.compile(r"\s+")


def clean(value: str) -> str:
    """NFC form with runs of white space folded to one blank and the ends stripped."""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", value)).strip()


def key(value: str) -> str:
    """The comparison key of a text: cleaned and casefolded (Unicode default caseless matching)."""
    return unicodedata.normalize("NFC", clean(value).casefold())
