"""Field types that several schemas share."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from app.store import text

MAX_SKU_CHARACTERS = 200
MAX_NAME_CHARACTERS = 500
PAGE_LIMIT = 100
"""Most items a page holds, whatever is asked for."""


def _storable(value: str) -> str:
    """NFC, and nothing PostgreSQL cannot hold."""
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    return text.clean(value)


def _sku(value: str) -> str:
    """As the import reads a sku: NFC, stripped, blanks inside left as they are."""
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    sku = unicodedata.normalize("NFC", value).strip()
    if not sku:
        raise ValueError("must not be blank")
    return sku


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS), AfterValidator(_storable)]
"""A name or path for people, brought to the form the catalogue is stored in."""

CategoryLevels = Annotated[str, Field(max_length=800), AfterValidator(_storable)]
"""A category's path without its last levels; "" where nothing is left of it."""

Sku = Annotated[str, Field(min_length=1, max_length=MAX_SKU_CHARACTERS), AfterValidator(_sku)]
"""A product's sku."""

Cursor = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[A-Za-z0-9._-]+$")]
"""Where a page goes on; opaque."""
