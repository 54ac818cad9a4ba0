"""Bytes from a phone -> ``Photo``: the only place where Pickture decodes photos.

The steps, each of which can refuse the photo (``models.errors``): byte limit, format by content,
header (pixel and frame limits), full decode at a reduced scale, colour to opaque sRGB, orientation.
Everything is a function of its arguments, so any number of threads may call it, and no setting of
Pillow's is read or changed.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from augment.geometry import resize_square
from models.errors import PhotoEmpty, PhotoTooLarge, UsageError
from models.photo.advice import advise
from models.photo.colour import to_srgb
from models.photo.formats import OpenedPhoto, decoding, open_header, sniff_format
from models.values import INPUT_SIZE, Advice, Photo, UInt8

MEBIBYTE = 1024 * 1024

HARD_MAX_PIXELS = 178_956_970
"""No ``max_pixels`` above this: Pillow's WebP decoder refuses more on its own (2 x 89,478,485)."""

_ORIENTATION_STEPS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, tag 0x0112, to the one step that stands the picture upright; 1 needs none."""


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """What a photo may cost, and how large it is decoded.

    max_bytes: size of the file; phones write 2 to 12 MB, 50-megapixel JPEGs up to about 20.
    max_pixels: width x height in the header, checked before anything is decoded; at most
        ``HARD_MAX_PIXELS``.
    max_frames: frames of an animated WebP or PNG, or pictures in a HEIC. Only the first (HEIC: the
        primary) is read; the limit refuses films that pose as photos.
    decode_edge: ``read_photo`` reduces larger photos until the long edge is at least this and
        under twice this, as long as the short edge keeps ``INPUT_SIZE`` pixels. 960 lets the common
        12-megapixel JPEG (4032 x 3024, 4000 x 3000) be decoded at a quarter of its edge.

    :raise UsageError: a limit below 1, or ``max_pixels`` above ``HARD_MAX_PIXELS``.
    """

    max_bytes: int = 20 * MEBIBYTE
    max_pixels: int = 50_000_000
    max_frames: int = 100
    decode_edge: int = 960

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_frames", "decode_edge"):
            value = getattr(self, name)
            if value < 1:
                raise UsageError(f"PhotoLimits.{name} is {value}; it must be at least 1.")
        if self.max_pixels > HARD_MAX_PIXELS:
            raise UsageError(
                f"PhotoLimits.max_pixels is {self.max_pixels:,}; the decoders take at most "
                f"{HARD_MAX_PIXELS:,}. Set a lower limit."
            )


DEFAULT_LIMITS = PhotoLimits()


def read_photo(
    data: bytes,
    limits: PhotoLimits = DEFAULT_LIMITS,
    *,
    with_advice: bool = True,
    content_hash: str | None = None,
    fit: bool = False,
) -> Photo:
    """Decode one photo for recognition.

    data: the file as it came: JPEG (also the multi-picture kind of phones), PNG, WebP or HEIC,
        told by content, never by name.
    with_advice: also look for hints to the shopper (``models.photo.advice.advise``).
    content_hash: SHA-256 of ``data`` in hex, from a caller who has it already.
    fit: squash the pixels to (299, 299, 3), as ``models.backbone.preprocessing.fit_input`` would, and look for hints in
        another thread meanwhile.
    Returns a ``Photo`` whose pixels are uint8 (height, width, 3), RGB, sRGB, upright, opaque (white
    shows through transparency), C-contiguous and read-only; equal bytes give equal pixels.

    An embedded colour profile is converted to sRGB; a broken or unfitting one is ignored, as the
    pixels are still worth recognising. Unreadable EXIF counts as upright for the same reason.
    JPEG has no checksum: damage inside the picture that leaves its structure whole shows as wrong
    pixels, not as an error.

    :raise PhotoEmpty: no bytes.
    :raise PhotoTooLarge: more bytes, pixels or frames than ``limits``.
    :raise PhotoFormatUnsupported: another format.
    :raise PhotoDamaged: it cannot be decoded to its end.
    """
    upright, opened = _decode(data, limits, limits.decode_edge)
    width, height = opened.size
    if opened.swaps_edges:
        width, height = height, width

    def hints() -> tuple[Advice, ...]:
        return advise(upright, width, height) if with_advice else ()

    if fit:
        with ThreadPoolExecutor(1) as beside:
            looking = beside.submit(hints)
            pixels = _frozen(resize_square(np.asarray(upright), INPUT_SIZE))
            advice = looking.result()
    else:
        pixels, advice = _frozen(np.ascontiguousarray(upright, dtype=np.uint8)), hints()
    return Photo(
        pixels=pixels,
        content_hash=content_hash or hashlib.sha256(data).hexdigest(),
        format=opened.format,
        source_width=width,
        source_height=height,
        advice=advice,
    )


def open_upright(data: bytes, limits: PhotoLimits = DEFAULT_LIMITS) -> Image.Image:
    """The photo at its full size as a plain RGB image: sRGB, upright, opaque, no metadata at all.

    For the media store: whatever it saves of this image carries no position, time or device.
    ``limits.decode_edge`` plays no part. Raises as ``read_photo``.
    """
    upright, _ = _decode(data, limits, None)
    plain = Image.Image.copy(upright)
    plain.info = {}
    return plain


def _decode(data: bytes, limits: PhotoLimits, edge: int | None) -> tuple[Image.Image, OpenedPhoto]:
    """The upright RGB image, reduced towards ``edge`` unless that is None, and its header."""
    check_bytes(len(data), limits)
    kind = sniff_format(data)
    with decoding(kind, len(data)):
        opened = open_header(data, kind)
    _check_frames(opened.frames, limits)
    _check_pixels(opened.size, limits)
    factor = 1 if edge is None else _reduction(opened.size, edge)
    with decoding(kind, len(data)):
        image = opened.load(factor)
        # A HEIC's stream may be larger than its header said; the others cannot.
        _check_pixels(image.size, limits)
        rest = 1 if edge is None else _reduction(image.size, edge)
        image = to_srgb(image, reduce_by=rest)
        step = _ORIENTATION_STEPS.get(opened.orientation)
        return (image if step is None else image.transpose(step)), opened


def _reduction(size: tuple[int, int], edge: int) -> int:
    """Largest whole factor that leaves the long edge >= ``edge`` and the short >= INPUT_SIZE."""
    return max(1, min(max(size) // edge, min(size) // INPUT_SIZE))


def _frozen(pixels: UInt8) -> UInt8:
    pixels.setflags(write=False)
    return pixels


def check_bytes(size_bytes: int, limits: PhotoLimits) -> None:
    """Refuse a file by its size alone. :raise PhotoEmpty, PhotoTooLarge:"""
    if size_bytes == 0:
        raise PhotoEmpty("The photo holds no bytes; a JPEG, PNG, WebP or HEIC file was expected. Send it again.")
    if size_bytes > limits.max_bytes:
        raise PhotoTooLarge(
            f"The photo has {size_bytes / MEBIBYTE:.1f} MiB; at most {limits.max_bytes / MEBIBYTE:.1f} MiB "
            "are accepted. Send it at a smaller size or a higher compression."
        )


def _check_frames(frames: int, limits: PhotoLimits) -> None:
    if frames > limits.max_frames:
        raise PhotoTooLarge(
            f"The file holds {frames} frames; at most {limits.max_frames} are accepted. "
            "Send a still photo instead of an animation."
        )


def _check_pixels(size: tuple[int, int], limits: PhotoLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise PhotoTooLarge(
            f"The photo has {width} x {height} = {width * height / 1e6:.1f} megapixels; at most "
            f"{limits.max_pixels / 1e6:.1f} are accepted. Send it at a smaller size."
        )
