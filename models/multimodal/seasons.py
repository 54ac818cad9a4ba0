"""Seasons told by the month in which a product was listed, where the catalogue has no column for them."""

from __future__ import annotations

from typing import Final

SEASONS: Final = ("Spring", "Summer", "Fall", "Winter")
"""March to May, June to August, September to November, December to February."""


def season_of(month: int) -> str:
    """The season of a month, 1..12."""
    return SEASONS[(month // 3 - 1) % 4]
