"""The bundle: everything a served model version consists of, as data files under one manifest.

    manifest.json   format, version, space, weights, created_at, labels, files {name: sha256}, libraries
    fcn.npz svm.npz (absent where no label had enough photos)
    settings.json   vote, verdict
    types.npz       product types from bottlenecks (absent where the catalogue names too few)
    metrics.json    what was measured        split.json  which photo was used for what
    report.html     for people
    judged.npz map.npz variants.json variants.webp   for people who look closer, see ``models.inspection``

Nothing in it is code: npz without pickle and JSON. Every file is checked against its SHA-256 first.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.attributes.types import TypeModel
from models.classifiers.fcn import FcnClassifier
from models.classifiers.svm import SvmClassifier
from models.errors import BundleDamaged, BundleMismatch, BundleNotFound, SplitError
from models.files import sync
from models.verdict import VerdictSettings
from models.vote import VoteSettings

BUNDLE_FORMAT = 1
MANIFEST = "manifest.json"
SPLIT_FILE: Final = "split.json"
"""In a bundle: which photo was used for what, as ``models.training.splits.Split`` writes it."""

HOLD_OUT: Final = "hold_out"
"""The one role whose photos nothing is ever trained on."""
_MAX_FILE_BYTES = 2 * 2**30
_MAX_MANIFEST_BYTES = 2**20
_REQUIRED = frozenset({"settings.json", "metrics.json"})


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A loaded, verified model version.

    manifest_sha256: what the database remembers of it. created_at: ISO 8601, UTC.
    """

    version: str
    space: str
    weights: str
    created_at: str
    fcn: FcnClassifier | None
    svm: SvmClassifier | None
    types: TypeModel | None
    vote: VoteSettings
    verdict: VerdictSettings
    metrics: dict[str, Any]
    manifest_sha256: str

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Verify every file against the manifest, then read it.

        :raise BundleNotFound: no manifest there. :raise BundleDamaged: a file is missing, changed, not
        listed or unreadable. :raise BundleMismatch: another format.
        """
        manifest, digest = read_manifest(folder)
        verify(folder, manifest)
        files = manifest["files"]
        settings = _read_json(folder / "settings.json")
        fcn = FcnClassifier.load(folder / "fcn.npz") if "fcn.npz" in files else None
        svm = SvmClassifier.load(folder / "svm.npz") if "svm.npz" in files else None
        assert fcn is None or isinstance(fcn, FcnClassifier)
        assert svm is None or isinstance(svm, SvmClassifier)
        try:
            return cls(
                version=manifest["version"],
                space=manifest["space"],
                weights=manifest["weights"],
                created_at=manifest["created_at"],
                fcn=fcn,
                svm=svm,
                types=TypeModel.load(folder / "types.npz") if "types.npz" in files else None,
                vote=VoteSettings.from_json(settings["vote"]),
                verdict=VerdictSettings.from_json(settings["verdict"]),
                metrics=_read_json(folder / "metrics.json"),
                manifest_sha256=digest,
            )
        except (KeyError, TypeError) as error:
            raise BundleDamaged(f"bundle {folder.name} lacks {error}; train again or roll back") from error


def write_bundle(folder: Path, manifest: dict[str, Any], write: Callable[[Path], None]) -> str:
    """Make a bundle folder atomically; returns the SHA-256 of its manifest.

    manifest: without ``format`` and ``files``, which are added. write: puts the files into the folder
    it is given. A crash leaves at most a hidden temporary folder beside the target.
    :raise BundleMismatch: the version already exists.
    """
    if folder.exists():
        raise BundleMismatch(f"bundle {folder.name} exists already; versions are never overwritten")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(temporary)
        files = {path.name: file_sha256(path) for path in sorted(temporary.iterdir())}
        text = json.dumps({"format": BUNDLE_FORMAT, **manifest, "files": files}, indent=1, sort_keys=True)
        (temporary / MANIFEST).write_text(text)
        for path in temporary.iterdir():
            sync(path)
        temporary.chmod(0o755)
        sync(temporary)
        temporary.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """The manifest and its SHA-256.

    :raise BundleNotFound: none there. :raise BundleDamaged: no JSON object. :raise BundleMismatch: format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleNotFound(f"no bundle in {folder.name}: {MANIFEST} is missing; run `make train`")
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise BundleDamaged(f"{MANIFEST} of bundle {folder.name} is larger than {_MAX_MANIFEST_BYTES} bytes")
    raw = path.read_bytes()
    try:
        manifest = json.loads(raw)
        format_, files = manifest["format"], manifest["files"]
        if not isinstance(files, dict):
            raise TypeError("files is no object")
    except (ValueError, KeyError, TypeError) as error:
        raise BundleDamaged(f"{MANIFEST} of bundle {folder.name} is damaged ({error})") from error
    if format_ != BUNDLE_FORMAT:
        raise BundleMismatch(
            f"bundle {folder.name} has format {format_}, this version reads {BUNDLE_FORMAT}; train again"
        )
    return manifest, hashlib.sha256(raw).hexdigest()


