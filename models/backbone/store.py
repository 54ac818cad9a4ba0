"""Prepared backbones on disk: finding, verifying and loading them. Needs neither TensorFlow nor Keras.

HOME/backbones/<identifier>/   network.xml network.bin   OpenVINO IR
                               network.weights.h5        the same weights for Keras
                               projection.npz seen.json space.json manifest.json
HOME/backbones/sources/<key>.json    which identifier a weight source was prepared as
HOME/backbones/prepare.lock
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from models.backbone.locking import exclusive
from models.backbone.preprocessing import PREPROCESSING
from models.backbone.projection import Projection
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.space import Space
from models.backbone.weights import WeightSource, file_digest, resolve_weights
from models.errors import BackboneError, BackboneNotReady, UsageError
from models.values import Backbone

IR_FILES: Final = ("network.xml", "network.bin")
KERAS_FILE: Final = "network.weights.h5"
PROJECTION_FILE: Final = "projection.npz"
SEEN_FILE: Final = "seen.json"
SPACE_FILE: Final = "space.json"
MANIFEST_FILE: Final = "manifest.json"
MANIFEST_FORMAT: Final = 1

PREPARE_COMMAND: Final = "`make train-bottlenecks` (`python -m app bottlenecks`)"

Runtime = Literal["openvino", "tensorflow"]
_TENSORFLOW_RUNTIME: Final = "models.backbone.tensorflow_runtime"


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What a weight source was when it was prepared.

    identifier: the space it became.
    size_bytes, mtime_ns, sha256: of the weight file; 0, 0 and "" where weights are generated.
    """

    identifier: str
    size_bytes: int = 0
    mtime_ns: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class PreparedBackbone:
    """A prepared backbone: its folder and its space (``space.weights`` as the source was named now)."""

    folder: Path
    space: Space

    def load_projection(self) -> Projection:
        """The projection, verified by hash, without loading the network."""
        return Projection.load(self.folder / PROJECTION_FILE, self.space.projection_sha256)

    def seen_hashes(self) -> frozenset[str]:
        """Content hashes of the photos the weights are known to have been trained on.

        Only packed weights say so; of others nobody knows, and the set is empty.
        :raise BackboneError: the list is missing or damaged.
        """
        verify_files(self.folder, (SEEN_FILE,))
        return read_seen(self.folder)


def write_seen(folder: Path, seen: frozenset[str]) -> None:
    """Write ``seen.json``: the content hashes, sorted."""
    (folder / SEEN_FILE).write_text(json.dumps({"photos": sorted(seen)}, indent=0) + "\n", "utf-8")


