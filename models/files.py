"""Files that are replaced whole, also when the power fails in between: the data first, then the name."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(temporary: Path, path: Path) -> None:
    """Have ``temporary``, a written and closed file of the same folder, take the place of ``path`` for good."""
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have a file's contents, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
