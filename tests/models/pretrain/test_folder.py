"""The folder of a run lets one process in, and only the run that began there."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import TrainingError
from models.training.pretrain.folder import IDENTITY_FILE, held, keep_identity, require_identity

BEFORE = {"seed": 1, "phases": ((5, 75),), "teacher": None}


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    keep_identity(tmp_path, BEFORE)
    require_identity(tmp_path, BEFORE | {"seed": 2})  # nothing has been trained yet
    (tmp_path / "match.npz").touch()
    require_identity(tmp_path, BEFORE)
    with pytest.raises(TrainingError, match=r"seed was 1, now 2.*another folder"):
        require_identity(tmp_path, BEFORE | {"seed": 2})
    (tmp_path / IDENTITY_FILE).write_text("[]")
    with pytest.raises(TrainingError, match="is damaged"):
        require_identity(tmp_path, BEFORE)


def test_checkpoints_that_nobody_can_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "joint.npz").touch()
    with pytest.raises(TrainingError, match="as versions before this one left them"):
        require_identity(tmp_path, BEFORE)


def test_a_folder_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path / "run"), pytest.raises(TrainingError, match="is at work in"), held(tmp_path / "run"):
        pass
    with held(tmp_path / "run"):
        pass
