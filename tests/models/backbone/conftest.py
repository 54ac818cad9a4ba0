"""One prepared backbone for all tests of this folder: preparing takes many seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.backbone.prepare import prepare_backbone
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.store import load_backbone


@pytest.fixture(scope="session")
def backbone_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which a child process has prepared ``embedded``. Tests do not change it."""
    home = tmp_path_factory.mktemp("backbone-home")
    steps: list[str] = []
    prepare_backbone("embedded", home, steps.append)
    assert "converting to OpenVINO" in steps
    return home


@pytest.fixture(scope="session")
def openvino_backbone(backbone_home: Path) -> OpenVinoBackbone:
    return load_backbone("embedded", backbone_home)


@pytest.fixture(scope="session")
def tensorflow_backbone(backbone_home: Path) -> OpenVinoBackbone:
    return load_backbone("embedded", backbone_home, "tensorflow")
