"""Backup of everything a shop cannot make again: the database, and the folders that its rows speak of.

In the folder of a backup::

    database.dump                              the database, consistent as of one moment (``app.store.backup``)
    media/ bundles/ backbones/ weights/ splits/    files of the state folder, as they are there
    text/ shared/                              likewise
    manifest.json                              every file with its size and SHA-256; written last

The database is dumped first: files are only added, so what its rows name is there when the folders are copied. A second
backup into the same folder copies what is new and removes what is gone, a photo that a shopper has taken back too.
Without its manifest a folder is no backup: it was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from sqlalchemy import Engine

from app.store import backup as dump
from models.errors import UsageError

FOLDERS = ("media", "bundles", "backbones", "weights", "splits", "text", "shared")
DUMP, MANIFEST = "database.dump", "manifest.json"
FORMAT = 1

_PASSING = (".part", ".lock", ".tmp")
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A file of a backup. mtime_ns: of its original; tells whether it has to be read again."""

    size_bytes: int
    sha256: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class BackupReport:
    """files, size_bytes: in the backup. copied, removed: files, by this run. media: False where it is not in it."""

    files: int
    size_bytes: int
    copied: int
    removed: int
    media: bool


def create_backup(engine: Engine, home: Path, target: Path, *, media: bool) -> BackupReport:
    """Write a backup of the shop into ``target``, a new or empty folder or one that holds an earlier backup.

    media: whether the image store is the state folder's ``media/``; otherwise it is not in the backup.

    :raise UsageError: the folder holds something else, or lies in what is to be copied.
    :raise DatabaseError: the dump failed; the earlier backup's manifest is gone then, its files are not.
    """
    folders = [name for name in FOLDERS if media or name != "media"]
    _require_usable(home, target)
    known = _read_manifest(target) if (target / MANIFEST).is_file() else {}
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o700)
    (target / MANIFEST).unlink(missing_ok=True)
    dump.backup(engine, target / DUMP)
    stat = (target / DUMP).stat()
    files = {DUMP: BackedUp(stat.st_size, _sha256(target / DUMP), stat.st_mtime_ns)}
    copied = 0
    for name in folders:
        for path in _files(home / name):
            place = path.relative_to(home).as_posix()
            found = _copied(path, target / place, known.get(place))
            if found is None:
                continue  # taken away since it was listed
            files[place] = found
            copied += found != known.get(place)
    removed = _remove_others(target, set(files))
    _write_manifest(target, files, media)
    return BackupReport(len(files), sum(file.size_bytes for file in files.values()), copied, removed, media)


def verify_backup(source: Path) -> Mapping[str, BackedUp]:
    """Read every file of a backup and compare it with the manifest; returns what the manifest lists.

    :raise UsageError: no whole backup, or a file of it is missing, changed or not named by a plain path.
    """
    files = _read_manifest(source)
    for place, file in files.items():
        path = source / place
        if not path.is_file() or path.stat().st_size != file.size_bytes or _sha256(path) != file.sha256:
            raise UsageError(f"{path} is missing or not as it was backed up; take another backup")
    return files


def restore_backup(engine: Engine, home: Path, source: Path) -> BackupReport:
    """Fill an empty state folder and an empty database from a backup that is whole.

    The files first, the database last and in one transaction: what was interrupted can be done again.

    :raise UsageError: the backup is not whole, the database has tables, or the state folder holds other files.
    :raise DatabaseError: the restore failed; the database stays empty.
    """
    files = verify_backup(source)
    strangers = [
        path for name in FOLDERS for path in _files(home / name) if path.relative_to(home).as_posix() not in files
    ]
    if strangers:
        raise UsageError(f"{home} is not empty ({strangers[0]} is not in the backup); restore into a new PICKTURE_HOME")
    copied = 0
    for place in files:
        if place != DUMP:
            _copy(source / place, home / place)
            copied += 1
    dump.restore(engine, source / DUMP)
    size = sum(file.size_bytes for file in files.values())
    return BackupReport(len(files), size, copied, 0, any(place.startswith("media/") for place in files))


def _require_usable(home: Path, target: Path) -> None:
    resolved = target.resolve()
    for name in FOLDERS:
        if resolved.is_relative_to((home / name).resolve()):
            raise UsageError(f"{target} lies in {name}/, which is to be copied; choose another folder")
    if target.is_dir():
        others = {path.name for path in target.iterdir()} - {*FOLDERS, DUMP, MANIFEST}
        others = {name for name in others if not name.endswith(_PASSING)}
        if others:
            raise UsageError(
                f"{target} holds {sorted(others)[0]}, which is no part of a backup; choose an empty folder"
            )


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder but those that are being written. The uppermost come first: the one that names the text
    model in use is then copied before that model, and not after it.
    """
    found = folder.rglob("*") if folder.is_dir() else ()
    for path in sorted(found, key=lambda path: (len(path.parts), path)):
        if path.is_file() and not path.name.endswith(_PASSING) and not any(p.startswith(".") for p in path.parts[-2:]):
            yield path


def _copied(path: Path, copy: Path, known: BackedUp | None) -> BackedUp | None:
    """The file's entry, after copying it unless the backup has it; None where it is gone."""
    try:
        stat = path.stat()
        unchanged = known is not None and (known.size_bytes, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
        if unchanged and copy.is_file() and copy.stat().st_size == stat.st_size:
            return known
        _copy(path, copy)
    except FileNotFoundError:
        return None
    return BackedUp(copy.stat().st_size, _sha256(copy), stat.st_mtime_ns)


def _copy(path: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    partial = copy.with_name(f"{copy.name}.part")
    shutil.copyfile(path, partial)
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    partial.replace(copy)


def _remove_others(target: Path, kept: set[str]) -> int:
    """Remove what is no longer in the shop, and folders that are empty then."""
    removed = 0
    for name in FOLDERS:
        for path in sorted((target / name).rglob("*"), reverse=True) if (target / name).is_dir() else ():
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.relative_to(target).as_posix() not in kept:
                path.unlink()
                removed += 1
    return removed


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _write_manifest(target: Path, files: Mapping[str, BackedUp], media: bool) -> None:
    text = json.dumps(
        {
            "format": FORMAT,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "media": media,
            "files": {place: asdict(file) for place, file in sorted(files.items())},
        },
        indent=0,
    )
    partial = target / f"{MANIFEST}.part"
    with partial.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(target / MANIFEST)


def _read_manifest(source: Path) -> dict[str, BackedUp]:
    path = source / MANIFEST
    if not path.is_file():
        raise UsageError(f"{source} is no whole backup: it has no {MANIFEST}")
    try:
        found = json.loads(path.read_text("utf-8"))
        files = {str(place): BackedUp(**file) for place, file in found["files"].items()}
        known_format = found["format"] == FORMAT
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is unreadable ({error}); take another backup") from None
    if not known_format:
        raise UsageError(f"{path} is of a format this version does not know; restore with the version that made it")
    for place in files:
        parts = PurePosixPath(place).parts
        if place != DUMP and (len(parts) < 2 or parts[0] not in FOLDERS or ".." in parts):
            raise UsageError(f"{path} names {place!r}, which no backup of ours holds")
    return files
