"""One function a kind of field: the text of a cell -> its value, or ``ValueError`` with the reason.

Texts come back NFC with folded white space (``app.store.text.clean``); empty cells never get here.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from app.store.text import clean

CATEGORY_SEPARATOR = " > "
MAX_CATEGORY_DEPTH = 8
MAX_SKU_LENGTH = 128
MAX_SKU_BYTES = 255
"""A sku names a folder; file systems take 255 bytes of UTF-8 a name."""

MAX_LENGTH = {
    "name": 500,
    "brand": 200,
    "category": 800,
    "type": 200,
    "colour": 200,
    "season": 200,
    "description": 20_000,
    "source": 500,
    "group": MAX_SKU_LENGTH,
    "gtin": 64,
    "url": 2_048,
    "mall_category": 800,
    "catalogue_id": 200,
}
"""Longest values, characters."""

_SKU_FORBIDDEN = set('/\\<>:"|?*')
_PRICE = re.compile(r"\d{1,12}(\.\d{1,2})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_TRUE = frozenset(("true", "yes", "y", "1", "t", "on"))
_FALSE = frozenset(("false", "no", "n", "0", "f", "off"))


def reject_control_characters(value: str, *, lines: bool) -> None:
    """Refuse what cannot be shown or stored: control characters and lone surrogates.

    lines: whether tabs and line breaks are fine.

    :raise ValueError: with the first offender's code point.
    """
    for character in value:
        category = unicodedata.category(character)
        if category == "Cs" or (category == "Cc" and not (lines and character in "\t\n\r")):
            raise ValueError(f"holds the control character U+{ord(character):04X}; remove it")


def parse_text(value: str, limit: int) -> str:
    """One line of text, cleaned, at most ``limit`` characters."""
    return _limited(clean(value), limit)


def parse_description(value: str, limit: int) -> str:
    """Text of several lines: NFC, line breaks kept, blanks at the ends of lines removed."""
    lines = unicodedata.normalize("NFC", value).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return _limited("\n".join(line.rstrip() for line in lines).strip(), limit)


def _limited(value: str, limit: int) -> str:
    if len(value) > limit:
        raise ValueError(f"has {len(value):,} characters; at most {limit:,} are kept")
    return value


def parse_sku(value: str) -> str:
    """A product number that is safe as the name of a folder on every system."""
    sku = unicodedata.normalize("NFC", value).strip()
    if not sku:
        raise ValueError("is empty; every product needs a sku of its own")
    found = sorted(_SKU_FORBIDDEN.intersection(sku))
    if found:
        raise ValueError(f'holds {" ".join(found)}; a sku names a folder, so none of / \\ < > : " | ? * may be in it')
    if sku.startswith(".") or sku.endswith("."):
        raise ValueError("starts or ends with a dot; a sku names a folder, where that is special")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in sku):
        raise ValueError("holds an invisible character; use visible ones only")
    if len(sku) > MAX_SKU_LENGTH or len(sku.encode()) > MAX_SKU_BYTES:
        raise ValueError(f"is longer than {MAX_SKU_LENGTH} characters or {MAX_SKU_BYTES} bytes")
    return sku


def parse_category(value: str) -> str:
    """``A > B > C``, each part cleaned."""
    parts = [clean(part) for part in value.split(">")]
    if not all(parts):
        raise ValueError('has an empty level; write "Grocery > Dairy > Milk", without a ">" at either end')
    if len(parts) > MAX_CATEGORY_DEPTH:
        raise ValueError(f"has {len(parts)} levels; at most {MAX_CATEGORY_DEPTH} are kept")
    return _limited(CATEGORY_SEPARATOR.join(parts), MAX_LENGTH["category"])


def parse_price(value: str) -> Decimal:
    """A decimal with a dot, 0 or more, at most two decimals (NUMERIC(14, 2))."""
    if _PRICE.fullmatch(value) and value.isascii():
        return Decimal(value)
    raise ValueError(_price_reason(value))


def _price_reason(value: str) -> str:
    if value.startswith("-"):
        return "is negative; a price is 0 or more"
    if re.fullmatch(r"\d+,\d{1,2}", value):
        return f"has a decimal comma; write {value.replace(',', '.')}"
    if re.fullmatch(r"\d{1,3}([,' ]\d{3})+(\.\d+)?", value):
        return f"has thousands separators; write {re.sub(r'[^0-9.]', '', value)}"
    if re.fullmatch(r"\d+\.\d{3,}", value):
        return "has more than two decimals; round it as the shop charges it"
    if re.fullmatch(r"\d{13,}(\.\d*)?", value):
        return "is too large; at most 12 digits before the dot"
    return "is not a price; write digits with a dot, such as 12.90, and the currency in its own column"


def parse_currency(value: str) -> str:
    """An ISO 4217 code; lower case is accepted."""
    code = value.upper()
    if not _CURRENCY.fullmatch(code):
        raise ValueError("is not an ISO 4217 code such as EUR")
    return code


def parse_boolean(value: str) -> bool:
    """true/false, yes/no, y/n, 1/0, t/f, on/off in any case."""
    folded = value.casefold()
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    raise ValueError("is neither true nor false; write true or false")


def parse_listed_at(value: str) -> datetime:
    """An ISO 8601 date (midnight UTC) or date and time (UTC where no offset is given), as UTC."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
        if re.match(r"\d{4}-\d{2}-\d{2}[T ]", value):
            parsed = datetime.fromisoformat(value)
            return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("is not an ISO date such as 2024-05-31 or 2024-05-31T09:30:00Z")


def parse_url(value: str) -> str:
    """An absolute http or https address."""
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in value
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("is not an address that starts with http:// or https://")
    return _limited(value, MAX_LENGTH["url"])


def gtin_doubt(value: str) -> str | None:
    """Why this is hardly a GTIN-8, -12, -13 or -14, or None (GS1 General Specifications, 7.9)."""
    if not (value.isascii() and value.isdigit() and len(value) in (8, 12, 13, 14)):
        return "is not a GTIN of 8, 12, 13 or 14 digits; kept as it is"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(value[:-1]), start=1))
    expected = -total % 10
    if int(value[-1]) != expected:
        return f"ends in {value[-1]}, but its check digit would be {expected}; kept as it is"
    return None
