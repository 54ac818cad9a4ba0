"""Another photo out of a photo, in a millisecond: for clients that must never send the same one twice.

A number in a comment would change the bytes and leave the pixels alone, which a cache by pixels would notice. A step in
one low frequency of the quantisation tables (ITU-T T.81, B.2.4.1) changes the pixels everywhere, a little, and costs
nothing to decode. Needs the standard library alone: clients are to be light.
"""

from __future__ import annotations

import struct

_FREQUENCIES = 9
"""Places of each table, in zigzag order after the mean, that are changed: they count at reduced scales too."""
_STEPS = 3
VERSIONS = (_FREQUENCIES * _STEPS) ** 2
"""Different pictures that one photo gives."""

_TABLES_MARKER, _COMMENT_MARKER, _SCAN_MARKER = 0xDB, 0xFE, 0xDA
_TABLE_BYTES = 65


def altered(photo: bytes, number: int) -> bytes:
    """A baseline JPEG with 8-bit tables, as version ``number`` of itself; 0 changes its bytes alone.

    :raise ValueError: no JPEG of that kind.
    """
    tables = _table_places(photo)
    if not tables:
        raise ValueError("expected a JPEG with quantisation tables of 8 bits")
    changed = bytearray(photo)
    rest = number % VERSIONS
    for place in tables[:2]:
        rest, turn = divmod(rest, _FREQUENCIES * _STEPS)
        step, frequency = divmod(turn, _FREQUENCIES)
        at = place + 1 + frequency
        if turn:
            value = changed[at] + step + 1
            changed[at] = value if value <= 255 else changed[at] - step - 1
    comment = b"%d" % number
    return b"".join((photo[:2], b"\xff\xfe", struct.pack(">H", len(comment) + 2), comment, changed[2:]))


def _table_places(photo: bytes) -> list[int]:
    """Where the 64 values of each quantisation table begin."""
    places: list[int] = []
    at = 2
    while photo[:2] == b"\xff\xd8" and at + 4 <= len(photo) and photo[at] == 0xFF and photo[at + 1] != _SCAN_MARKER:
        length = struct.unpack(">H", photo[at + 2 : at + 4])[0]
        if photo[at + 1] == _TABLES_MARKER:
            table = at + 4
            while table + _TABLE_BYTES <= at + 2 + length and photo[table] >> 4 == 0:
                places.append(table + 1)
                table += _TABLE_BYTES
        at += 2 + length
    return places
