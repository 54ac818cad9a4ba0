"""Photo intake: what a sound photo becomes, whatever the phone made of it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pi_heif
import pytest
from PIL import Image, ImageCms, ImageFile

from models.photo import PhotoLimits, open_upright, read_photo
from models.values import INPUT_SIZE, Photo
from tests.models.photo_files import (
    BLUE,
    GREEN,
    RED,
    STORED_AS,
    YELLOW,
    encoded,
    heic,
    png,
    png_chunk,
    quadrants,
    sample_files,
    textured,
    with_orientation,
    without_adobe_marker,
)

KINDS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}


def assert_upright(photo: Photo, tolerance: int = 12) -> None:
    height, width = photo.pixels.shape[:2]
    corners = [(4, 4, RED), (4, width - 5, GREEN), (height - 5, 4, BLUE), (height - 5, width - 5, YELLOW)]
    for y, x, colour in corners:
        assert np.abs(photo.pixels[y, x].astype(int) - colour).max() <= tolerance, (y, x)


@pytest.mark.parametrize("name", sample_files())
def test_every_photo_is_what_the_docstring_says(name: str) -> None:
    data = sample_files()[name]
    before = bytes(bytearray(data))
    photo = read_photo(data)
    assert data == before
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.ndim == 3 and photo.pixels.shape[2] == 3
    assert photo.pixels.flags.c_contiguous and not photo.pixels.flags.writeable
    assert photo.content_hash == hashlib.sha256(data).hexdigest()
    assert photo.pixels.shape[:2] == (photo.source_height, photo.source_width)
    assert photo.format in {"jpeg", "png", "webp", "heic"}


@pytest.mark.parametrize("name", sample_files())
def test_equal_bytes_give_equal_pixels(name: str) -> None:
    data = sample_files()[name]
    assert np.array_equal(read_photo(data).pixels, read_photo(data).pixels)


def test_format_is_told_by_content() -> None:
    formats = {name: read_photo(data).format for name, data in sample_files().items()}
    assert formats["jpeg"] == formats["mpo"] == formats["cmyk"] == "jpeg"
    assert formats["png"] == formats["apng"] == "png"
    assert formats["webp"] == formats["webp_film"] == "webp"
    assert formats["heic"] == formats["heic_three"] == "heic"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", STORED_AS)
def test_exif_orientation_is_applied_once(kind: str, orientation: int) -> None:
    step = STORED_AS[orientation]
    stored = quadrants() if step is None else quadrants().transpose(step)
    photo = read_photo(with_orientation(stored, KINDS[kind], orientation, quality=95))
    assert (photo.source_width, photo.source_height) == (96, 64)
    assert_upright(photo)


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
def test_heic_is_not_turned_twice(orientation: int) -> None:
    data = heic(f"orientation_{orientation}")
    exif = Image.Exif()
    exif.load(pi_heif.HeifFile(data).info["exif"])
    assert exif[0x0112] == orientation, "the file does carry the orientation that must not be applied again"
    photo = read_photo(data)
    assert (photo.source_width, photo.source_height) == (96, 64)
    assert_upright(photo)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_senseless_orientation_counts_as_upright(orientation: int) -> None:
    assert_upright(read_photo(with_orientation(quadrants(), "JPEG", orientation, quality=95)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_unreadable_exif_counts_as_upright() -> None:
    assert_upright(read_photo(encoded(quadrants(), "JPEG", quality=95, exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")))


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    deep = np.repeat(np.linspace(0, 65535, 256).astype(np.uint16)[None], 8, axis=0)
    photo = read_photo(encoded(Image.fromarray(deep), "PNG"))
    assert np.abs(photo.pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1
    assert np.array_equal(photo.pixels[..., 0], photo.pixels[..., 2])


def test_sixteen_bit_grey_with_transparent_value_is_white_there() -> None:
    rows = b"".join(b"\x00" + np.full(4, value, ">u2").tobytes() for value in (1000, 30000))
    photo = read_photo(png(4, 2, 16, 0, rows, png_chunk(b"tRNS", b"\x03\xe8")))
    assert photo.pixels[0, 0].tolist() == [255, 255, 255]
    assert photo.pixels[1, 0].tolist() == [117, 117, 117]


@pytest.mark.parametrize("colour_type", [2, 4, 6])
def test_other_sixteen_bit_pngs_keep_their_tone(colour_type: int) -> None:
    channels = {2: 3, 4: 2, 6: 4}[colour_type]
    pixel = [0x8000] * (channels if colour_type == 2 else channels - 1) + ([] if colour_type == 2 else [0xFFFF])
    rows = b"".join(b"\x00" + np.array(pixel * 4, ">u2").tobytes() for _ in range(4))
    assert np.abs(read_photo(png(4, 4, 16, colour_type, rows)).pixels.astype(int) - 128).max() <= 1


def test_adobe_cmyk_jpeg_is_not_inverted() -> None:
    assert_upright(read_photo(encoded(quadrants().convert("CMYK"), "JPEG", quality=95)), tolerance=25)


def test_plain_cmyk_jpeg_is_not_inverted_either() -> None:
    # Without Adobe's marker the four channels hold the ink itself.
    ink = Image.eval(quadrants().convert("CMYK"), lambda value: 255 - value)
    data = without_adobe_marker(encoded(ink, "JPEG", quality=95))
    assert_upright(read_photo(data), tolerance=25)


def test_transparency_lies_over_white() -> None:
    image = quadrants().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 20, 20))
    image.paste((0, 0, 0, 128), (70, 0, 96, 20))
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        pixels = read_photo(encoded(image, kind, **options)).pixels
        assert pixels[5, 5].tolist() == [255, 255, 255]
        assert np.abs(pixels[5, 90].astype(int) - 127).max() <= 1
    assert read_photo(heic("transparent")).pixels[5, 5].tolist() == [255, 255, 255]


def test_palette_keeps_its_colours_and_its_hole_is_white() -> None:
    palette = quadrants().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    assert_upright(read_photo(encoded(palette, "PNG")), tolerance=3)
    hole = palette.getpixel((4, 4))
    pixels = read_photo(encoded(palette, "PNG", transparency=hole)).pixels
    assert pixels[4, 4].tolist() == [255, 255, 255]
    assert np.abs(pixels[4, 90].astype(int) - GREEN).max() <= 3


def test_colour_key_of_an_rgb_png_is_white() -> None:
    pixels = read_photo(encoded(quadrants(), "PNG", transparency=RED)).pixels
    assert pixels[4, 4].tolist() == [255, 255, 255]
    assert pixels[4, 90].tolist() == list(GREEN)


def test_grey_photos_become_three_equal_channels() -> None:
    grey = Image.linear_gradient("L")
    for data in (
        encoded(grey, "JPEG", quality=100),
        encoded(grey, "PNG"),
        encoded(grey, "WEBP", lossless=True),
    ):
        pixels = read_photo(data).pixels
        assert np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 1], pixels[..., 2])
        assert np.abs(pixels[:, 0, 0].astype(int) - np.arange(256)).max() <= 2


def test_grey_with_alpha_lies_over_white() -> None:
    image = Image.new("LA", (8, 8), (40, 255))
    image.paste((40, 0), (0, 0, 4, 8))
    pixels = read_photo(encoded(image, "PNG")).pixels
    assert pixels[0, 0].tolist() == [255] * 3 and pixels[0, 7].tolist() == [40] * 3


def test_one_bit_png_is_black_and_white() -> None:
    image = Image.new("1", (16, 4))
    image.paste(1, (8, 0, 16, 4))
    pixels = read_photo(encoded(image, "PNG")).pixels
    assert pixels[0, 0].tolist() == [0] * 3 and pixels[0, 15].tolist() == [255] * 3


def swapped_profile() -> bytes:
    """An sRGB profile whose red and green primaries are exchanged: using it cannot go unseen."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"?XYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"?XYZ", b"gXYZ", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_embedded_profile_is_converted_to_srgb(kind: str) -> None:
    options = {"lossless": True} if kind == "webp" else {"quality": 95}
    photo = read_photo(encoded(quadrants(), KINDS[kind], icc_profile=swapped_profile(), **options))
    red, green, _ = photo.pixels[4, 4].tolist()
    assert green > 200 and red < 60


