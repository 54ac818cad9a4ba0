"""The type of a product (shirt, milk, ...) from its photos' bottlenecks, for rows that give none.

Prediction is one matrix product; ``models.training.fit.types`` fits it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from models.errors import BundleDamaged, UsageError
from models.values import BOTTLENECK_SIZE, Float32

_FORMAT: Final = 1

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TypeGuess:
    """A predicted type and the estimated probability in [0, 1] that it is right."""

    type: str
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class TypeModel:
    """A fitted model.

    types: what it can name, sorted; empty where too little was known: it then abstains always.
    weights: float32 (2048, len(types)); bias: float32 (len(types),).
    temperature: logits are divided by it, > 0.
    """

    types: tuple[str, ...]
    weights: Float32
    bias: Float32
    temperature: float

    def probabilities(self, vectors: Float32) -> Float64:
        """float64 (n, len(types)) of float32 (n, 2048) unit-length vectors; rows sum to 1.

        :raise UsageError: another shape.
        """
        check_vectors(vectors)
        logits = (vectors @ self.weights + self.bias).astype(np.float64)
        return softmax(logits / self.temperature, axis=1) if self.types else logits

    def predict(self, vectors: Float32) -> list[TypeGuess | None]:
        """One guess a photo; None where the model abstains. Ties go to the type that sorts first."""
        return [self._best(row) for row in self.probabilities(vectors)]

    def predict_product(self, vectors: Float32) -> TypeGuess | None:
        """One guess for a product from all its photos, float32 (m, 2048): the mean of their probabilities.

        None where the model abstains or no photo came.
        """
        return self._best(self.probabilities(vectors).mean(axis=0)) if len(vectors) else None

    def _best(self, row: Float64) -> TypeGuess | None:
        if not self.types:
            return None
        best = int(row.argmax())
        return TypeGuess(self.types[best], float(row[best]))

    def save(self, path: Path) -> None:
        """Write one ``.npz`` of plain arrays (no pickle)."""
        with path.open("wb") as file:
            np.savez(
                file,
                format=np.array(_FORMAT),
                types=np.array(self.types, dtype=np.str_),
                weights=self.weights,
                bias=self.bias,
                temperature=np.array(self.temperature),
            )

    @classmethod
    def load(cls, path: Path) -> TypeModel:
        """Read what ``save`` wrote; it predicts exactly alike.

        :raise BundleDamaged: the file is missing, cut off, or not a type model.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                if int(data["format"]) != _FORMAT:
                    raise BundleDamaged(f"{path.name} has format {data['format']}; this version reads {_FORMAT}.")
                types = tuple(str(name) for name in data["types"])
                model = cls(types, data["weights"], data["bias"], float(data["temperature"]))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as cause:
            raise BundleDamaged(f"{path.name} is not a readable type model. Train again.") from cause
        if model.weights.shape != (BOTTLENECK_SIZE, len(types)) or model.bias.shape != (len(types),):
            raise BundleDamaged(f"{path.name}: weights {model.weights.shape} do not fit {len(types)} types.")
        return model


def check_vectors(vectors: Float32) -> None:
    """:raise UsageError: not (n, 2048)."""
    if vectors.ndim != 2 or vectors.shape[1] != BOTTLENECK_SIZE:
        raise UsageError(f"vectors have shape {vectors.shape}; expected (n, {BOTTLENECK_SIZE}).")
