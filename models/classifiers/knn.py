"""Classifier 2: k nearest labels by the Euclidean distance of their nearest photo (seed 004, model 2)."""

from __future__ import annotations

from models.classifiers.base import check_vectors
from models.values import TOP_K, ClassifierName, Float32, Neighbours, Prediction, Scored


class KnnClassifier:
    """Names the labels whose reference photos lie nearest; the memory is live, nothing is trained.

    Its score is ``1 - d^2 / 2`` for the Euclidean distance d: on unit vectors that is their cosine,
    in [0, 1] for bottlenecks, which are never negative.
    """

    name: ClassifierName = "knn"

    def __init__(self, neighbours: Neighbours) -> None:
        self.neighbours = neighbours

    def predict(self, vectors: Float32, within: frozenset[str] | None = None, k: int = TOP_K) -> list[Prediction]:
        """See ``Classifier.predict``; ``known`` is None: whatever has a photo can be named."""
        check_vectors(vectors, k)
        return [
            Prediction(
                self.name,
                tuple(Scored(label, 1.0 - distance * distance / 2.0) for label, distance in found),
                None,
            )
            for found in self.neighbours.nearest(vectors, k, within)
        ]
