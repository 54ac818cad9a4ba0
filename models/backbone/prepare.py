"""Preparing a backbone: once per weight source, into ``HOME/backbones/<identifier>/``.

The folder appears in one rename, complete and synced, or not at all. A second call finds it. One process
prepares at a time; others wait and then find it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import models.errors
from models.backbone.locking import exclusive
from models.backbone.preprocessing import PREPROCESSING
from models.backbone.space import Space
from models.backbone.store import (
    IR_FILES,
    KERAS_FILE,
    MANIFEST_FILE,
    PROJECTION_FILE,
    SEEN_FILE,
    SPACE_FILE,
    SourceRecord,
    backbones_folder,
    read_record,
    read_seen,
    still_fits,
    verify_files,
    write_manifest,
    write_record,
    write_seen,
)
from models.backbone.weights import INT8_SUFFIX, WeightSource, file_digest, resolve_weights
from models.errors import BackboneError, WeightsMismatch
from models.files import sync

LOG_FILE: Final = "prepare.log"
_FILES: Final = (*IR_FILES, KERAS_FILE, PROJECTION_FILE, SEEN_FILE, SPACE_FILE)
_TEMPORARY: Final = ".new-"

Progress = Callable[[str], None]
"""Told, in words, what happens next."""


def prepare_backbone(source: str, home: Path, progress: Progress | None = None, *, in_process: bool = False) -> Path:
    """Have the backbone of ``source`` prepared; return its folder.

    Takes about 20 s the first time, for 8 bits some minutes more, and a fraction of a second when it is there
    already. 8 bits are made of the network at float32, which is prepared as well. Damaged folders are made anew.

    source: see ``models.backbone.weights.resolve_weights``.
    home: the state folder.
    progress: called with a short sentence before each step.
    in_process: convert in this process, for callers that use TensorFlow anyway; by default a child does.
    :raise WeightsNotFound, WeightsMismatch: see ``models.backbone.weights``.
    :raise BackboneError: the conversion broke; the message names its log.
    """
    say = progress or (lambda _: None)
    resolved = resolve_weights(source, home)
    if resolved.precision == "int8":  # it is made of the network at float32
        prepare_backbone(source.removesuffix(INT8_SUFFIX), home, progress, in_process=in_process)
    root = backbones_folder(home)
    root.mkdir(parents=True, exist_ok=True)
    with exclusive(root / "prepare.lock"):
        for leftover in root.glob(f"{_TEMPORARY}*"):  # of a killed run: we hold the lock, nobody uses it
            shutil.rmtree(leftover)
        ready = _ready_folder(resolved, home)
        if ready is not None:
            return ready
        before = _observe(resolved)
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=root))
        try:
            if in_process:
                from models.backbone.convert import make_files

                made = asdict(make_files(source, home, folder, say))
            else:
                made = _convert_in_child(source, home, folder, say)
            say("checking and publishing")
            space = _describe(resolved, folder, made)
            if _observe(resolved, before) != before:
                raise WeightsMismatch(f"{resolved.path} changed while it was read; try again when it is complete")
            target = _publish(folder, root / space.identifier)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        write_record(home, resolved, SourceRecord(space.identifier, *before))
        return target


def _ready_folder(source: WeightSource, home: Path) -> Path | None:
    """The published folder if it is there, current and whole."""
    try:
        record = read_record(home, source)
        if record is None or not still_fits(source, record):
            return None
        folder = backbones_folder(home) / record.identifier
        verify_files(folder, _FILES)
        if Space.from_json((folder / SPACE_FILE).read_text("utf-8")).identifier != record.identifier:
            return None
    except BackboneError:  # damaged: preparing again is the remedy every message names
        return None
    _refresh_time(source, home, record)
    return folder


def _refresh_time(source: WeightSource, home: Path, record: SourceRecord) -> None:
    """Remember a new modification time of an unchanged file, so that it is not hashed at every load."""
    if source.path is None or source.path.stat().st_mtime_ns == record.mtime_ns:
        return
    renewed = SourceRecord(record.identifier, record.size_bytes, source.path.stat().st_mtime_ns, record.sha256)
    write_record(home, source, renewed)


def _observe(source: WeightSource, known: tuple[int, int, str] | None = None) -> tuple[int, int, str]:
    """(size, modification time, SHA-256) of the weight file; hashed only if it differs from ``known``."""
    if source.path is None:
        return (0, 0, "")
    status = source.path.stat()
    if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
        return known
    return (status.st_size, status.st_mtime_ns, file_digest(source.path))


def _convert_in_child(source: str, home: Path, folder: Path, say: Progress) -> dict[str, Any]:
    """Run the conversion; returns the fields of ``convert.Converted``."""
    log_path = backbones_folder(home) / LOG_FILE
    command = [sys.executable, "-m", "models.backbone.convert", source, str(home), str(folder)]
    package_parent = str(Path(models.errors.__file__).parents[1])
    search_path = os.pathsep.join(p for p in (package_parent, os.environ.get("PYTHONPATH")) if p)
    environment = {**os.environ, "PYTHONPATH": search_path}
    final: dict[str, Any] = {}
    with (
        log_path.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            env=environment,
        ) as child,
    ):
        assert child.stdout is not None
        try:
            for line in child.stdout:
                message: dict[str, Any] = json.loads(line)
                if "step" in message:
                    say(message["step"])
                else:
                    final = message
            child.wait()
        finally:
            if child.poll() is None:  # an interrupt on our side: the child has nothing left to do
                child.kill()
    return _child_result(final, child.returncode, log_path)


def _child_result(final: dict[str, Any], status: int, log_path: Path) -> dict[str, Any]:
    if "done" in final:
        return dict(final["done"])
    if "error" in final:
        kind = getattr(models.errors, final["error"]["class"], BackboneError)
        raise kind(final["error"]["message"])
    raise BackboneError(f"converting the backbone ended with status {status}; the reason is in {log_path}")


def _describe(source: WeightSource, folder: Path, made: dict[str, Any]) -> Space:
    """Write space and manifest beside the converted files."""
    space = Space(
        weights_sha256=made["weights_sha256"],
        preprocessing=PREPROCESSING,
        projection_sha256=made["projection_sha256"],
        precision=made["precision"],
        weights=source.label,
        versions=made["versions"],
    )
    (folder / SPACE_FILE).write_text(space.to_json(), "utf-8")
    published = folder.parent / space.identifier
    if _is_whole(published):
        # The same values under another name: a photo that either file lists was seen.
        write_seen(folder, read_seen(folder) | read_seen(published))
    write_manifest(folder, _FILES)
    return space


def _publish(folder: Path, target: Path) -> Path:
    """Move a complete folder to its final name; a whole one that is there already, and knows as much, stays."""
    if _is_whole(target) and read_seen(target) == read_seen(folder):
        return target
    if target.exists():
        shutil.rmtree(target)
    for name in (*_FILES, MANIFEST_FILE):
        sync(folder / name)
    sync(folder)
    folder.chmod(0o755)  # mkdtemp made it private
    folder.rename(target)
    sync(target.parent)
    return target


def _is_whole(folder: Path) -> bool:
    """Whether every file is there as the manifest says."""
    try:
        verify_files(folder, _FILES)
    except BackboneError:
        return False
    return True
