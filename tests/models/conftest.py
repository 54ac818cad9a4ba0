"""What several tests share because TensorFlow is slow to start: fits that are made once."""

from __future__ import annotations

import pytest

from models.training.fit.fcn import FcnFit, FcnSettings, fit_fcn
from tests.contracts.classifier import WORLD


@pytest.fixture(scope="session")
def contract_fcn() -> FcnFit:
    """An FCN fitted on the classifiers' contract world, all steps done."""
    return fit_fcn(WORLD, None, FcnSettings(learning_rate=0.01, max_steps=40, patience=0))
