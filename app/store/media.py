"""Photos, stored by content: one place for each distinct file, whoever refers to it.

Under the store's root, for the SHA-256 ``abcd...`` of the bytes that *came*::

    ab/abcd.../original     the photo without metadata, its pixels untouched (HEIC: as lossless WebP)
    ab/abcd.../800.webp     long edge at most 800 pixels, upright, sRGB; smaller photos are not enlarged
    ab/abcd.../200.webp     the same at 200

The name is the hash of the bytes that came, not of those stored: an import recognises a file it has had,
and an evaluation recognises a photo that was trained on, although the stored copy lost its metadata.
The original is written last, so a photo that is there is there whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import fsspec
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

from app.errors import MediaNotFound
from app.store.metadata import strip_metadata
from models.errors import PhotoTooLarge, UsageError
from models.photo import DEFAULT_LIMITS, PhotoLimits
from models.photo.formats import sniff_format
from models.photo.pool import Decodes, DecodesHere

Rendition = Literal["original", "200", "800"]
THUMBNAIL_EDGES: tuple[int, ...] = (800, 200)
"""Long edges of the thumbnails, pixels, larger first (the smaller is made from the larger)."""

WEBP_MAX_EDGE = 16_383
"""Largest edge a WebP can have (RFC 9649, 2.7.1)."""

_THUMBNAIL_QUALITY = 82
_TORN_AFTER_S = 3600.0
"""Age of a file under a temporary name at which nobody writes it any more."""

_HASH = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What is known of a stored photo.

    content_hash: SHA-256 of the bytes that came, 64 hex digits.
    format: ``jpeg``, ``png``, ``webp`` or ``heic``, as it came.
    width, height: pixels of the upright photo at full size.
    size_bytes: bytes that came.
    """

    content_hash: str
    format: str
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImage:
    """A photo decoded and ready to be written; ``files`` is name -> bytes, the original last.

    preview: RGB, upright, sRGB, at most 800 pixels at the long edge.
    """

    stored: StoredImage
    files: tuple[tuple[str, bytes], ...]
    preview: Image.Image


def content_hash(data: bytes) -> str:
    """The name of these bytes in every store: SHA-256, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def new_token() -> str:
    """The unguessable part of a photo's public address: 144 random bits."""
    return secrets.token_urlsafe(18)


def public_path(token: str, rendition: Literal["200", "800"]) -> str:
    """Path of a thumbnail's public, immutable URL: ``/media/<token>/<rendition>.webp``."""
    if not _TOKEN.fullmatch(token):
        raise UsageError(f"token is {token!r}; expected 16 to 64 letters, digits, '-' or '_'.")
    return f"/media/{token}/{rendition}.webp"


def prepare_image(data: bytes, limits: PhotoLimits = DEFAULT_LIMITS, decoder: Decodes | None = None) -> PreparedImage:
    """Decode a photo once and make everything the store keeps of it; writes nothing.

    decoder: in this process by default.
    :raise PhotoError: it cannot be used (see ``models.photo``); a HEIC also for an edge above 16,383 pixels.
    """
    upright = (decoder or DecodesHere()).open_upright(data, limits)
    kind = sniff_format(data)
    original = _lossless_webp(upright) if kind == "heic" else strip_metadata(data, kind)
    files: list[tuple[str, bytes]] = []
    smaller = preview = upright
    for edge in THUMBNAIL_EDGES:
        smaller = _fit(smaller, edge)
        if edge == max(THUMBNAIL_EDGES):
            preview = smaller
        files.append((f"{edge}.webp", _webp(smaller)))
    files.append(("original", original))
    stored = StoredImage(content_hash(data), kind, upright.width, upright.height, len(data))
    return PreparedImage(stored, tuple(files), preview)


