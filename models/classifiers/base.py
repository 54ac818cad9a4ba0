"""The role of a classifier, and what the two linear ones share."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleDamaged, UsageError
from models.values import BOTTLENECK_SIZE, TOP_K, ClassifierName, Float32, Prediction, Scored

_MAX_UNPACKED_BYTES = 2 * 2**30
"""What a saved classifier may grow to in memory: 200,000 labels and more; a crafted npz could unpack to anything."""


class Classifier(Protocol):
    """Names the most likely labels of a bottleneck. ``tests/contracts/classifier.py`` is its suite."""

    @property
    def name(self) -> ClassifierName:
        """``fcn``, ``knn`` or ``svm``."""
        ...

    def predict(self, vectors: Float32, within: frozenset[str] | None = None, k: int = TOP_K) -> list[Prediction]:
        """The best ``k`` labels of each photo.

        vectors: float32 (n, 2048), normalised bottlenecks; left untouched.
        within: only these labels compete (a category); None for all. Narrowing happens before the
            top-k, so ``k`` labels remain wherever the category has that many. An empty set names none.
        k: at least 1.
        Equal scores are ordered by label. :raise UsageError: wrong shape, NaN, or ``k`` below 1.
        """
        ...


def check_vectors(vectors: Float32, k: int) -> None:
    """Refuse what no classifier can judge.

    :raise UsageError: not (n, 2048), not finite, or ``k`` < 1.
    """
    if vectors.ndim != 2 or vectors.shape[1] != BOTTLENECK_SIZE:
        raise UsageError(f"expected bottlenecks of shape (n, {BOTTLENECK_SIZE}), got {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise UsageError("a bottleneck holds NaN or infinity; extract the photo again")
    if k < 1:
        raise UsageError(f"k must be at least 1, got {k}")


def best(
    logits: NDArray[np.floating], scores: NDArray[np.floating], labels: Sequence[str], k: int
) -> tuple[Scored, ...]:
    """The ``k`` labels of the largest ``logits`` (L,) with their ``scores`` (L,), best first; ties by label.

    Ordered by the logits: a softmax in float32 rounds far-off labels to one and the same 0. ``labels`` must be
    sorted, so that a stable sort leaves ties in label order.
    """
    order = np.argsort(-logits, kind="stable")[:k]
    return tuple(Scored(labels[i], float(scores[i])) for i in order)


class LinearModel:
    """Scores ``vectors @ weight + bias``, one column a label. Base of the FCN and the SVM.

    weight: float32 (2048, L). bias: float32 (L,). labels: L sorted, distinct.
    """

    name: ClassifierName

    def __init__(self, weight: Float32, bias: Float32, labels: Sequence[str]) -> None:
        if list(labels) != sorted(set(labels)):
            raise UsageError("labels of a linear model must be sorted and distinct")
        if weight.shape != (BOTTLENECK_SIZE, len(labels)) or bias.shape != (len(labels),):
            raise UsageError(
                f"expected weight ({BOTTLENECK_SIZE}, {len(labels)}) and bias ({len(labels)},), "
                f"got {weight.shape} and {bias.shape}"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise UsageError("a linear model's weights hold NaN or infinity; its training diverged, train again")
        self.weight = np.ascontiguousarray(weight, dtype=np.float32)
        self.bias = np.ascontiguousarray(bias, dtype=np.float32)
        self.labels = tuple(labels)
        self.known = frozenset(labels)

    def scores(self, logits: Float32) -> Float32:
        """The classifier's own score from the logits (n, competing labels); rises with the logit."""
        raise NotImplementedError

    def predict(self, vectors: Float32, within: frozenset[str] | None = None, k: int = TOP_K) -> list[Prediction]:
        """See ``Classifier.predict``."""
        check_vectors(vectors, k)
        competing: Sequence[str] = self.labels
        logits = vectors @ self.weight + self.bias
        if within is not None and not self.known <= within:
            columns = [i for i, label in enumerate(self.labels) if label in within]
            competing = [self.labels[i] for i in columns]
            logits = logits[:, columns]
        if not competing:
            return [Prediction(self.name, (), self.known) for _ in vectors]
        rows = zip(logits, self.scores(logits), strict=True)
        return [Prediction(self.name, best(*row, competing, k), self.known) for row in rows]

    def save(self, path: Path) -> None:
        """Write weight, bias and labels as npz (no pickle)."""
        np.savez(path, weight=self.weight, bias=self.bias, labels=np.array(self.labels, dtype=np.str_))

    @classmethod
    def load(cls, path: Path) -> LinearModel:
        """Read what ``save`` wrote.

        :raise BundleDamaged: not such a file, or one that would unpack to more than 2 GiB.
        """
        try:
            with zipfile.ZipFile(path) as packed:
                size = sum(member.file_size for member in packed.infolist())
            if size > _MAX_UNPACKED_BYTES:
                raise ValueError(f"it unpacks to {size} bytes, at most {_MAX_UNPACKED_BYTES} are expected")
            with np.load(path, allow_pickle=False) as data:
                return cls(data["weight"], data["bias"], [str(label) for label in data["labels"]])
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, UsageError) as error:
            raise BundleDamaged(f"{path.name} is not a saved classifier ({error}); train again") from error
