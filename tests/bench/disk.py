"""A file system of limited size for a state folder, and filling it."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BALLAST = "ballast"
_CHUNKS = (2**20, 2**12, 1)
_AGAIN_S = 0.2


class NoLimit(Exception):
    """No file system of limited size can be had here; the message says why."""


@contextmanager
def limited(folder: Path, size_mb: int) -> Iterator[Path]:
    """Mount an empty tmpfs of so many megabytes on a folder until the block ends.

    :raise NoLimit: this user may not.
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=755", "pickture-chaos", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoLimit("there is no program `mount` here") from None
    if done.returncode != 0:
        raise NoLimit(f"a tmpfs could not be mounted ({done.stderr.strip()}): run as root")
    try:
        yield folder
    finally:
        # Lazily where something still looks into it: the mount goes when that does.
        if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode != 0:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def free_mb(folder: Path) -> float:
    """Megabytes left."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize / 2**20


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Keep a file system full to the last byte until the block ends, whatever others free meanwhile."""
    path = folder / _BALLAST
    done = threading.Event()
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def keep_full() -> None:
        while not done.wait(_AGAIN_S):
            _fill(handle)

    keeper = threading.Thread(target=keep_full, name="ballast", daemon=True)
    try:
        _fill(handle)
        keeper.start()
        yield
    finally:
        done.set()
        if keeper.is_alive():
            keeper.join()
        os.close(handle)
        path.unlink()


def _fill(handle: int) -> None:
    for size in _CHUNKS:
        while True:
            try:
                os.write(handle, b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