class MediaStore:
    """A folder or bucket of photos; any number of threads and processes may use it at once.

    url: any fsspec URL or a path. limits: what ``put`` accepts. decoder: what decodes for it, by default this process.
    Construction touches nothing.
    """

    def __init__(self, url: str | Path, limits: PhotoLimits = DEFAULT_LIMITS, decoder: Decodes | None = None) -> None:
        self.url = str(url)
        self.limits = limits
        self.decoder: Decodes = decoder or DecodesHere()
        self._fs, self._root = fsspec.core.url_to_fs(self.url)

    def put(self, data: bytes) -> StoredImage:
        """Store a photo and its thumbnails; storing the same bytes again changes nothing.

        :raise PhotoError: the photo cannot be used; nothing was written.
        """
        prepared = prepare_image(data, self.limits, self.decoder)
        self.write(prepared)
        return prepared.stored

    def write(self, prepared: PreparedImage) -> bool:
        """Write what ``prepare_image`` made. Returns whether it was new; an old one is left as it is."""
        if self.exists(prepared.stored.content_hash):
            return False
        folder = self._folder(prepared.stored.content_hash)
        self._fs.makedirs(folder, exist_ok=True)
        for name, data in prepared.files:
            self._write_whole(f"{folder}/{name}", data)
        return True

    def exists(self, content_hash: str) -> bool:
        """Whether this photo is there, thumbnails included."""
        return bool(self._fs.exists(f"{self._folder(content_hash)}/original"))

    def open(self, content_hash: str, rendition: Rendition = "original") -> bytes:
        """The bytes of one rendition.

        ``original`` is in the format that came, without metadata (a HEIC as WebP); ``models.photo`` reads it.

        :raise MediaNotFound: no such photo. :raise UsageError: another rendition, or not a hash.
        """
        names = {"original": "original", "200": "200.webp", "800": "800.webp"}
        if rendition not in names:
            raise UsageError(f"rendition is {rendition!r}; expected {', '.join(names)}.")
        try:
            data = self._fs.cat_file(f"{self._folder(content_hash)}/{names[rendition]}")
        except FileNotFoundError:
            raise MediaNotFound(f"the image store has no photo {content_hash} ({rendition}).") from None
        return bytes(data)

    def delete(self, content_hash: str) -> None:
        """Remove a photo and its thumbnails; one that is not there is no error."""
        folder = self._folder(content_hash)
        # The original first: a half-deleted photo must not look whole.
        for name in ("original", *(f"{edge}.webp" for edge in THUMBNAIL_EDGES)):
            path = f"{folder}/{name}"
            if self._fs.exists(path):
                self._fs.rm_file(path)
        if isinstance(self._fs, LocalFileSystem) and Path(folder).is_dir():
            _remove_torn(Path(folder))
            if not any(Path(folder).iterdir()):
                Path(folder).rmdir()

    def _folder(self, content_hash: str) -> str:
        if not _HASH.fullmatch(content_hash):
            raise UsageError(f"content_hash is {content_hash!r}; expected 64 lower-case hex digits (SHA-256).")
        return f"{self._root.rstrip('/')}/{content_hash[:2]}/{content_hash}"

    def _write_whole(self, path: str, data: bytes) -> None:
        """All or nothing: object stores publish at the end of an upload; a folder needs a rename."""
        if not isinstance(self._fs, LocalFileSystem):
            self._fs.pipe_file(path, data)
            return
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _remove_torn(folder: Path) -> None:
    """Remove what writers left who were killed in the middle; one who is at work is not as slow as that."""
    for path in folder.glob(".*"):
        with suppress(FileNotFoundError):  # its writer is at work
            if time.time() - path.stat().st_mtime > _TORN_AFTER_S:
                path.unlink()


def _fit(image: Image.Image, edge: int) -> Image.Image:
    """Reduced to ``edge`` at the long side; never enlarged."""
    if max(image.size) <= edge:
        return image
    scale = edge / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _webp(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "WEBP", quality=_THUMBNAIL_QUALITY, method=2)
    return out.getvalue()


def _lossless_webp(image: Image.Image) -> bytes:
    if max(image.size) > WEBP_MAX_EDGE:
        raise PhotoTooLarge(
            f"The HEIC photo is {image.width} x {image.height} pixels; at most {WEBP_MAX_EDGE:,} an edge "
            "can be kept. "
            "Send it as JPEG or at a smaller size."
        )
    out = BytesIO()
    image.save(out, "WEBP", lossless=True, quality=0, method=0)
    return out.getvalue()
