"""Small photo files, built in memory, for every test that needs bytes instead of arrays."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

DATA = Path(__file__).parent / "data"
ORIENTATION_TAG = 0x0112

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 180, 30), (30, 30, 220), (230, 220, 40)

STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores the upright picture that it marks with this orientation."""


def quadrants(width: int = 96, height: int = 64) -> Image.Image:
    """Red green / blue yellow: every turn and mirroring shows."""
    image = Image.new("RGB", (width, height), YELLOW)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def textured(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft coloured noise, so that encoded sizes and decoding times are like a photo's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    large = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
    return large.filter(ImageFilter.UnsharpMask(2))


def deep_grey(image: Image.Image) -> Image.Image:
    """The same picture as 16-bit grey."""
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The image as a file in the format Pillow calls ``kind``."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_orientation(image: Image.Image, kind: str, orientation: object, **options: Any) -> bytes:
    """Encoded, with that EXIF orientation and pixels as they are."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return encoded(image, kind, exif=exif.tobytes(), **options)


def without_adobe_marker(jpeg: bytes) -> bytes:
    """The same JPEG without its APP14 segment."""
    at = jpeg.index(b"\xff\xee")
    length = struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
    return jpeg[:at] + jpeg[at + 2 + length :]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG from raw parts: what Pillow cannot write, and headers that lie."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            *chunks,
            png_chunk(b"IDAT", zlib.compress(rows)),
            png_chunk(b"IEND", b""),
        ]
    )


def heic(name: str) -> bytes:
    """One of the files that ``data/make_heic.py`` made."""
    return (DATA / f"{name}.heic").read_bytes()


def sample_files() -> dict[str, bytes]:
    """One sound file of each kind a phone or a shop sends."""
    picture = textured(160, 120)
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=32)
    return {
        "jpeg": with_orientation(picture, "JPEG", 6, quality=90),
        "progressive": encoded(picture, "JPEG", progressive=True),
        "cmyk": encoded(picture.convert("CMYK"), "JPEG"),
        "mpo": encoded(picture, "MPO", save_all=True, append_images=[quadrants()]),
        "png": encoded(picture, "PNG"),
        "png16": encoded(deep_grey(picture), "PNG"),
        "palette": encoded(palette, "PNG", transparency=3),
        "apng": encoded(picture, "PNG", save_all=True, append_images=[textured(160, 120, 1)]),
        "webp": encoded(picture, "WEBP"),
        "webp_lossless": encoded(picture.convert("RGBA"), "WEBP", lossless=True),
        "webp_film": encoded(picture, "WEBP", save_all=True, append_images=[textured(160, 120, 1)]),
        "heic": heic("orientation_6"),
        "heic_alpha": heic("transparent"),
        "heic_three": heic("three_pictures"),
    }
