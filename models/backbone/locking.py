"""One lock file for one writer, between processes and between threads of one process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold ``path`` exclusively; the kernel lets go when the process ends, however it ends.

    ``flock`` belongs to the open file, so two threads exclude each other like two processes do (the
    record locks of ``lockf`` would not). The file is left in place: removing it would let two holders in.

    path: created if missing; its folder must exist.
    wait: wait for the holder; otherwise raise at once.
    :raise BlockingIOError: held by somebody else and ``wait`` is False.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
