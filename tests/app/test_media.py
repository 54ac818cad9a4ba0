"""The media store: content addressing, metadata, thumbnails, whole files."""

from __future__ import annotations

import hashlib
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from app.errors import MediaNotFound
from app.store.media import MediaStore, new_token, public_path
from app.store.metadata import strip_metadata
from models.errors import PhotoDamaged, PhotoFormatUnsupported, UsageError
from models.photo import open_upright

SECRET = b"Secret-Street-42"
HEIC = Path(__file__).parents[1] / "models" / "data" / "orientation_6.heic"
SWAPPED = {5, 6, 7, 8}


def gradient(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1).astype(np.uint8))


def exif(orientation: int | None) -> Image.Exif:
    block = Image.Exif()
    block[0x010E] = SECRET.decode()
    if orientation is not None:
        block[0x0112] = orientation
    gps = block.get_ifd(0x8825)
    gps[1], gps[2] = "N", (37.0, 33.0, 59.0)
    return block


def encoded(kind: str, orientation: int | None, size: tuple[int, int] = (60, 40)) -> bytes:
    out = BytesIO()
    image = gradient(*size)
    options: dict[str, object] = {"exif": exif(orientation)}
    if kind == "JPEG":
        options |= {"comment": SECRET, "progressive": True, "xmp": b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"}
    elif kind == "WEBP":
        options |= {"lossless": True, "xmp": b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"}
    else:
        info = PngInfo()
        info.add_text("Author", SECRET.decode())
        info.add_itxt("XML:com.adobe.xmp", SECRET.decode())
        options |= {"pnginfo": info}
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_the_stored_original_shows_the_same_pixels_and_no_metadata(
    store: MediaStore, kind: str, orientation: int | None
) -> None:
    data = encoded(kind, orientation)
    assert SECRET in data
    stored = store.put(data)
    kept = store.open(stored.content_hash)
    assert SECRET not in kept
    assert np.array_equal(np.asarray(open_upright(kept)), np.asarray(open_upright(data)))
    opened = Image.open(BytesIO(kept))
    assert set(opened.getexif()) <= {0x0112}
    assert not opened.getexif().get_ifd(0x8825)
    assert (stored.width, stored.height) == ((40, 60) if orientation in SWAPPED else (60, 40))


def test_a_stored_original_is_its_own_stripped_form() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        once = strip_metadata(encoded(kind, 6), kind.lower())
        assert strip_metadata(once, kind.lower()) == once


def test_jpeg_keeps_profile_and_adobe_marker_and_loses_what_follows_its_end(store: MediaStore) -> None:
    out = BytesIO()
    profile = b"\x00" * 36 + b"acsp" + b"\x00" * 100
    gradient(32, 32).convert("CMYK").save(out, "JPEG", icc_profile=profile, exif=exif(3))
    data = out.getvalue() + b"\xff\xd8\xff\xe1" + SECRET
    kept = store.open(store.put(data).content_hash)
    assert SECRET not in kept
    opened = Image.open(BytesIO(kept))
    assert opened.info["icc_profile"] == profile
    assert opened.info["adobe_transform"] == Image.open(BytesIO(data)).info["adobe_transform"]
    assert np.array_equal(np.asarray(open_upright(kept)), np.asarray(open_upright(data)))


def test_a_jfif_thumbnail_is_cut_out() -> None:
    out = BytesIO()
    gradient(32, 32).save(out, "JPEG")
    plain = out.getvalue()
    assert plain[2:4] == b"\xff\xe0"
    thumbnail = b"\x01\x01" + SECRET[:3]
    body = plain[6:18] + thumbnail
    data = plain[:4] + struct.pack(">H", len(body) + 2) + body + plain[20:]
    assert Image.open(BytesIO(data)).size == (32, 32)
    assert strip_metadata(data, "jpeg") == plain


def test_an_animated_png_keeps_its_first_frame(store: MediaStore) -> None:
    out = BytesIO()
    first, second = gradient(24, 24), ImageOps.invert(gradient(24, 24))
    first.save(out, "PNG", save_all=True, append_images=[second])
    kept = store.open(store.put(out.getvalue()).content_hash)
    assert getattr(Image.open(BytesIO(kept)), "n_frames", 1) == 1
    assert np.array_equal(np.asarray(open_upright(kept)), np.asarray(first))


def test_heic_is_kept_without_loss_and_upright(store: MediaStore) -> None:
    data = HEIC.read_bytes()
    stored = store.put(data)
    kept = store.open(stored.content_hash)
    assert stored.format == "heic"
    assert kept[8:12] == b"WEBP"
    assert np.array_equal(np.asarray(open_upright(kept)), np.asarray(open_upright(data)))


def test_named_by_the_bytes_that_came(store: MediaStore) -> None:
    data = encoded("JPEG", 6)
    stored = store.put(data)
    assert stored.content_hash == hashlib.sha256(data).hexdigest()
    assert (stored.format, stored.size_bytes) == ("jpeg", len(data))


def test_thumbnails_fit_are_upright_and_never_enlarged(store: MediaStore) -> None:
    large = store.put(encoded("JPEG", 6, (1200, 900))).content_hash
    small = store.put(encoded("JPEG", 1, (100, 50))).content_hash
    sizes = {
        (name, edge): Image.open(BytesIO(store.open(name, edge))).size
        for name in (large, small)
        for edge in ("200", "800")
    }
    assert sizes == {
        (large, "800"): (600, 800),
        (large, "200"): (150, 200),
        (small, "800"): (100, 50),
        (small, "200"): (100, 50),
    }
    thumbnail = Image.open(BytesIO(store.open(large, "800")))
    assert thumbnail.format == "WEBP"
    assert not thumbnail.getexif()
    upright = open_upright(store.open(large)).resize((600, 800))
    assert np.abs(np.asarray(thumbnail.convert("RGB"), int) - np.asarray(upright, int)).mean() < 6


def test_putting_twice_changes_nothing(store: MediaStore, tmp_path: Path) -> None:
    data = encoded("PNG", None)
    first = store.put(data)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*.*")}
    assert store.put(data) == first
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*.*")} == before


def test_many_threads_may_put_the_same_photo(store: MediaStore, tmp_path: Path) -> None:
    data = encoded("JPEG", 1, (300, 200))
    with ThreadPoolExecutor(8) as pool:
        results = set(pool.map(lambda _: store.put(data), range(24)))
    assert len(results) == 1
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert names == ["200.webp", "800.webp", "original"]


def test_a_refused_photo_leaves_nothing(store: MediaStore, tmp_path: Path) -> None:
    with pytest.raises(PhotoFormatUnsupported):
        store.put(b"GIF89a not for us")
    with pytest.raises(PhotoDamaged):
        store.put(encoded("JPEG", 1, (300, 200))[:2000])
    assert not list(tmp_path.rglob("*"))


def test_delete_removes_everything_and_may_be_repeated(store: MediaStore, tmp_path: Path) -> None:
    name = store.put(encoded("JPEG", 1)).content_hash
    assert store.exists(name)
    store.delete(name)
    store.delete(name)
    assert not store.exists(name)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    with pytest.raises(MediaNotFound):
        store.open(name)


@pytest.mark.parametrize("name", ["", "abc", "../" * 21 + "x", "A" * 64, "g" * 64, "0" * 63 + "/"])
def test_only_hashes_name_photos(store: MediaStore, name: str) -> None:
    with pytest.raises(UsageError):
        store.open(name)
    with pytest.raises(UsageError):
        store.delete(name)


def test_other_renditions_are_refused(store: MediaStore) -> None:
    with pytest.raises(UsageError, match="original, 200, 800"):
        store.open("0" * 64, "400")  # type: ignore[arg-type]


def test_a_store_by_url_that_is_no_folder() -> None:
    store = MediaStore("memory://pickture-test-media")
    name = store.put(encoded("JPEG", 8)).content_hash
    assert store.exists(name)
    assert Image.open(BytesIO(store.open(name, "200"))).size == (40, 60)
    store.delete(name)
    assert not store.exists(name)


def test_public_paths_are_unguessable_and_checked() -> None:
    tokens = {new_token() for _ in range(50)}
    assert len(tokens) == 50
    for token in tokens:
        assert re.fullmatch(r"/media/[A-Za-z0-9_-]{24}/200\.webp", public_path(token, "200"))
    with pytest.raises(UsageError):
        public_path("../../etc/passwd/aaaaaaa", "800")


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_a_structure_that_ends_early_is_damage(kind: str) -> None:
    data = encoded(kind.upper(), 6)
    with pytest.raises(PhotoDamaged):
        strip_metadata(data[:60], kind)