def test_srgb_profile_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, tagged = (read_photo(encoded(textured(64, 64), "PNG", **o)).pixels for o in ({}, {"icc_profile": srgb}))
    assert np.abs(plain.astype(int) - tagged).max() <= 1


@pytest.mark.parametrize("profile", [b"not a profile", swapped_profile()[:200]])
def test_broken_profile_is_ignored(profile: bytes) -> None:
    assert_upright(read_photo(encoded(quadrants(), "PNG", icc_profile=profile)), tolerance=0)


def test_profile_of_another_mode_is_ignored() -> None:
    data = encoded(Image.new("L", (8, 8), 90), "PNG", icc_profile=swapped_profile())
    assert read_photo(data).pixels[0, 0].tolist() == [90] * 3


def test_first_frame_of_a_film_is_the_photo() -> None:
    first, second = quadrants(), Image.new("RGB", (96, 64), (5, 5, 5))
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        assert_upright(read_photo(encoded(first, kind, save_all=True, append_images=[second], **options)))


def test_first_picture_of_a_phone_s_multi_picture_jpeg_is_the_photo() -> None:
    data = encoded(quadrants(), "MPO", save_all=True, append_images=[Image.new("RGB", (96, 64))], quality=95)
    assert b"MPF\x00" in data
    assert_upright(read_photo(data))


