"""Photo intake: what is refused, with which error, and that nothing else ever comes out."""

from __future__ import annotations

import random
import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from models.errors import (
    PhotoDamaged,
    PhotoEmpty,
    PhotoError,
    PhotoFormatUnsupported,
    PhotoTooLarge,
    UsageError,
)
from models.photo import PhotoLimits, open_upright, read_photo
from models.photo.reading import HARD_MAX_PIXELS
from models.values import Photo
from tests.models.photo_files import encoded, heic, png, png_chunk, quadrants, sample_files, textured

SAMPLES = sample_files()


def test_no_bytes() -> None:
    with pytest.raises(PhotoEmpty, match="no bytes"):
        read_photo(b"")


def test_too_many_bytes() -> None:
    data = encoded(quadrants(), "PNG")
    assert read_photo(data, PhotoLimits(max_bytes=len(data)))
    with pytest.raises(PhotoTooLarge, match="MiB"):
        read_photo(data, PhotoLimits(max_bytes=len(data) - 1))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO", "PDF", "AVIF"])
def test_other_formats_even_if_pillow_reads_them(kind: str) -> None:
    with pytest.raises(PhotoFormatUnsupported, match="JPEG, PNG, WebP or HEIC"):
        read_photo(encoded(quadrants(), kind))


@pytest.mark.parametrize("data", [b"x", b"hello, this is text" * 9, b"\x00" * 99, b"RIFF\x00\x00\x00\x00WAVEfmt "])
def test_no_picture_at_all(data: bytes) -> None:
    with pytest.raises(PhotoFormatUnsupported):
        read_photo(data)


def test_well_known_formats_are_named() -> None:
    with pytest.raises(PhotoFormatUnsupported, match="is GIF"):
        read_photo(encoded(quadrants(), "GIF"))
    with pytest.raises(PhotoFormatUnsupported, match="is AVIF"):
        read_photo(encoded(quadrants(), "AVIF"))
    with pytest.raises(PhotoFormatUnsupported, match="film"):
        read_photo(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42" + b"\x00" * 64)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(name: str, share: float) -> None:
    data = SAMPLES[name]
    if name in {"mpo", "apng", "webp_film", "heic_three"}:
        data = data[: int(len(data) * share * 0.45)]  # within the first picture
    else:
        data = data[: int(len(data) * share)]
    with pytest.raises(PhotoDamaged, match="cannot be decoded"):
        read_photo(data)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_cut_that_is_let_through_cost_no_pixel(name: str) -> None:
    # A PNG without its closing chunk, say: nothing of the picture is missing.
    data = SAMPLES[name]
    whole = read_photo(data, with_advice=False).pixels
    for cut in range(1, 60):
        try:
            pixels = read_photo(data[:-cut], with_advice=False).pixels
        except PhotoDamaged:
            continue
        assert np.array_equal(pixels, whole)


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.98])
def test_truncation_shows_at_a_reduced_scale_too(kept: float) -> None:
    data = encoded(textured(2400, 1800), "JPEG")
    with pytest.raises(PhotoDamaged):
        read_photo(data[: int(len(data) * kept)])


def test_truncation_shows_at_full_size() -> None:
    data = encoded(textured(400, 300), "JPEG")
    with pytest.raises(PhotoDamaged):
        open_upright(data[: len(data) // 2])


def test_altered_png_is_refused_by_its_checksum() -> None:
    data = bytearray(SAMPLES["png"])
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(PhotoDamaged):
        read_photo(bytes(data))


def test_pixel_limit_comes_from_the_header() -> None:
    # One row of data under a header of 9000 x 9000: decoding would say "damaged".
    with pytest.raises(PhotoTooLarge, match="9000 x 9000"):
        read_photo(png(9000, 9000, 8, 2, b"\x00" * 10))
    lying_jpeg = bytearray(encoded(quadrants(), "JPEG"))
    at = lying_jpeg.index(b"\xff\xc0")
    lying_jpeg[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    with pytest.raises(PhotoTooLarge, match="60000 x 60000"):
        read_photo(bytes(lying_jpeg))


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "heic"])
def test_pixel_limit_holds_for_every_format(name: str) -> None:
    photo = read_photo(SAMPLES[name])
    pixels = photo.source_width * photo.source_height
    assert read_photo(SAMPLES[name], PhotoLimits(max_pixels=pixels))
    with pytest.raises(PhotoTooLarge, match="megapixels"):
        read_photo(SAMPLES[name], PhotoLimits(max_pixels=pixels - 1))


def test_pillow_s_bomb_guard_neither_warns_nor_leaks() -> None:
    limits = PhotoLimits(max_pixels=HARD_MAX_PIXELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PhotoDamaged):
            read_photo(png(12000, 12000, 1, 0, b"\x00" * 10), limits)
        with pytest.raises(PhotoTooLarge):
            read_photo(png(60000, 60000, 8, 2, b"\x00" * 10), limits)


def test_webp_beyond_pillow_s_guard_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(PhotoTooLarge):
        read_photo(SAMPLES["webp"])


def test_header_that_promises_more_than_there_is() -> None:
    with pytest.raises(PhotoDamaged):
        read_photo(png(3000, 3000, 8, 2, b"\x00" * 10))


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (0, 0)])
def test_zero_size(size: tuple[int, int]) -> None:
    with pytest.raises(PhotoDamaged):
        read_photo(png(*size, 8, 2, b""))


