"""Photos that are nearly right: real files of every format, damaged blindly and where it hurts."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.models.photo_files import deep_grey, encoded, sample_files, with_orientation

_PNG_START = 8
_RIFF_START = 12
_SIZES = (0, 1, 2, 7, 255, 256, 65_535, 65_536, 2**31 - 1, 2**32 - 1)
_RUNS = (1, 4, 16, 200, 4_000)


def real_files(photo: Image.Image) -> dict[str, bytes]:
    """Sound files of every format and kind: small ones, and ``photo`` (a drawn phone photo) as a phone would send it.

    HEIC cannot be written here; those of the tests of intake stand in for it.
    """
    small = photo.resize((photo.width // 4, photo.height // 4))
    return {
        **sample_files(),
        "phone_jpeg": with_orientation(photo, "JPEG", 6, quality=88),
        "phone_progressive": encoded(photo, "JPEG", progressive=True, quality=80),
        "phone_webp": encoded(photo, "WEBP", quality=80),
        "phone_png": encoded(small, "PNG"),
        "phone_png16": encoded(deep_grey(small), "PNG"),
    }


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The file, changed once to three times."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        if len(data) > 1:
            data = _structural(data, rng) if rng.random() < 0.5 else _blind(data, others, rng)
    return data


def _blind(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A cut, altered bytes, a run of one value, a part twice, a part gone, another file's end."""
    at = rng.randrange(len(data))
    size = rng.choice(_RUNS)
    match rng.randrange(6):
        case 0:
            return data[:at]
        case 1:
            changed = bytearray(data)
            for _ in range(size):
                changed[rng.randrange(len(data))] = rng.randrange(256)
            return bytes(changed)
        case 2:
            return data[:at] + bytes([rng.choice((0, 255))]) * size + data[at + size :]
        case 3:
            return data[: at + size] + data[at:]
        case 4:
            return data[:at] + data[at + size :]
        case _:
            other = rng.choice(others)
            return data[:at] + other[min(at, len(other)) :]


def _structural(data: bytes, rng: random.Random) -> bytes:
    """One of the format's own parts: another length, other contents under a right checksum, twice, gone, elsewhere."""
    parts = list(_parts(data))
    if not parts:
        return _blind(data, [data], rng)
    start, length_at, width, end = rng.choice(parts)
    match rng.randrange(5):
        case 0:  # a length that lies
            wrong = rng.choice(_SIZES) % 256**width
            order = "little" if data[:4] == b"RIFF" else "big"
            return data[:length_at] + wrong.to_bytes(width, order) + data[length_at + width :]
        case 1:  # other contents; in a PNG the checksum fits
            changed = bytearray(data)
            for _ in range(rng.choice((1, 3, 20))):
                changed[rng.randrange(start, max(start + 1, end))] = rng.randrange(256)
            return _with_checksum(bytes(changed), start, end)
        case 2:
            return data[:end] + data[start:end] + data[end:]
        case 3:
            return data[:start] + data[end:]
        case _:
            there = rng.choice(parts)[0]
            piece = data[start:end]
            return data[:there] + piece + data[there:start] + data[end:] if there < start else data[:start] + data[end:]


def _parts(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(start, place of the length, its bytes, end) of each segment, chunk or box, as far as they can be followed."""
    if data[:2] == b"\xff\xd8":
        at = 2
        while at + 4 <= len(data) and data[at] == 0xFF:
            end = at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
            yield at, at + 2, 2, min(end, len(data))
            at = end
    elif data[:4] == b"\x89PNG":
        at = _PNG_START
        while at + 12 <= len(data):
            end = at + 12 + struct.unpack(">I", data[at : at + 4])[0]
            yield at, at, 4, min(end, len(data))
            at = end
    elif data[:4] == b"RIFF":
        at = _RIFF_START
        while at + 8 <= len(data):
            size = struct.unpack("<I", data[at + 4 : at + 8])[0]
            end = at + 8 + size + size % 2
            yield at, at + 4, 4, min(end, len(data))
            at = end
    elif data[4:8] == b"ftyp":
        yield from _boxes(data, 0, len(data), 3)


def _boxes(data: bytes, at: int, limit: int, depth: int) -> Iterator[tuple[int, int, int, int]]:
    while at + 8 <= limit:
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        end = min(at + size, limit) if size >= 8 else limit
        yield at, at, 4, end
        if depth and kind in (b"meta", b"iprp", b"ipco", b"iinf"):
            yield from _boxes(data, at + (8 if kind in (b"iprp", b"ipco") else 12), end, depth - 1)
        at = end


def _with_checksum(data: bytes, start: int, end: int) -> bytes:
    if data[:4] != b"\x89PNG" or end - start < 12:
        return data
    checksum = struct.pack(">I", zlib.crc32(data[start + 4 : end - 4]))
    return data[: end - 4] + checksum + data[end:]