def test_primary_picture_of_a_heic_is_the_photo() -> None:
    assert_upright(read_photo(heic("three_pictures")))


@pytest.mark.parametrize("kind", KINDS)
def test_large_photos_are_reduced_and_keep_their_source_size(kind: str) -> None:
    photo = read_photo(encoded(quadrants(2400, 1800), KINDS[kind], quality=80))
    assert photo.pixels.shape == (900, 1200, 3)
    assert (photo.source_width, photo.source_height) == (2400, 1800)
    assert_upright(photo)


def test_reduced_photo_is_turned_too() -> None:
    photo = read_photo(with_orientation(quadrants(2400, 1800).transpose(Image.Transpose.ROTATE_90), "JPEG", 6))
    assert photo.pixels.shape == (900, 1200, 3)
    assert (photo.source_width, photo.source_height) == (2400, 1800)
    assert_upright(photo)


@pytest.mark.parametrize("size", [(6000, 620), (620, 6000), (4032, 3024), (1919, 1919), (959, 200), (1, 1)])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_reduction_leaves_enough_for_the_network(kind: str, size: tuple[int, int]) -> None:
    photo = read_photo(encoded(Image.new("RGB", size), KINDS[kind]), with_advice=False)
    height, width = photo.pixels.shape[:2]
    assert (photo.source_width, photo.source_height) == size
    assert min(width, height) >= min(INPUT_SIZE, *size)
    assert max(width, height) >= min(960, *[max(size)])
    assert max(width, height) < 2 * 960 or min(width, height) < 2 * INPUT_SIZE


def test_decode_edge_is_obeyed() -> None:
    data = encoded(quadrants(2400, 1800), "JPEG")
    assert read_photo(data, PhotoLimits(decode_edge=2400)).pixels.shape == (1800, 2400, 3)
    assert read_photo(data, PhotoLimits(decode_edge=600)).pixels.shape == (450, 600, 3)


def test_reduced_jpeg_looks_like_the_full_one() -> None:
    data = encoded(textured(2400, 1800), "JPEG", quality=95)
    small = read_photo(data).pixels.astype(int)
    full = np.asarray(open_upright(data).reduce(2)).astype(int)
    assert np.abs(small - full).mean() < 4


def test_full_size_image_carries_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera of one shopper"
    exif.get_ifd(0x8825)[2] = (37.0, 33.0, 59.0)
    data = encoded(
        quadrants().transpose(Image.Transpose.ROTATE_90),
        "JPEG",
        exif=exif.tobytes(),
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        comment=b"secret remark",
        quality=95,
    )
    image = open_upright(data)
    assert (type(image), image.mode, image.size, image.info) == (Image.Image, "RGB", (96, 64), {})
    for kind in ("JPEG", "WEBP", "PNG"):
        again = encoded(image, kind)
        assert b"Camera" not in again and b"secret" not in again
        assert not Image.open(BytesIO(again)).getexif()


def test_full_size_image_is_not_reduced() -> None:
    assert open_upright(encoded(quadrants(2400, 1800), "JPEG")).size == (2400, 1800)
    assert open_upright(heic("orientation_6")).size == (96, 64)


def test_threads_agree_with_one() -> None:
    files = list(sample_files().values())
    expected = [read_photo(data).pixels for data in files]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(read_photo, files * 8))
    for index, photo in enumerate(got):
        assert np.array_equal(photo.pixels, expected[index % len(files)])


def test_pillow_s_own_settings_are_left_alone() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, set(Image.OPEN))
    for data in sample_files().values():
        read_photo(data)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, set(Image.OPEN)) == before
    assert before[1] is False and "HEIF" not in before[2]


def test_intake_loads_nothing_heavy_and_heic_only_on_demand() -> None:
    code = (
        "import sys, models.photo; "
        "print(sorted({'tensorflow','keras','albumentations','flask','pi_heif'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_twelve_megapixel_jpeg_is_decoded_faster_when_reduced() -> None:
    data = encoded(textured(1008, 756).resize((4032, 3024)), "JPEG", quality=85)
    full = PhotoLimits(decode_edge=4032)

    def seconds(limits: PhotoLimits) -> float:
        start = time.thread_time()
        read_photo(data, limits, with_advice=False)
        return time.thread_time() - start

    reduced, whole = (min(seconds(limits) for _ in range(3)) for limits in (PhotoLimits(), full))
    assert reduced < whole / 1.5, "about a quarter when the decoder is told the size first"
