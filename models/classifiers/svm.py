"""Classifier 3: the linear support vector machine, one against the rest (seed 004, model 3)."""

from __future__ import annotations

from models.classifiers.base import LinearModel
from models.values import ClassifierName, Float32


class SvmClassifier(LinearModel):
    """One hyperplane a label; its score is the signed margin (1 = on the margin of that label)."""

    name: ClassifierName = "svm"

    def scores(self, logits: Float32) -> Float32:
        """The margins as they are."""
        return logits