def verify(folder: Path, manifest: dict[str, Any]) -> None:
    """Compare every file with the manifest.

    :raise BundleDamaged: one is missing, not listed, not in the folder, too large, or differs; the message
        names it.
    """
    unlisted = sorted(_REQUIRED - set(manifest["files"]))
    if unlisted:
        raise BundleDamaged(f"bundle {folder.name}: {MANIFEST} does not list {unlisted[0]}; train again or roll back")
    for name, expected in manifest["files"].items():
        path = folder / name
        if Path(name).name != name:
            raise BundleDamaged(f"bundle {folder.name}: {name!r} in {MANIFEST} is no plain file name")
        if not path.is_file():
            raise BundleDamaged(f"bundle {folder.name}: {name} is missing; restore it or roll back")
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise BundleDamaged(f"bundle {folder.name}: {name} is larger than {_MAX_FILE_BYTES} bytes")
        if file_sha256(path) != expected:
            raise BundleDamaged(
                f"bundle {folder.name}: {name} differs from its SHA-256 in the manifest; restore it or roll back"
            )


def bundle_file(folder: Path, name: str, manifest_sha256: str | None = None) -> bytes | None:
    """One file of a bundle as it was written, or None where the bundle was made without it.

    manifest_sha256: what the manifest must be; None where nobody remembers.
    :raise BundleNotFound, BundleMismatch: see ``read_manifest``. :raise BundleDamaged: the manifest or the file is not
        the one that was written, or is too large.
    """
    manifest, digest = read_manifest(folder)
    if manifest_sha256 not in (None, digest):
        raise BundleDamaged(f"{MANIFEST} of bundle {folder.name} is not the one that was recorded; restore it")
    expected = manifest["files"].get(name)
    if expected is None:
        return None
    path = folder / name
    if not path.is_file() or path.stat().st_size > _MAX_FILE_BYTES:
        raise BundleDamaged(f"bundle {folder.name}: {name} is missing or larger than {_MAX_FILE_BYTES} bytes")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != expected:
        raise BundleDamaged(
            f"bundle {folder.name}: {name} differs from its SHA-256 in the manifest; restore it or roll back"
        )
    return data


def read_roles(folder: Path, naming: str | None = None) -> dict[str, str]:
    """The role of each photo, by content hash, in the split that the bundle in ``folder`` was trained with.

    naming: only where the split names this photo, otherwise nothing; that is told without reading it all as JSON, which
    takes a second where photos are many.
    :raise SplitError: the file is missing or damaged.
    """
    path = folder / SPLIT_FILE
    try:
        raw = path.read_bytes()
        if naming is not None and naming.encode() not in raw:
            return {}
        return {content_hash: str(place[0]) for content_hash, place in json.loads(raw)["photos"].items()}
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise SplitError(f"{path} does not tell which photos the model was trained on ({error})") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BundleDamaged(f"{path.name} of bundle {path.parent.name} is unreadable ({error})") from error
