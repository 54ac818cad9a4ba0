"""Zip archives of a catalogue folder, unpacked with suspicion.

Refused: paths that leave the folder (absolute, drive letters, ``..``, backslashes), links and special files,
encrypted entries, two entries for one path, more files or bytes than the limits, and bombs: sizes are counted
while unpacking, never believed.
"""

from __future__ import annotations

import re
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.services.catalogue.errors import ArchiveRefused
from app.services.catalogue.reading import TABLE_NAMES
from app.services.catalogue.rows import shown

_CHUNK_BYTES = 1 << 20
_DRIVE = re.compile(r"[A-Za-z]:")
_METHODS = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may cost.

    max_files: entries. max_total_bytes, max_file_bytes: unpacked. max_ratio: unpacked bytes a packed byte,
    of the whole archive; judged above ``ratio_from_bytes`` only, as small texts pack well.
    """

    max_files: int = 500_000
    max_total_bytes: int = 64 * 2**30
    max_file_bytes: int = 2 * 2**30
    max_ratio: float = 100.0
    ratio_from_bytes: int = 64 * 2**20


DEFAULT_ARCHIVE_LIMITS = ArchiveLimits()


@contextmanager
def opened_catalogue(path: Path, limits: ArchiveLimits = DEFAULT_ARCHIVE_LIMITS) -> Iterator[Path]:
    """The catalogue folder at ``path``: itself, or a zip archive unpacked for the time of the ``with``.

    In an archive the table may lie at the top or in its one top folder.

    :raise ArchiveRefused: the archive is unsafe, too large or damaged; nothing of it stays.
    """
    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pickture-import-") as temporary:
        target = Path(temporary)
        unpack(path, target, limits)
        yield catalogue_root(target)


def catalogue_root(target: Path) -> Path:
    """Where the table lies in an unpacked archive: at the top, or in its one top folder."""
    if any((target / name).is_file() for name in TABLE_NAMES):
        return target
    inside = [entry for entry in target.iterdir() if entry.is_dir()]
    return inside[0] if len(inside) == 1 else target


def unpack(archive: Path, target: Path, limits: ArchiveLimits = DEFAULT_ARCHIVE_LIMITS) -> None:
    """Unpack a zip file into the empty folder ``target``; every entry is checked before the first is written.

    :raise ArchiveRefused: see the module.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(opened.infolist(), limits)
            budget = _Budget(limits, archive.stat().st_size)
            for info, place in entries:
                _unpack_entry(opened, info, target.joinpath(*place.parts), budget)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise ArchiveRefused(f"{archive.name} is not a zip archive that can be read to its end: {error}") from error


def _checked(infos: list[zipfile.ZipInfo], limits: ArchiveLimits) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    if len(infos) > limits.max_files:
        raise ArchiveRefused(f"the archive has {len(infos):,} entries; at most {limits.max_files:,} are unpacked.")
    files: dict[str, PurePosixPath] = {}
    folders: set[str] = set()
    wanted = []
    for info in infos:
        place = _safe_place(info)
        if place is None or not _is_wanted(info):
            continue
        # Compared as a system that ignores case and composition would, so that none can overwrite another.
        folded = unicodedata.normalize("NFC", str(place)).casefold()
        if folded in files:
            raise ArchiveRefused(f"the archive holds {shown(info.filename)!r} twice; remove one.")
        files[folded] = place
        folders.update(str(parent) for parent in PurePosixPath(folded).parents)
        wanted.append((info, place))
    clash = next((name for name in files if name in folders), None)
    if clash is not None:
        raise ArchiveRefused(f"the archive holds {shown(clash)!r} as a file and as a folder.")
    return wanted


def _safe_place(info: zipfile.ZipInfo) -> PurePosixPath | None:
    """Where the entry belongs; None for the top folder itself and for what is passed over.

    :raise ArchiveRefused: its name leaves the folder or hides something.
    """
    # orig_filename: ``filename`` was already cut at a NUL and had the system's separators replaced.
    name = info.orig_filename
    if "\\" in name or name.startswith("/") or _DRIVE.match(name):
        raise ArchiveRefused(f"the archive holds the path {shown(name)!r}; only relative paths with '/' are unpacked.")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ArchiveRefused(f"the archive holds a path with control characters: {shown(name)!r}.")
    place = PurePosixPath(name)
    if ".." in place.parts:
        raise ArchiveRefused(f"the archive holds the path {shown(name)!r}, which leaves the folder.")
    if any(len(part.encode("utf-8", "replace")) > 255 for part in place.parts):
        raise ArchiveRefused(f"the archive holds a name of more than 255 bytes: {shown(name)!r}.")
    # What macOS adds to its archives is no part of the catalogue.
    return place if place.parts and place.parts[0] != "__MACOSX" else None


def _is_wanted(info: zipfile.ZipInfo) -> bool:
    """Whether to unpack: folders come by themselves.

    :raise ArchiveRefused: encrypted, a link, a device, or an uncommon compression.
    """
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveRefused(
            f"the archive holds a link or special file: {shown(info.filename)!r}; put the file itself in."
        )
    if info.is_dir():
        return False
    if info.flag_bits & 0x1:
        raise ArchiveRefused(f"{shown(info.filename)!r} is encrypted; make the archive without a password.")
    if info.compress_type not in _METHODS:
        raise ArchiveRefused(f"{shown(info.filename)!r} is packed by an uncommon method; use plain zip (deflate).")
    return True


class _Budget:
    """Counts unpacked bytes against the limits."""

    def __init__(self, limits: ArchiveLimits, packed_bytes: int) -> None:
        self._limits = limits
        self._packed_bytes = max(1, packed_bytes)
        self._total_bytes = 0

    def spend(self, amount: int, file_bytes: int, name: str) -> None:
        limits = self._limits
        self._total_bytes += amount
        if file_bytes > limits.max_file_bytes:
            raise ArchiveRefused(f"{shown(name)!r} unpacks to more than {limits.max_file_bytes:,} bytes.")
        if self._total_bytes > limits.max_total_bytes:
            raise ArchiveRefused(f"the archive unpacks to more than {limits.max_total_bytes:,} bytes.")
        ratio = self._total_bytes / self._packed_bytes
        if self._total_bytes > limits.ratio_from_bytes and ratio > limits.max_ratio:
            raise ArchiveRefused(
                f"the archive unpacks to more than {limits.max_ratio:g} times its size, as no photos do; "
                "it looks like a zip bomb."
            )


def _unpack_entry(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, budget: _Budget) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(info) as source, target.open("xb") as out:
        while chunk := source.read(_CHUNK_BYTES):
            written += len(chunk)
            budget.spend(len(chunk), written, info.filename)
            out.write(chunk)
