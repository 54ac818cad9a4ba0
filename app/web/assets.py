"""Static files of the pages: ours and Bootstrap's, compressed once, at an address that changes with their content."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
_PACKED: Final = frozenset({".png"})
"""Formats that are compressed already."""


@dataclass(frozen=True, eq=False)
class Asset:
    """A file. content_type: of ``data``, which is not compressed."""

    data: bytes
    content_type: str
    packed: bool

    @cached_property
    def gzipped(self) -> bytes | None:
        """The file for clients that take gzip; None where that would make it no smaller."""
        if self.packed:
            return None
        small = gzip.compress(self.data, 9, mtime=0)
        return small if len(small) < len(self.data) else None


class Assets:
    """Every static file by its name, and the version that their addresses carry.

    folder: its files are named by their path within it. others: more files by name, e.g. ``vendor/bootstrap.css``.
    Names are an allow-list: what was not there at the start is never served.

    :raise FileNotFoundError: one of ``others`` is missing. :raise ValueError: a file of an unknown type.
    """

    def __init__(self, folder: Path, others: Mapping[str, Path]) -> None:
        paths = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
        paths.update(others)
        self._files = {name: _read(name, path) for name, path in paths.items()}
        digest = hashlib.sha256()
        for name, asset in sorted(self._files.items()):
            digest.update(f"{name}\0{hashlib.sha256(asset.data).hexdigest()}\n".encode())
        self.version = digest.hexdigest()[:16]

    def find(self, version: str, name: str) -> Asset | None:
        """The file, or None: another version's address, or no such file."""
        return self._files.get(name) if version == self.version else None

    def names(self, prefix: str, suffix: str) -> list[str]:
        """Names of the files in a folder and of a type, in order."""
        return sorted(name for name in self._files if name.startswith(prefix) and name.endswith(suffix))


def package_file(package: str, path: str) -> Path:
    """A file of an installed package, found without importing it.

    :raise FileNotFoundError: the package is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"the package {package} is not installed; run `make setup`")
    return Path(found.origin).parent / path


def _read(name: str, path: Path) -> Asset:
    if path.suffix not in _TYPES:
        raise ValueError(f"static file {name}: its type {path.suffix!r} is none of {', '.join(_TYPES)}")
    return Asset(path.read_bytes(), _TYPES[path.suffix], path.suffix in _PACKED)
