"""A catalogue that came over HTTP: kept under ``HOME/uploads/<job>`` until its import has ended, or for an hour after a
check (a dry run with ``keep_files``), so that what was checked can be imported without sending it again.

archive.zip                       a catalogue folder, or instead of it
products.csv | products.jsonl     the table, and, optionally,
images.zip                        its photos: images/<sku>/*, or <sku>/* right at the top
work/                             what the import unpacked; made anew by every attempt
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from app.errors import RequestInvalid, UploadGone
from app.services.catalogue.archives import ArchiveLimits, catalogue_root, unpack
from app.services.catalogue.errors import ArchiveRefused
from app.services.catalogue.reading import TABLE_NAMES

ARCHIVE, IMAGES = "archive.zip", "images.zip"
FORGOTTEN_AFTER_S = 3600.0
"""How old a folder without a job must be before it is taken for a leftover: an upload may still be under way, or
be kept to be imported once it has been checked."""

MOST_CHECKED: Final = 5
"""How many uploads may be kept at a time to be imported once they have been checked."""

_WORK = "work"
_SNIFFED_BYTES = 4096


def uploads_folder(home: Path) -> Path:
    """Where all uploads are."""
    return home / "uploads"


def upload_folder(home: Path, job_id: UUID) -> Path:
    """Where a job's upload is."""
    return uploads_folder(home) / str(job_id)


def place_archive(part: Path) -> None:
    """Give a spooled catalogue archive its name. :raise RequestInvalid: it is no zip archive."""
    _require_zip(part, "archive")
    part.rename(part.parent / ARCHIVE)


def place_images(part: Path) -> None:
    """Give a spooled archive of photos its name. :raise RequestInvalid: it is no zip archive."""
    _require_zip(part, "images")
    part.rename(part.parent / IMAGES)


def place_table(part: Path) -> None:
    """Give a spooled table its name by its content: JSON Lines begin with a brace, everything else is CSV."""
    with part.open("rb") as file:
        head = file.read(_SNIFFED_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    part.rename(part.parent / ("products.jsonl" if head.startswith(b"{") else "products.csv"))


PLACES: Mapping[str, Callable[[Path], None]] = {"archive": place_archive, "table": place_table, "images": place_images}
"""How the files of an upload get their names, by the field they came in."""


def _require_zip(part: Path, field: str) -> None:
    if not zipfile.is_zipfile(part):
        raise RequestInvalid.of(field, "not a zip archive, or one that was cut off")


def digests(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of what was uploaded, 64 hex digits."""
    found = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def unpacked_catalogue(folder: Path, limits: ArchiveLimits) -> Path:
    """The catalogue folder in an upload, unpacked anew.

    :raise ArchiveRefused: an archive is unsafe, too large or damaged, or the archive of photos holds a table.
    """
    work = folder / _WORK
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if (folder / ARCHIVE).is_file():
        unpack(folder / ARCHIVE, work, limits)
        return catalogue_root(work)
    if (folder / IMAGES).is_file():
        photos = work / "photos"
        photos.mkdir()
        unpack(folder / IMAGES, photos, limits)
        if any((photos / name).is_file() for name in TABLE_NAMES):
            raise ArchiveRefused(
                "the archive of photos holds a product table too; send the whole as `archive`, or take the table out."
            )
        ((photos / "images") if (photos / "images").is_dir() else photos).rename(work / "images")
    for name in TABLE_NAMES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, work / name)
    return work


def keep_upload(home: Path, job_id: UUID) -> None:
    """Keep the files of a job that has ended for ``FORGOTTEN_AFTER_S`` more, and nothing else of its upload."""
    folder = upload_folder(home, job_id)
    shutil.rmtree(folder / _WORK, ignore_errors=True)
    with suppress(FileNotFoundError):
        os.utime(folder)


def is_kept(home: Path, job_id: UUID) -> bool:
    """Whether the files of a job are still there."""
    folder = upload_folder(home, job_id)
    return folder.is_dir() and any(path.is_file() for path in folder.iterdir())


def uploaded(home: Path) -> list[UUID]:
    """The jobs that have an upload here, and what is being uploaded for jobs to be."""
    found = []
    if uploads_folder(home).is_dir():
        for path in uploads_folder(home).iterdir():
            with suppress(ValueError):
                found.append(UUID(path.name))
    return found


def size_bytes(home: Path, job_id: UUID) -> int:
    """What a job's upload takes, as it came; 0 where it has none (any more)."""
    with suppress(FileNotFoundError):
        return sum(path.stat().st_size for path in upload_folder(home, job_id).iterdir() if path.is_file())
    return 0


def take_kept(home: Path, job_id: UUID, names: Collection[str], folder: Path) -> None:
    """Have the kept files of a job in ``folder``, too: the same bytes, not a copy. names: of all of them.

    :raise UploadGone: they are not there any more, or not all of them; or there never were any.
    """
    kept = upload_folder(home, job_id)
    try:
        for name in names:
            os.link(kept / name, folder / name)
    except FileNotFoundError:
        names = ()
    if not names:
        raise UploadGone(f"the files of job {job_id} are not kept any more; upload them again", str(job_id))


def remove_upload(home: Path, job_id: UUID) -> None:
    """Forget a job's upload; nothing happens where it has none."""
    shutil.rmtree(upload_folder(home, job_id), ignore_errors=True)


def remove_forgotten(home: Path, active: Collection[UUID]) -> int:
    """Remove what no active job needs and nobody is uploading any more; returns how many uploads that were."""
    if not uploads_folder(home).is_dir():
        return 0
    wanted = {str(job_id) for job_id in active}
    old = time.time() - FORGOTTEN_AFTER_S
    forgotten = [
        path for path in uploads_folder(home).iterdir() if path.name not in wanted and path.stat().st_mtime < old
    ]
    for path in forgotten:
        shutil.rmtree(path, ignore_errors=True)
    return len(forgotten)
