"""The fixed projection from 2,048 to 256 values that the approximate k-NN index searches.

It belongs to the backbone and no training ever refits it, so a retrain touches no stored vector. Packed
weights bring one that was fitted when they were made (``Projection.fitted``). For all others it is a
seeded random orthogonal matrix: by the Johnson-Lindenstrauss lemma it keeps Euclidean distances to
within about ``sqrt(2 / 256)`` = 9 %, whatever the photos show, which is enough to *find* the 200
candidates that are then ranked by their full vectors.

Measured with real photos (2,640 reference photos of 81 labels, 296 queries): of the five labels an exact
search names, the nearest 200 by projection hold 99.9 % (nearest 50: 93 %); searching by the projection
alone, without the second ranking, would cost 2 to 5 points of Top-1. PCA fitted on other photos of the same
kind holds 100 % of them, but PCA fitted on a few that are less typical only 98.8 %: it depends on what was
shown, the random matrix does not.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.errors import BackboneError, UsageError
from models.values import BOTTLENECK_SIZE, PROJECTED_SIZE, Float32

PROJECTION_SEED: Final = 20190420
PROJECTION_RECIPE: Final = "gaussian-qr-orthogonal|2048x256|v1"
_GRID: Final = float(2**16)
"""Random entries are rounded to this grid, so that a last bit of the QR on another machine changes nothing."""

_ROWS_AT_A_TIME: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """matrix: float32 (2048, 256); columns orthogonal, of length ``sqrt(2048 / 256)`` where they are random and
    1 where they were fitted. No comparison crosses projections, so the two scales never meet."""

    matrix: Float32

    @classmethod
    def random_orthogonal(cls, seed: int = PROJECTION_SEED) -> Projection:
        """The Q of a Gaussian matrix's QR, scaled to keep the expected distance.

        Signs are fixed so that R has a positive diagonal, which makes Q unique.
        """
        gaussian = np.random.default_rng(seed).standard_normal((BOTTLENECK_SIZE, PROJECTED_SIZE))
        q, r = np.linalg.qr(gaussian)
        scaled = q * np.sign(np.diag(r)) * np.sqrt(BOTTLENECK_SIZE / PROJECTED_SIZE)
        return cls((np.round(scaled * _GRID) / _GRID).astype(np.float32))

    @classmethod
    def fitted(cls, vectors: Float32) -> Projection:
        """The plane that keeps most of the vectors: the leading 256 right singular vectors, not centred.

        The mean is not subtracted: differences lose it anyway, and a matrix product is all that is left to do
        for a query. Columns are orthonormal, so distances are approximated from below. Their signs are fixed
        (the entry of largest magnitude is positive) and their entries rounded to float16, in which packed
        weights keep them without loss; rounding may stretch a distance by about 0.02 %.

        Fitted once when a backbone is made, never by training.

        vectors: float32 (n, 2048), n >= 256, finite: bottlenecks of photos the backbone may be fitted on.
        :raise UsageError: fewer vectors, another shape, NaN or infinity.
        """
        if vectors.ndim != 2 or vectors.shape[1] != BOTTLENECK_SIZE or len(vectors) < PROJECTED_SIZE:
            raise UsageError(
                f"vectors of shape {vectors.shape} came; expected (n, {BOTTLENECK_SIZE}) with n >= {PROJECTED_SIZE}"
            )
        if not np.isfinite(vectors).all():
            raise UsageError("the vectors to fit a projection on hold NaN or infinity; extract them again")
        moments = np.zeros((BOTTLENECK_SIZE, BOTTLENECK_SIZE))
        for start in range(0, len(vectors), _ROWS_AT_A_TIME):  # in float64, a part at a time
            part = np.asarray(vectors[start : start + _ROWS_AT_A_TIME], dtype=np.float64)
            moments += part.T @ part
        _, directions = np.linalg.eigh(moments)  # eigenvalues ascending
        leading = directions[:, : -PROJECTED_SIZE - 1 : -1]
        peaks = leading[np.abs(leading).argmax(axis=0), np.arange(PROJECTED_SIZE)]
        return cls(np.ascontiguousarray(leading * np.sign(peaks)).astype(np.float16).astype(np.float32))

    @property
    def sha256(self) -> str:
        """SHA-256 of the values (little-endian float32, row by row), 64 hex digits."""
        return hashlib.sha256(np.ascontiguousarray(self.matrix, dtype="<f4").tobytes()).hexdigest()

    def apply(self, vectors: Float32) -> Float32:
        """Project normalised bottlenecks.

        vectors: float32 (n, 2048); left untouched.
        Returns float32 (n, 256); Euclidean distances approximate those of ``vectors``.
        :raise UsageError: another shape.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.matrix.shape[0]:
            raise UsageError(f"vectors of shape {vectors.shape} came; expected (n, {self.matrix.shape[0]})")
        projected: Float32 = np.asarray(vectors, dtype=np.float32) @ self.matrix
        return projected

    def save(self, path: Path) -> None:
        """Write ``path`` as npz (no pickle)."""
        with path.open("wb") as file:
            np.savez(file, matrix=self.matrix)

    @classmethod
    def load(cls, path: Path, expected_sha256: str) -> Projection:
        """The projection in ``path``.

        :raise BackboneError: unreadable, of another shape, or not the one of ``expected_sha256``.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                matrix = np.asarray(stored["matrix"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BackboneError(f"{path} is not a readable projection: {error}") from error
        if matrix.shape != (BOTTLENECK_SIZE, PROJECTED_SIZE) or matrix.dtype != np.float32:
            raise BackboneError(
                f"{path} holds {matrix.dtype} {matrix.shape}; expected float32 {(BOTTLENECK_SIZE, PROJECTED_SIZE)}"
            )
        projection = cls(matrix)
        if projection.sha256 != expected_sha256:
            raise BackboneError(
                f"{path} has SHA-256 {projection.sha256}, expected {expected_sha256}: it belongs to another "
                "backbone; prepare it again with `make train-bottlenecks`"
            )
        return projection
