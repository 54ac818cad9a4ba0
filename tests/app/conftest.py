"""What the tests of jobs and of their commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.tiny_backbone import prepare_tiny_backbone


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which a tiny backbone is prepared as ``embedded``; copied, never changed."""
    home = tmp_path_factory.mktemp("prepared")
    prepare_tiny_backbone(home)
    return home
