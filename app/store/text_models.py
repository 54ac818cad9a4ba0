"""Text models on disk: ``HOME/text/<version>/``, and ``HOME/text/current.json``, which names the one in use.

``HOME/text/trials/<version>/`` holds what was measured when the version in use was made, taught without the rows that
it was measured on: the next training asks it about these rows once more, to see whether it would be a gain.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from app.store.bundles import short_name
from app.store.decisions import Decision, read_decision, write_decision
from app.store.json_files import write_json
from app.store.text import clean
from models.backbone.locking import exclusive
from models.bundle import file_sha256, read_manifest
from models.errors import BundleDamaged, BundleNotFound, UsageError
from models.multimodal.bundle import REPORT, TextBundle, load_text_bundle
from models.multimodal.names import words

POINTER: Final = "current.json"
STOP_WORDS: Final = "stop-words.json"
TRIALS: Final = "trials"
KEPT: Final = 3
"""Versions that stay, the current one among them."""

_METRICS: Final = "metrics.json"
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

    def trial_path(self, version: str) -> Path:
        """Where what was measured for a version lies."""
        return self.folder / TRIALS / self.path_for(version).name

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

    def facts(self, version: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """(manifest, metrics) of a version, without loading its networks.

        :raise BundleNotFound, BundleDamaged, BundleMismatch: its files are not as they were written.
        """
        metrics: dict[str, Any] = json.loads(self._file(version, _METRICS))
        return read_manifest(self.path_for(version))[0], metrics

    def report(self, version: str) -> bytes:
        """The report of a version, HTML.

        :raise BundleNotFound: it was made without one. :raise BundleDamaged, BundleMismatch: see ``facts``.
        """
        return self._file(version, REPORT)

    def decision(self, version: str) -> Decision | None:
        """What a retraining decided about a version; None where nobody was asked."""
        return read_decision(self.path_for(version))

    def decide(self, version: str, decision: Decision) -> None:
        """Record what was decided, before it is done."""
        write_decision(self.path_for(version), decision)

    def of_job(self, job_id: UUID) -> list[str]:
        """Versions that a job has made, the newest first."""
        made = self.folder.glob(f"*-{short_name(job_id)}")
        return sorted((path.name for path in made if (path / "manifest.json").is_file()), reverse=True)

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
        told, category = words(word), clean(category)
        if len(told) != 1:
            raise UsageError(f"{word!r} is not one word; approve its words one by one")
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / "stop-words.lock"):
            found = self.stop_words()
            kept = {*found.get(category, ())} - {told[0]}
            found[category] = sorted(kept | {told[0]} if approved else kept)
            found = {name: listed for name, listed in sorted(found.items()) if listed}
            self._replace(STOP_WORDS, found)
        return found

    def remove_leftovers(self) -> None:
        """Remove folders whose writing was cut off, and trials without their version."""
        for path in (*self.folder.glob(".*"), *(self.folder / TRIALS).glob(".*")):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        self._remove_trials(lambda name: not (self.folder / name).is_dir())

    def _file(self, version: str, name: str) -> bytes:
        folder = self.path_for(version)
        expected = read_manifest(folder)[0]["files"].get(name)
        if expected is None:
            raise BundleNotFound(f"text model {version} was made without {name}")
        path = folder / name
        if not path.is_file() or file_sha256(path) != expected:
            raise BundleDamaged(f"text model {version}: {name} is missing or not as it was written; train again")
        return path.read_bytes()

    def _replace(self, name: str, data: object) -> None:
        write_json(self.folder / name, data)

    def _remove_old(self, current: str) -> None:
        versions = sorted(path.name for path in self.folder.iterdir() if (path / "manifest.json").is_file())
        for version in [name for name in versions if name != current][: max(0, len(versions) - KEPT)]:
            shutil.rmtree(self.path_for(version), ignore_errors=True)
        self._remove_trials(lambda name: name != current)

    def _remove_trials(self, is_over: Callable[[str], bool]) -> None:
        for path in list((self.folder / TRIALS).glob("[!.]*")):
            if is_over(path.name):
                shutil.rmtree(path, ignore_errors=True)
