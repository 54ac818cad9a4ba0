"""Which operating system account runs the embedded PostgreSQL, and how it reaches its folders.

PostgreSQL refuses to run as root. An ordinary user runs it as themselves; root runs it as the owner of an
existing data folder or as the unprivileged system account ``pickture``, made on first use. That account
must be able to *traverse* the folders above the data and the PostgreSQL programs. Where it cannot (``/root``
is 0700), it alone is given the right to, by an access control list entry; the folders are not opened to
anybody else and do not become listable.
"""

from __future__ import annotations

import errno
import logging
import os
import pwd
import stat
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.errors import DatabaseError

ACCOUNT = "pickture"

_log = logging.getLogger(__name__)

_ACL = "system.posix_acl_access"
_VERSION = 2
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_TRAVERSE = 1


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group the database server runs as."""

    uid: int
    gid: int


def choose_account(folder: Path) -> Account | None:
    """The account to run the server as, or None for the current one (not root).

    folder: the server's own folder; may not exist yet.

    :raise DatabaseError: the folder belongs to somebody else, or no account can be made.
    """
    try:
        owner = folder.stat() if folder.exists() else None
    except PermissionError:
        raise DatabaseError(
            f"{folder} is closed to uid {os.geteuid()}: run as its owner (or as root), or set PICKTURE_HOME to a "
            f"folder of your own"
        ) from None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise DatabaseError(
                f"{folder} belongs to uid {owner.st_uid}, this process runs as {os.geteuid()}: run as that "
                f"user (or as root), or set PICKTURE_HOME to a folder of your own"
            )
        return None
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    entry = _system_account()
    return Account(entry.pw_uid, entry.pw_gid)


def _system_account() -> pwd.struct_passwd:
    """The passwd entry of ``pickture``, made with the system's own tool when missing."""
    commands = (
        [
            "useradd",
            "--system",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/bin/false",
            ACCOUNT,
        ],
        ["adduser", "-S", "-D", "-H", "-s", "/bin/false", ACCOUNT],
    )
    failures = []
    for command in commands:
        try:
            return pwd.getpwnam(ACCOUNT)
        except KeyError:
            try:
                made = subprocess.run(command, capture_output=True, text=True, check=False)
                failures.append(f"{command[0]}: {made.stderr.strip()}")
            except FileNotFoundError:
                failures.append(f"{command[0]}: not installed")
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise DatabaseError(
            f"PostgreSQL does not run as root and the system account {ACCOUNT!r} could not be made "
            f"({'; '.join(failures)}): make it by hand, run as an ordinary user, or set PICKTURE_DATABASE_URL"
        ) from None


def open_way(paths: Iterable[Path], account: Account) -> None:
    """Let ``account`` traverse every folder above (and including) each of ``paths``; root only."""
    for folder in {parent for path in paths for parent in (path, *path.parents)}:
        mode = folder.stat()
        if mode.st_mode & stat.S_IXOTH or mode.st_uid == account.uid:
            continue
        _grant_traverse(folder, account.uid)


def _grant_traverse(folder: Path, uid: int) -> None:
    try:
        entries = _read_acl(folder)
        if entries.get((_USER, uid), 0) & _TRAVERSE and entries[(_MASK, _NO_ID)] & _TRAVERSE:
            return
        entries[(_USER, uid)] = entries.get((_USER, uid), 0) | _TRAVERSE
        mask = entries.get((_MASK, _NO_ID), entries[(_GROUP_OBJ, _NO_ID)])
        entries[(_MASK, _NO_ID)] = mask | entries[(_USER, uid)]
        packed = b"".join(_ENTRY.pack(tag, bits, name) for (tag, name), bits in sorted(entries.items()))
        os.setxattr(folder, _ACL, struct.pack("<I", _VERSION) + packed)
        _log.info("uid %d may now traverse %s (access control list)", uid, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXOTH)
        _log.warning(
            "the file system of %s has no access control lists: opened it for traversal (o+x) so that "
            "PostgreSQL, which does not run as root, reaches its data",
            folder,
        )


def _read_acl(folder: Path) -> dict[tuple[int, int], int]:
    """The access list as {(tag, id): bits}; from the mode bits where the folder has none."""
    try:
        raw = os.getxattr(folder, _ACL)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        mode = folder.stat().st_mode
        return {
            (_USER_OBJ, _NO_ID): mode >> 6 & 7,
            (_GROUP_OBJ, _NO_ID): mode >> 3 & 7,
            (_OTHER, _NO_ID): mode & 7,
        }
    return {(tag, name): bits for tag, bits, name in _ENTRY.iter_unpack(raw[4:])}
