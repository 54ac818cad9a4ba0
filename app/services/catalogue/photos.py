"""The ``images/`` folder: which photos belong to which sku, their hashes, and decoding them in parallel."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from app.services.catalogue.errors import CatalogueError
from app.services.catalogue.rows import ProductRow, RowProblem, shown
from app.store.media import MediaStore, PreparedImage, StoredImage, content_hash, prepare_image
from models.attributes import ColourReading, measure_colour
from models.errors import PhotoError, PhotoTooLarge
from models.photo import PhotoLimits

IMAGES_FOLDER = "images"
_IGNORED = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
_DIGITS = re.compile(r"(\d+)")

PhotoProgress = bool | Callable[[str, int, int], None]
"""Bars on stderr, or not; or who is told (what is done, photos done, photos in all)."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A file in a product's folder. ``content_hash`` is None where ``refusal`` says why it cannot be read."""

    sku: str
    path: Path
    content_hash: str | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class PhotoFolders:
    """files: sku -> its files in order; a sku without a folder is not in it (an empty folder is)."""

    files: Mapping[str, tuple[PhotoFile, ...]]
    warnings: tuple[RowProblem, ...]


@dataclass(frozen=True, slots=True)
class DecodedPhoto:
    """A photo that was decoded: what is known of it and its colour, or why it was refused."""

    file: PhotoFile
    stored: StoredImage | None = None
    colour: ColourReading | None = None
    is_new: bool = False
    refusal: str | None = None


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sorts ``2.jpg`` before ``10.jpg``, whatever the case."""
    parts = _DIGITS.split(unicodedata.normalize("NFC", name).casefold())
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def find_photos(directory: Path, rows: Sequence[ProductRow], refused: frozenset[str]) -> PhotoFolders:
    """Every visible file in ``images/<sku>/``, in natural order of the names.

    Folder names are compared in NFC, as some systems write Korean names decomposed. Hidden files and
    those that systems leave behind are passed over; anything else that is out of place is a warning.
    refused: skus of bad rows; their folders are left alone silently.
    """
    root = directory / IMAGES_FOLDER
    listed = {row.sku for row in rows}
    files: dict[str, list[PhotoFile]] = {}
    warnings: list[RowProblem] = []
    for entry in _entries(root) if root.is_dir() else ():
        sku = unicodedata.normalize("NFC", entry.name)
        shown_path = shown(f"{IMAGES_FOLDER}/{sku}")
        if not entry.is_dir():
            reason = "lies outside the folders of the products; put it into images/<sku>/"
            warnings.append(RowProblem(None, None, "images", shown_path, reason))
        elif sku in listed:
            inside = files.setdefault(sku, [])
            for item in _entries(entry):
                if item.is_file():
                    inside.append(PhotoFile(sku, item))
                else:
                    reason = "is not a file; photos lie directly in the folder of their product"
                    warnings.append(RowProblem(None, sku, "images", shown(f"{shown_path}/{item.name}"), reason))
        elif sku not in refused:
            reason = "belongs to no listed sku; its photos are not imported"
            warnings.append(RowProblem(None, None, "images", shown_path, reason))
    return PhotoFolders({sku: tuple(inside) for sku, inside in files.items()}, tuple(warnings))


def _entries(folder: Path) -> list[Path]:
    visible = (
        path for path in folder.iterdir() if not path.name.startswith(".") and path.name.casefold() not in _IGNORED
    )
    return sorted(visible, key=lambda path: (natural_order(path.name), path.name))


def hash_photos(files: Sequence[PhotoFile], limits: PhotoLimits, progress: PhotoProgress) -> list[PhotoFile]:
    """The same files with their content hash, or with the reason why they cannot be read."""

    def hashed(file: PhotoFile) -> PhotoFile:
        data, refusal = _read(file.path, limits)
        if data is None:
            return PhotoFile(file.sku, file.path, None, refusal)
        return PhotoFile(file.sku, file.path, content_hash(data))

    return list(_in_threads(hashed, files, progress, "reading photos"))


def _read(path: Path, limits: PhotoLimits) -> tuple[bytes | None, str | None]:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > limits.max_bytes:
            return None, f"has {size_bytes:,} bytes; at most {limits.max_bytes:,} are accepted"
        return path.read_bytes(), None
    except OSError as error:
        return None, f"cannot be read: {error.strerror or error}"


def decode_photos(
    files: Sequence[PhotoFile], media: MediaStore, *, write: bool, progress: PhotoProgress
) -> list[DecodedPhoto]:
    """Decode in as many threads as there are processors, measure the colour, store if ``write``.

    Pillow and the hash release the interpreter lock, so threads use all processors. At most a few
    photos a thread are in memory at once. The result keeps the order of ``files``.
    """

    def decoded(file: PhotoFile) -> DecodedPhoto:
        data, refusal = _read(file.path, media.limits)
        if data is None:
            return DecodedPhoto(file, refusal=refusal)
        try:
            prepared = prepare_image(data, media.limits)
        except PhotoError as error:
            return DecodedPhoto(file, refusal=_refusal(error))
        if prepared.stored.content_hash != file.content_hash:
            return DecodedPhoto(file, refusal="changed while it was being imported; import again")
        is_new = media.write(prepared) if write else False
        return DecodedPhoto(file, prepared.stored, _colour(prepared), is_new)

    return list(_in_threads(decoded, files, progress, "decoding photos"))


def store_photo(file: PhotoFile, media: MediaStore) -> None:
    """Store a photo that was decoded before.

    :raise PhotoError, OSError: its file cannot be read any more. :raise CatalogueError: it has changed.
    """
    prepared = prepare_image(file.path.read_bytes(), media.limits)
    if prepared.stored.content_hash != file.content_hash:
        raise CatalogueError(f"{file.path} changed while it was being imported; import again")
    media.write(prepared)


def _refusal(error: PhotoError) -> str:
    kind = "is too large" if isinstance(error, PhotoTooLarge) else "cannot be used"
    return f"{kind} [{error.code}]: {error}"


def _colour(prepared: PreparedImage) -> ColourReading:
    return measure_colour(np.asarray(prepared.preview, dtype=np.uint8))


def _in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], progress: PhotoProgress, title: str
) -> Iterator[Result]:
    """``map`` over threads in order; an interrupt drops what has not begun."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 4, thread_name_prefix="photos") as pool:
        try:
            results: Iterable[Result] = pool.map(work, items)
            if callable(progress):
                for done, result in enumerate(results, start=1):
                    progress(title, done, len(items))
                    yield result
                return
            yield from tqdm(
                results,
                total=len(items),
                desc=title,
                unit="photo",
                disable=not (progress and items),
                leave=False,
            )
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