def read_seen(folder: Path) -> frozenset[str]:
    """What ``write_seen`` wrote.

    :raise BackboneError: unreadable.
    """
    try:
        return frozenset(json.loads((folder / SEEN_FILE).read_text("utf-8"))["photos"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackboneError(f"{folder / SEEN_FILE} is unreadable ({error}); run {PREPARE_COMMAND}") from error


def backbones_folder(home: Path) -> Path:
    """Where prepared backbones live under the state folder."""
    return home / "backbones"


def record_path(home: Path, source: WeightSource) -> Path:
    """The file that says what ``source`` was prepared as."""
    return backbones_folder(home) / "sources" / f"{source.key}.json"


def find_backbone(source: str, home: Path) -> PreparedBackbone:
    """The backbone prepared for ``source``; reads small files only, unless the weight file was touched.

    :raise WeightsNotFound: the source names no readable file.
    :raise BackboneNotReady: not prepared yet, or the weight file has changed since.
    :raise BackboneError: prepared, but its description is damaged.
    """
    resolved = resolve_weights(source, home)
    record = read_record(home, resolved)
    if record is None:
        raise BackboneNotReady(
            f"no backbone has been prepared for the weights {resolved.label} in {home}; run {PREPARE_COMMAND}"
        )
    if not still_fits(resolved, record):
        raise BackboneNotReady(
            f"{resolved.path} has changed since its backbone was prepared; run {PREPARE_COMMAND} again"
        )
    folder = backbones_folder(home) / record.identifier
    if not folder.is_dir():
        raise BackboneNotReady(f"{folder} is gone; run {PREPARE_COMMAND}")
    return PreparedBackbone(folder, _read_space(folder, record.identifier, resolved.label))


def find_prepared(identifier: str, home: Path) -> PreparedBackbone:
    """The prepared backbone that makes the space ``identifier``, whatever it was prepared from.

    :raise BackboneNotReady: it has not been prepared here.
    :raise BackboneError: prepared, but its description is damaged.
    """
    folder = backbones_folder(home) / identifier
    if not (folder / SPACE_FILE).is_file():
        raise BackboneNotReady(
            f"the backbone of space {identifier} is not prepared here ({folder} is missing): copy that folder from "
            f"where it was made, or run {PREPARE_COMMAND} with PICKTURE_WEIGHTS set to its weights"
        )
    return PreparedBackbone(folder, _read_space(folder, identifier))


def load_space(
    identifier: str, home: Path, runtime: Runtime = "openvino", *, threads: int = 0, streams: int = 1
) -> OpenVinoBackbone:
    """``load_backbone`` by the space that it makes.

    :raise BackboneNotReady, BackboneError: see ``find_prepared``.
    """
    return _load(find_prepared(identifier, home), runtime, threads, streams)


def load_backbone(
    source: str, home: Path, runtime: Runtime = "openvino", *, threads: int = 0, streams: int = 1
) -> OpenVinoBackbone:
    """The backbone prepared for ``source``, verified and ready to extract.

    source: see ``models.backbone.weights.resolve_weights``.
    runtime: ``openvino``; ``tensorflow`` gives an object with the same members on TensorFlow.
    threads, streams: see ``OpenVinoBackbone``.
    :raise WeightsNotFound, BackboneNotReady: see ``find_backbone``.
    :raise BackboneError: a file is missing or its SHA-256 differs from the manifest; ``tensorflow`` for 8 bits.
    :raise UsageError: another runtime.
    """
    return _load(find_backbone(source, home), runtime, threads, streams)


def _load(prepared: PreparedBackbone, runtime: Runtime, threads: int, streams: int) -> OpenVinoBackbone:
    if runtime == "openvino":
        verify_files(prepared.folder, (*IR_FILES, PROJECTION_FILE, SPACE_FILE))
        kind, network = OpenVinoBackbone, prepared.folder / IR_FILES[0]
    elif runtime == "tensorflow":
        if prepared.space.in_eight_bits:
            raise BackboneError(
                f"space {prepared.space.identifier} is one of 8 bits ({prepared.space.weights}), which the runtime "
                "openvino alone computes: set PICKTURE_RUNTIME=openvino"
            )
        verify_files(prepared.folder, (KERAS_FILE, PROJECTION_FILE, SPACE_FILE))
        # By name, so that no import of the serving path reaches TensorFlow.
        kind = importlib.import_module(_TENSORFLOW_RUNTIME).TensorFlowBackbone
        network = prepared.folder / KERAS_FILE
    else:
        raise UsageError(f"runtime {runtime!r} came; expected openvino or tensorflow")
    return kind(network, prepared.space, prepared.load_projection(), threads=threads, streams=streams)


def remove_prepared(identifier: str, home: Path) -> bool:
    """Remove the prepared backbone of a space, and what says that a weight source was prepared as it.

    Returns whether there was one. The weights themselves stay: it can be prepared again.
    :raise BackboneError: another is being prepared at this moment, or a record is unreadable.
    """
    root = backbones_folder(home)
    folder = root / identifier
    if not folder.is_dir():
        return False
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(root / "prepare.lock", wait=False))
        except BlockingIOError as error:
            raise BackboneError("a backbone is being prepared; wait for its end, and try again") from error
        for path in (root / "sources").glob("*.json"):
            if _record_at(path).identifier == identifier:
                path.unlink()
        gone = folder.rename(root / f".dropped-{identifier}")
        shutil.rmtree(gone)
    return True


def require_space(backbone: Backbone, expected: str) -> None:
    """Refuse a backbone of another space than training used.

    :raise BackboneError: ``backbone.space`` is not ``expected``.
    """
    if backbone.space != expected:
        raise BackboneError(
            f"the loaded backbone makes vectors of space {backbone.space} (weights {backbone.weights}), but "
            f"{expected} was trained with: set the same weights as in training, or train again"
        )


def read_record(home: Path, source: WeightSource) -> SourceRecord | None:
    """What ``source`` was prepared as, or None.

    :raise BackboneError: the record is unreadable.
    """
    path = record_path(home, source)
    return _record_at(path) if path.exists() else None


def _record_at(path: Path) -> SourceRecord:
    try:
        return SourceRecord(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BackboneError(f"{path} is damaged ({error}); run {PREPARE_COMMAND}") from error


def still_fits(source: WeightSource, record: SourceRecord) -> bool:
    """Whether the weight file is the one that was prepared: by size and time, else by SHA-256."""
    if source.path is None:
        return True
    status = source.path.stat()
    if status.st_size != record.size_bytes:
        return False
    return status.st_mtime_ns == record.mtime_ns or file_digest(source.path) == record.sha256


def write_manifest(folder: Path, names: Iterable[str]) -> None:
    """Write ``manifest.json`` with size and SHA-256 of the named files of ``folder``."""
    files = {
        name: {"sha256": file_digest(folder / name), "size_bytes": (folder / name).stat().st_size}
        for name in sorted(names)
    }
    text = json.dumps({"format": MANIFEST_FORMAT, "files": files}, indent=2, sort_keys=True)
    (folder / MANIFEST_FILE).write_text(text + "\n", "utf-8")


def verify_files(folder: Path, names: Iterable[str]) -> None:
    """Check the named files against the manifest.

    :raise BackboneError: the manifest or a file is missing, or differs; the message names it.
    """
    remedy = f"run {PREPARE_COMMAND}: it prepares the backbone again"
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
        listed = manifest["files"]
        format_version = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackboneError(f"{folder / MANIFEST_FILE} is missing or unreadable; {remedy}") from error
    if format_version != MANIFEST_FORMAT:
        raise BackboneError(f"{folder} has format {format_version}, expected {MANIFEST_FORMAT}; {remedy}")
    for name in names:
        path = folder / name
        if name not in listed or not path.is_file():
            raise BackboneError(f"{path} is missing; {remedy}")
        expected = listed[name]
        if path.stat().st_size != expected["size_bytes"] or file_digest(path) != expected["sha256"]:
            raise BackboneError(f"{path} is damaged: its SHA-256 differs from the manifest; {remedy}")


def write_record(home: Path, source: WeightSource, record: SourceRecord) -> None:
    """Point ``source`` at a prepared backbone (temporary name, then rename)."""
    path = record_path(home, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(record), indent=2, sort_keys=True) + "\n", "utf-8")
    temporary.replace(path)


def _read_space(folder: Path, identifier: str, label: str | None = None) -> Space:
    """label: how the weights are called now; by default as when they were prepared."""
    path = folder / SPACE_FILE
    try:
        space = Space.from_json(path.read_text("utf-8"))
    except OSError as error:
        raise BackboneError(f"{path} cannot be read; run {PREPARE_COMMAND}") from error
    if space.identifier != identifier:
        raise BackboneError(f"{path} describes space {space.identifier}, expected {identifier}")
    if space.preprocessing != PREPROCESSING:
        raise BackboneNotReady(
            f"{folder} was prepared for preprocessing {space.preprocessing}, this version does "
            f"{PREPROCESSING}; run {PREPARE_COMMAND}"
        )
    return space if label is None else replace(space, weights=label)