@pytest.mark.parametrize("name", ["apng", "webp_film", "heic_three"])
def test_frame_limit(name: str) -> None:
    frames = 3 if name == "heic_three" else 2
    assert read_photo(SAMPLES[name], PhotoLimits(max_frames=frames))
    with pytest.raises(PhotoTooLarge, match=f"{frames} frames"):
        read_photo(SAMPLES[name], PhotoLimits(max_frames=frames - 1))


def test_text_bomb_in_a_png_is_refused() -> None:
    bomb = png_chunk(b"zTXt", b"k\x00\x00" + zlib.compress(b"\x00" * 50_000_000))
    with pytest.raises(PhotoDamaged):
        read_photo(png(2, 2, 8, 0, b"\x00\x01\x02" * 2, bomb))


@pytest.mark.parametrize("name", ["max_bytes", "max_pixels", "max_frames", "decode_edge"])
def test_limits_below_one_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        PhotoLimits(**{name: 0})


def test_pixel_limit_above_the_decoders_is_refused() -> None:
    with pytest.raises(UsageError, match="max_pixels"):
        PhotoLimits(max_pixels=HARD_MAX_PIXELS + 1)


def test_messages_hold_nothing_of_the_decoder() -> None:
    for data in (
        SAMPLES["jpeg"][:200],
        SAMPLES["png"][:200],
        SAMPLES["webp"][:200],
        heic("orientation_1")[:400],
    ):
        with pytest.raises(PhotoDamaged) as refused:
            read_photo(data)
        text = str(refused.value)
        assert "PIL" not in text and "heif" not in text.lower() and "0x" not in text
        assert "Send" in text


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One of: a cut, flipped bytes, a run of zeros, a part twice, a part gone, another file's tail."""
    at = rng.randrange(len(data))
    size = rng.choice((1, 4, 16, 200))
    match rng.randrange(6):
        case 0:
            return data[:at]
        case 1:
            changed = bytearray(data)
            for _ in range(size):
                changed[rng.randrange(len(data))] = rng.randrange(256)
            return bytes(changed)
        case 2:
            return data[:at] + b"\x00" * size + data[at + size :]
        case 3:
            return data[: at + size] + data[at:]
        case 4:
            return data[:at] + data[at + size :]
        case _:
            return data[:at] + rng.choice(list(SAMPLES.values()))[at:]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SAMPLES)
def test_mutated_files_give_a_photo_or_a_photo_error(name: str) -> None:
    rng = random.Random(f"mutations of {name}")
    limits = PhotoLimits(max_pixels=1_000_000)
    outcomes = {"photo": 0, "error": 0}
    for _ in range(60):
        data = mutated(SAMPLES[name], rng)
        try:
            photo = read_photo(data, limits)
        except PhotoError:
            outcomes["error"] += 1
        else:
            outcomes["photo"] += 1
            assert isinstance(photo, Photo)
            assert photo.pixels.dtype == np.uint8 and photo.pixels.shape[2] == 3
    assert outcomes["error"] > 0


def test_headers_cut_everywhere_are_refused_cleanly() -> None:
    for name in ("jpeg", "png", "webp", "heic"):
        for length in range(1, 120):
            with pytest.raises(PhotoError):
                read_photo(SAMPLES[name][:length])


def test_sample_files_are_what_they_claim() -> None:
    assert Image.open(BytesIO(SAMPLES["cmyk"])).mode == "CMYK"
    assert Image.open(BytesIO(SAMPLES["png16"])).mode.startswith("I;16")
    assert Image.open(BytesIO(SAMPLES["mpo"])).format == "MPO"
    assert getattr(Image.open(BytesIO(SAMPLES["apng"])), "n_frames", 1) == 2
