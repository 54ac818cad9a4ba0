"""Refurbishing labels while learning, in the style of SELFIE.

Song, Kim and Lee, "SELFIE: Refurbishing Unclean Samples for Robust Deep Learning", ICML 2019: after a warm-up, a
photo is *refurbishable* where its predictions over the last epochs hardly vary (low entropy of their history), and
bears the label most predicted; *clean* is the share of photos with the lowest loss; learning goes on with both.
Differences, as our network is one dense layer on frozen bottlenecks:

- It learns in a few epochs what a deep network learns in a hundred, so warm-up and history are short. Ours are 5 epochs
  each, of 20, at a low rate: later it has memorised the wrong labels too.
- Clean photos are chosen once an epoch over all photos, not in each batch: their losses cost one matrix product.
- The noise rate, which the paper takes as known, is estimated by confident learning.
- The paper's restarts are our final fits: FCN and SVM learn anew, from the start, from the labels this ends with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError
from models.values import Float32

Codes = NDArray[np.intp]

_LEAST_STEPS_AN_EPOCH: Final = 50
_BETAS: Final = (0.9, 0.999)
_EPSILON: Final = 1e-7


@dataclass(frozen=True, slots=True)
class SelfieSettings:
    """How to refurbish.

    learning_rate: Adam's. batch_size: photos a step. epochs: of at least 50 steps. warm_up: epochs on all photos as
    they are labelled. history: epochs whose predictions are compared. entropy: highest entropy of a refurbishable
    photo's history, as a share of the most there can be (0..1).
    """

    learning_rate: float = 0.0003
    batch_size: int = 100
    epochs: int = 20
    warm_up: int = 5
    history: int = 5
    entropy: float = 0.05
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Refurbished:
    """What to learn from.

    labels: intp (n,), refurbished where that was possible, else as given. used: bool (n,), clean or refurbishable.
    losses: float64 (n,), of the given label, summed over the epochs; large is suspicious.
    """

    labels: Codes
    used: NDArray[np.bool_]
    losses: NDArray[np.float64]


def history_entropy(history: Sequence[Codes], n_labels: int) -> tuple[NDArray[np.float64], Codes]:
    """(entropy of each photo's predictions over the epochs as a share of the most possible, the most frequent one).

    history: predicted labels intp (n,), one array an epoch. Equally frequent labels go by number.
    """
    told = np.stack(history)
    n = told.shape[1]
    best = np.zeros(n, np.intp)
    most = np.zeros(n)
    entropy = np.zeros(n)
    for row in told:
        share = (told == row).mean(axis=0)
        better = (share > most) | ((share == most) & (row < best))
        best, most = np.where(better, row, best), np.where(better, share, most)
        entropy -= np.log(share) / len(told)  # each label is met as often as it occurs
    return entropy / np.log(max(n_labels, 2)), best


def clean_photos(losses: NDArray[np.float64], noise: float) -> NDArray[np.bool_]:
    """bool (n,): the share 1 - noise of the photos with the lowest loss."""
    clean = np.zeros(len(losses), dtype=bool)
    clean[np.argsort(losses, kind="stable")[: round((1.0 - noise) * len(losses))]] = True
    return clean


def refurbish(
    vectors: Float32, given: Codes, n_labels: int, noise: float, settings: SelfieSettings | None = None
) -> Refurbished:
    """Learn for some epochs and say which labels to learn from.

    vectors: float32 (n, d), bottlenecks. given: intp (n,), below ``n_labels``. noise: estimated share of wrong labels.
    :raise UsageError: no photo, a noise outside 0..1, or labels that do not fit.
    """
    settings = settings or SelfieSettings()
    if not len(vectors) or len(vectors) != len(given) or not 0.0 <= noise <= 1.0:
        raise UsageError(
            f"expected photos, as many labels and a noise in 0..1; got {len(vectors)}, {len(given)}, {noise}"
        )
    learner = _Softmax(vectors, n_labels, settings)
    labels, used = given.copy(), np.ones(len(given), dtype=bool)
    history: list[Codes] = []
    total = np.zeros(len(given))
    for epoch in range(1, settings.epochs + 1):
        learner.epoch(np.flatnonzero(used), labels)
        losses, predicted = learner.look(given)
        total += losses
        history = [*history, predicted][-settings.history :]
        if epoch >= settings.warm_up:
            entropy, frequent = history_entropy(history, n_labels)
            steady = entropy <= settings.entropy
            labels = np.where(steady, frequent, given)
            used = steady | clean_photos(losses, noise)
    return Refurbished(labels, used, total)


class _Softmax:
    """One dense layer and a softmax, from zero, by Adam; the arithmetic of the FCN, held open after each epoch."""

    def __init__(self, vectors: Float32, n_labels: int, settings: SelfieSettings) -> None:
        centred = vectors - vectors.mean(axis=0)
        scale = max(float(np.sqrt((centred**2).mean())), _EPSILON)
        ones = np.ones((len(vectors), 1), np.float32)
        self._design = np.hstack([centred / np.float32(scale), ones]).astype(np.float32)
        self._weight = np.zeros((self._design.shape[1], n_labels), np.float32)
        self._moments = [np.zeros_like(self._weight), np.zeros_like(self._weight)]
        self._random = np.random.default_rng(settings.seed)
        self._settings = settings
        self._step = 0

    def epoch(self, rows: Codes, labels: Codes) -> None:
        """Go through the photos ``rows`` in random order, several times where there are few."""
        size = min(self._settings.batch_size, len(rows))
        steps = max(-(-len(rows) // size), _LEAST_STEPS_AN_EPOCH)
        rounds = -(-steps * size // len(rows))
        order = np.concatenate([self._random.permutation(rows) for _ in range(rounds)])[: steps * size]
        for batch in order.reshape(steps, size):
            self._learn(batch, labels[batch])

    def _learn(self, batch: Codes, labels: Codes) -> None:
        taken = self._design[batch]
        gap = _softmax(taken @ self._weight)
        gap[np.arange(len(batch)), labels] -= 1.0
        gradient = taken.T @ gap / np.float32(len(batch))
        self._step += 1
        first, second = self._moments
        first += np.float32(1.0 - _BETAS[0]) * (gradient - first)
        second += np.float32(1.0 - _BETAS[1]) * (gradient**2 - second)
        rate = self._settings.learning_rate * np.sqrt(1.0 - _BETAS[1] ** self._step) / (1.0 - _BETAS[0] ** self._step)
        self._weight -= np.float32(rate) * first / (np.sqrt(second) + np.float32(_EPSILON))

    def look(self, given: Codes) -> tuple[NDArray[np.float64], Codes]:
        """(loss of the given labels, label predicted) of every photo."""
        probabilities = _softmax(self._design @ self._weight)
        own = probabilities[np.arange(len(given)), given].astype(np.float64)
        return -np.log(np.maximum(own, 1e-12)), np.asarray(probabilities.argmax(axis=1), dtype=np.intp)


def _softmax(logits: Float32) -> Float32:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
