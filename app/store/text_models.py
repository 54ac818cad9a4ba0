"""Text models on disk: ``HOME/text/<version>/``, and ``HOME/text/current.json``, which names the one in use."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from models.errors import BundleDamaged, BundleNotFound, UsageError
from models.multimodal.bundle import TextBundle, load_text_bundle
from models.multimodal.names import words

POINTER: Final = "current.json"
STOP_WORDS: Final = "stop-words.json"
KEPT: Final = 3
"""Versions that stay, the current one among them."""

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class TextModelStore:
    """Which text models there are, and which one is used. One writer at a time (``HOME/text/training.lock``)."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "text"

    def path_for(self, version: str) -> Path:
        """The folder of a version. :raise UsageError: no name of a version."""
        if not _VERSION.fullmatch(version):
            raise UsageError(f"{version!r} is no version of a text model")
        return self.folder / version

    def current(self) -> str | None:
        """The version in use, None before the first training. :raise BundleDamaged: the pointer is unreadable."""
        path = self.folder / POINTER
        try:
            version = json.loads(path.read_text("utf-8"))["version"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleDamaged(f"{path} is unreadable ({error}); run `python -m app text train` again") from error
        return str(version)

    def load(self) -> TextBundle:
        """The text model in use, verified.

        :raise BundleNotFound: none has been trained. :raise BundleDamaged, BundleMismatch: see ``load_text_bundle``.
        """
        version = self.current()
        if version is None:
            raise BundleNotFound("no text model has been trained yet; run `python -m app text train`")
        return load_text_bundle(self.path_for(version))

    def use(self, version: str) -> None:
        """Have a finished version used from now on, and remove all but the newest ones.

        :raise BundleNotFound: its folder is not there.
        """
        if not self.path_for(version).is_dir():
            raise BundleNotFound(f"there is no text model {version} in {self.folder}")
        self._replace(POINTER, {"version": version})
        self._remove_old(version)

    def stop_words(self) -> dict[str, list[str]]:
        """Words approved to be left out of names, by category. :raise BundleDamaged: the file is unreadable."""
        path = self.folder / STOP_WORDS
        try:
            told = json.loads(path.read_text("utf-8"))
            return {str(category): [str(word) for word in words] for category, words in told.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise BundleDamaged(f"{path} is unreadable ({error}); mend or remove it") from error

    def approve(self, category: str, word: str, *, approved: bool = True) -> dict[str, list[str]]:
        """Approve a stop word of a category, or withdraw it; the next training follows. Returns all there are.

        :raise UsageError: not one word.
        """
        told = words(word)
        if len(told) != 1:
            raise UsageError(f"{word!r} is not one word; approve its words one by one")
        found = self.stop_words()
        kept = {*found.get(category, ())} - {told[0]}
        found[category] = sorted(kept | {told[0]} if approved else kept)
        found = {name: listed for name, listed in sorted(found.items()) if listed}
        self.folder.mkdir(parents=True, exist_ok=True)
        self._replace(STOP_WORDS, found)
        return found

    def remove_leftovers(self) -> None:
        """Remove folders whose writing was cut off."""
        for path in self.folder.glob(".*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _replace(self, name: str, data: object) -> None:
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{name}-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(self.folder / name)

    def _remove_old(self, current: str) -> None:
        versions = sorted(path.name for path in self.folder.iterdir() if (path / "manifest.json").is_file())
        for version in [name for name in versions if name != current][: max(0, len(versions) - KEPT)]:
            shutil.rmtree(self.path_for(version), ignore_errors=True)
