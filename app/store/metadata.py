"""Takes the metadata out of a photo without touching a pixel.

A phone writes position, time and device into its photos. Only the parts that change how the pixels
look are kept: the colour profile, Adobe's colour transform and, where it is not 1, the orientation, as an
EXIF block of that one tag. The compressed picture itself is copied byte for byte: storing it loses nothing.

Formats: JPEG (ITU-T T.81, annex B), PNG (W3C PNG third edition, chapter 5), WebP (RFC 9649). HEIC keeps its
metadata inside a container that cannot be cut so simply: ``app.store.media`` re-encodes it without loss.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.errors import PhotoDamaged, UsageError

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    (
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"tRNS",
        b"gAMA",
        b"cHRM",
        b"sRGB",
        b"iCCP",
        b"sBIT",
        b"bKGD",
        b"pHYs",
        b"cICP",
    )
)
_WEBP_KEPT = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04
_OPENERS: dict[str, Callable[[BytesIO], Image.Image]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
}
_ENTROPY_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker that ends entropy-coded data: neither a stuffed byte, a fill byte nor a restart marker."""


def strip_metadata(data: bytes, kind: str) -> bytes:
    """The same picture without metadata.

    data: a photo that has already been decoded once (``models.photo.open_upright``).
    kind: ``jpeg``, ``png`` or ``webp``.
    Of a multi-picture JPEG or an animated PNG only the first picture stays; an animated WebP keeps all.

    :raise PhotoDamaged: the structure of the file ends early.
    :raise UsageError: another ``kind``.
    """
    strippers = {"jpeg": _strip_jpeg, "png": _strip_png, "webp": _strip_webp}
    if kind not in strippers:
        raise UsageError(f"kind is {kind!r}; metadata can be cut out of {', '.join(strippers)} only.")
    try:
        return strippers[kind](data)
    except (IndexError, ValueError) as cause:
        raise PhotoDamaged(f"The structure of the {kind.upper()} file ends early. Send the original file.") from cause


def _orientation(data: bytes, kind: str) -> int:
    """EXIF (or XMP) orientation 1 to 8; 1 where there is none or it makes no sense."""
    opened = _OPENERS[kind](BytesIO(data))
    try:
        value = opened.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - broken metadata of any kind says nothing; the photo reader decides alike
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _tiff(orientation: int) -> bytes:
    """The smallest EXIF body: one directory with the orientation tag alone (EXIF 2.32, 4.6.2)."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes((0, orientation)) + b"\x00\x00"
    return b"MM\x00*\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, segment) after SOI; a scan's segment carries its entropy-coded data; ends with EOI."""
    at = 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1
        if data[at] != 0xFF:
            raise ValueError("no marker where one belongs")
        marker = data[at + 1]
        if marker == 0xD9:
            yield marker, data[at : at + 2]
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            end = at + 2
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == 0xDA:
                found = _ENTROPY_END.search(data, end)
                if found is None:
                    # No end marker: decoders accept it when all rows came, and so do we.
                    yield marker, data[at:]
                    yield 0xD9, b"\xff\xd9"
                    return
                end = found.start()
        yield marker, data[at:end]
        at = end


def _keeps_jpeg(marker: int, segment: bytes) -> bool:
    body = segment[4:]
    if marker == 0xE0:
        return body.startswith(b"JFIF\x00")
    if marker == 0xE2:
        return body.startswith(b"ICC_PROFILE\x00")
    if marker == 0xEE:
        return body.startswith(b"Adobe")
    return not (0xE1 <= marker <= 0xEF or marker == 0xFE)


def _strip_jpeg(data: bytes) -> bytes:
    head: list[bytes] = []
    rest: list[bytes] = []
    dropped = False
    for marker, segment in _jpeg_segments(data):
        if not _keeps_jpeg(marker, segment):
            dropped = True
        elif marker == 0xE0 and not rest:
            # JFIF ends in a thumbnail of its own: cut it, it may show what was cropped from the photo.
            head.append(b"\xff\xe0\x00\x10" + segment[4:16] + b"\x00\x00")
        else:
            rest.append(segment)
    orientation = _orientation(data, "jpeg") if dropped else 1
    if orientation != 1:
        body = b"Exif\x00\x00" + _tiff(orientation)
        head.append(b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body)
    return b"\xff\xd8" + b"".join(head) + b"".join(rest)


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")


def _strip_png(data: bytes) -> bytes:
    kept: list[tuple[bytes, bytes]] = []
    dropped = False
    at = len(_PNG_MAGIC)
    while True:
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if len(name) < 4 or end > len(data):
            raise ValueError("chunk beyond the end")
        if name in _PNG_KEPT:
            kept.append((name, data[at:end]))
        else:
            dropped = True
        if name == b"IEND":
            break
        at = end
    orientation = _orientation(data, "png") if dropped else 1
    if orientation != 1:
        first = next(index for index, (name, _) in enumerate(kept) if name == b"IDAT")
        kept.insert(first, (b"eXIf", _png_chunk(b"eXIf", _tiff(orientation))))
    return _PNG_MAGIC + b"".join(chunk for _, chunk in kept)


def _strip_webp(data: bytes) -> bytes:
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    kept: list[tuple[bytes, bytes]] = []
    dropped = False
    at = 12
    while at + 8 <= end:
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + length]
        if len(body) < length:
            raise ValueError("chunk beyond the end")
        if name in _WEBP_KEPT:
            kept.append((name, body))
        else:
            dropped = True
        at += 8 + length + length % 2
    orientation = _orientation(data, "webp") if dropped else 1
    if orientation != 1:
        kept.append((b"EXIF", _tiff(orientation)))
    if kept and kept[0][0] == b"VP8X":
        flags = kept[0][1][0] & ~(_WEBP_EXIF | _WEBP_XMP) | (_WEBP_EXIF if orientation != 1 else 0)
        kept[0] = (b"VP8X", bytes((flags,)) + kept[0][1][1:])
    chunks = b"".join(name + len(body).to_bytes(4, "little") + body + b"\x00" * (len(body) % 2) for name, body in kept)
    return b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WEBP" + chunks
