"""Fine-tuning is measured with fewer probes and draws than for real: what they find is tested on its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def quick_comparison() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.training.finetune.compare.C_GRID", (0.3,))
        patch.setattr("models.training.finetune.compare.DRAWS", 300)
        yield
