"""What must survive a power cut is on the disk before it has its name, and the name after that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models import files
from models.bundle import write_bundle
from models.files import replace_file


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was brought to the disk, by the name that it had then."""
    paths: list[Path] = []
    real = os.fsync

    def recording(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", recording)
    return paths


def test_a_file_is_replaced_whole(tmp_path: Path, synced: list[Path]) -> None:
    path, temporary = tmp_path / "split.json", tmp_path / "split.tmp"
    path.write_text("old")
    temporary.write_text("new")
    replace_file(temporary, path)
    assert path.read_text() == "new" and not temporary.exists()
    assert synced == [temporary, tmp_path]


def test_a_bundles_files_and_their_names_come_before_its_own_name(tmp_path: Path, synced: list[Path]) -> None:
    def write(folder: Path) -> None:
        (folder / "settings.json").write_text("{}")
        (folder / "metrics.json").write_text("{}")

    write_bundle(tmp_path / "v1", {"version": "v1"}, write)
    *inside, folder, parent = synced
    assert {path.name for path in inside} == {"settings.json", "metrics.json", "manifest.json"}
    assert {path.parent for path in inside} == {folder} and folder.name.startswith(".v1-")
    assert parent == tmp_path
