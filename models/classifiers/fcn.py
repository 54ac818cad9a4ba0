"""Classifier 1: the fully connected network with softmax on the bottleneck (seed 004, model 1)."""

from __future__ import annotations

import numpy as np

from models.classifiers.base import LinearModel
from models.values import ClassifierName, Float32


class FcnClassifier(LinearModel):
    """One fully connected layer and a softmax; its score is a probability in [0, 1].

    Narrowed to a category, the softmax runs over that category's labels alone: the probability
    given that the product is one of them.
    """

    name: ClassifierName = "fcn"

    def scores(self, logits: Float32) -> Float32:
        """Softmax of the logits (n, L) along the labels."""
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)
