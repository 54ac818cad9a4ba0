"""The exact k-NN memory, held to the contract of the role."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from models.classifiers.exact import ExactNeighbours
from models.errors import UsageError
from models.values import Float32
from tests.contracts.neighbours import Make, NeighboursContract


class TestExactNeighbours(NeighboursContract):
    @pytest.fixture
    def make(self) -> Make:
        def build(vectors: Float32, labels: Sequence[str]) -> ExactNeighbours:
            return ExactNeighbours(vectors, labels)

        return build


def test_as_many_labels_as_vectors_are_wanted() -> None:
    with pytest.raises(UsageError, match="2 vectors but 1 labels"):
        ExactNeighbours(np.zeros((2, 2048), np.float32), ["one"])
