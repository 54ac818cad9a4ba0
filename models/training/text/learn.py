"""Training the network of ``models.multimodal.network``: Adam in TensorFlow, tables by the rows that a step touches.

An ordinary optimiser moves every row of an embedding table every step; ours moves those that the batch names ("lazy"
Adam), which is what makes training take seconds: a step touches a few thousand of 50,000 rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.backbone.network import load_keras
from models.errors import NotEnoughData, UsageError
from models.multimodal.network import TABLES, Architecture, Inputs, Network, logits, trimmed
from models.training.text.rows import UNKNOWN, Answers, Codes, Encoded
from models.training.text.settings import TextSettings
from models.training.text.tensors import TensorOps
from models.values import BOTTLENECK_SIZE, Float32

_BETAS: Final = (0.9, 0.99)
_EPSILON: Final = 1e-8
_LEAST_STEPS: Final = 20
"""Steps an epoch at least: a small catalogue is gone through several times."""

_FIRST_SHARE: Final = 0.05
"""Of all steps, during which the learning rate rises to its height."""


class Learner:
    """One network in training: call ``epoch`` as often as ``settings.epochs`` says, then ``network``."""

    def __init__(
        self,
        encoded: Encoded,
        answers: Answers,
        settings: TextSettings,
        start: Mapping[str, Float32] | None = None,
        fixed: Sequence[str] = (),
    ) -> None:
        """answers: of the same rows. start: parameters to begin with instead of random ones, by name. fixed: beginnings
        of the names of those that stay as they are ("text/").

        :raise NotEnoughData: no row to learn from. :raise UsageError: rows and answers that do not fit.
        """
        if any(len(codes) != len(encoded) for codes in answers.codes.values()):
            raise UsageError(f"{len(encoded)} rows came with answers of other lengths")
        self._tf, keras = load_keras()
        keras.utils.set_random_seed(settings.seed)
        self._encoded, self._settings = encoded, settings
        self._random = np.random.default_rng(settings.seed)
        self.architecture = Architecture(
            settings.vocabulary,
            settings.buckets,
            settings.embedded,
            settings.width,
            settings.fusion,
            {head: len(names) for head, names in answers.names.items() if names},
        )
        if "type" not in self.architecture.heads:
            raise NotEnoughData("no row names a type or category often enough to learn it")
        self._answers = answers
        shown = encoded.rows.has_image & (settings.taught_with not in ("name", "name_masked"))
        self._shown = shown
        self._named = encoded.names.pieces[:, 0] > 0
        if settings.taught_with == "image":
            self._named = np.zeros_like(self._named)
        self.centre, self.scale = _scale(encoded.rows.images)
        self._steps = 0
        self._total = 0
        self._variables = _initial(self._tf, self.architecture, settings.seed, start or {})
        self._learned = [n for n in self._variables if not any(n.startswith(begin) for begin in fixed)]
        self._moments = {
            name: tuple(self._tf.Variable(self._tf.zeros_like(self._variables[name])) for _ in range(2))
            for name in self._learned
        }
        self._step = self._compiled()

    def epoch(self, used: NDArray[np.bool_] | None = None) -> float:
        """Go through the rows once; returns the mean loss.

        used: bool (n,), rows to learn from; all by default.
        :raise NotEnoughData: no row is left that gives an answer and shows what is taught with.
        """
        codes = self._answers.codes
        rows, weights = self._drawn_from(codes, used)
        steps = max(-(-len(rows) // self._settings.batch_size), _LEAST_STEPS)
        self._total = self._total or steps * self._settings.epochs
        count = steps * self._settings.batch_size
        if weights is None:  # every row about as often as any other
            order = np.concatenate([self._random.permutation(rows) for _ in range(-(-count // len(rows)))])[:count]
        else:
            order = self._random.choice(rows, size=count, p=weights)
        total = 0.0
        for batch in order.reshape(steps, -1):
            wanted = np.stack([codes[head][batch] for head in self.architecture.heads]).astype(np.int32)
            total += float(self._step(*self._batch(batch), wanted, self._rate(), np.float32(self._steps)))
        return total / steps

    def network(self) -> Network:
        """What has been learned so far."""
        parameters = {name: np.array(value.numpy()) for name, value in self._variables.items()}
        return Network(self.architecture, parameters, self.centre, self.scale)

    def _drawn_from(
        self, codes: Mapping[str, Codes], used: NDArray[np.bool_] | None
    ) -> tuple[Codes, NDArray[np.float64] | None]:
        """(rows that can teach, their chances; None where all are alike)."""
        can = (self._named | self._shown) & np.any([codes[h] != UNKNOWN for h in self.architecture.heads], axis=0)
        rows = np.flatnonzero(can if used is None else can & used)
        if not len(rows):
            raise NotEnoughData("no row has a name or a picture and says of what type it is: nothing to learn from")
        weights = np.where(self._shown[rows] & self._named[rows], self._settings.image_weight, 1.0)
        if self._settings.balance:
            weights = weights * _rarity(codes["type"][rows], self._settings.balance)
        if self._settings.even_months:
            months = np.array([month or "" for month in self._encoded.rows.months], dtype=np.str_)[rows]
            weights = weights * _rarity(np.unique(months, return_inverse=True)[1], 1.0)
        return rows, None if np.ptp(weights) == 0 else weights / weights.sum()

    def _batch(self, rows: Codes) -> tuple[Any, ...]:
        """The arrays of a step, with what is hidden from it left out."""
        settings, chance = self._settings, self._random.random((4, len(rows)))
        masked = chance[0] < (1.0 if settings.taught_with.endswith("masked") else settings.masked)
        names, bare = self._encoded.names, self._encoded.masked
        pieces = np.where(masked[:, None], bare.pieces[rows], names.pieces[rows])
        extras = np.where(masked[:, None], bare.extras[rows], names.extras[rows])
        if settings.word_dropout:
            pieces = pieces * (self._random.random(pieces.shape) >= settings.word_dropout)
            extras = extras * (self._random.random(extras.shape) >= settings.word_dropout)
        both = self._named[rows] & self._shown[rows]
        named = self._named[rows] & ~(both & (chance[1] < settings.leave_out))
        shown = self._shown[rows] & ~(
            both & named & (chance[2] < settings.leave_out / max(1e-9, 1 - settings.leave_out))
        )
        images = (self._encoded.rows.vectors(rows[shown]) - self.centre) / np.float32(self.scale)
        return (
            trimmed(pieces.astype(np.int32)),
            trimmed(extras.astype(np.int32)),
            (named & (pieces > 0).any(axis=1))[:, None].astype(np.float32),
            images,
            np.where(shown, np.cumsum(shown), 0).astype(np.int32),
        )

    def _rate(self) -> Any:
        """The learning rate of the next step: up in a line, down along a cosine."""
        self._steps += 1
        share = min(self._steps / max(self._total, 1), 1.0)
        rise = min(share / _FIRST_SHARE, 1.0)
        return np.float32(self._settings.learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * share)))

    def _compiled(self) -> Any:
        """The step as a graph; batches differ in length, so no dimension is fixed but the bottlenecks'."""
        tf = self._tf
        return tf.function(
            self._step_eagerly,
            autograph=False,
            input_signature=[
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None, 1], tf.float32),
                tf.TensorSpec([None, BOTTLENECK_SIZE], tf.float32),
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([len(self.architecture.heads), None], tf.int32),
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([], tf.float32),
            ],
        )

    def _step_eagerly(
        self, pieces: Any, extras: Any, named: Any, images: Any, image_rows: Any, wanted: Any, rate: Any, step: Any
    ) -> Any:
        tf = self._tf
        inputs = Inputs(pieces, extras, named, images, image_rows)
        with tf.GradientTape() as tape:
            told = logits(TensorOps(tf, self._settings.dropout), self.architecture, self._variables, inputs)
            loss = tf.constant(0.0)
            for number, (head, answers) in enumerate(self.architecture.heads.items()):
                weight = self._settings.heads.get(head, self._settings.levels)
                loss += weight * _cross_entropy(tf, told[head], wanted[number], answers, self._settings.smoothing)
        learned = [self._variables[name] for name in self._learned]
        for name, variable, gradient in zip(self._learned, learned, tape.gradient(loss, learned), strict=True):
            if gradient is not None:
                self._move(name, variable, gradient, rate, step)
        return loss

    def _move(self, name: str, variable: Any, gradient: Any, rate: Any, step: Any) -> None:
        """One step of AdamW; of a table only the rows in the gradient."""
        tf = self._tf
        first, second = self._moments[name]
        scale = rate * tf.sqrt(1.0 - _BETAS[1] ** step) / (1.0 - _BETAS[0] ** step)
        if isinstance(gradient, tf.IndexedSlices):
            rows, places = tf.unique(tf.reshape(gradient.indices, [-1]))
            slope = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
            m = _BETAS[0] * tf.gather(first, rows) + (1.0 - _BETAS[0]) * slope
            v = _BETAS[1] * tf.gather(second, rows) + (1.0 - _BETAS[1]) * slope**2
            first.scatter_update(tf.IndexedSlices(m, rows))
            second.scatter_update(tf.IndexedSlices(v, rows))
            variable.scatter_sub(tf.IndexedSlices(scale * m / (tf.sqrt(v) + _EPSILON), rows))
            return
        first.assign(_BETAS[0] * first + (1.0 - _BETAS[0]) * gradient)
        second.assign(_BETAS[1] * second + (1.0 - _BETAS[1]) * gradient**2)
        fading = rate * self._settings.decay if len(variable.shape) > 1 and name not in TABLES else 0.0
        variable.assign_sub(scale * first / (tf.sqrt(second) + _EPSILON) + fading * variable)


def learn(
    encoded: Encoded,
    answers: Answers,
    settings: TextSettings,
    used: NDArray[np.bool_] | None = None,
    start: Mapping[str, Float32] | None = None,
    fixed: Sequence[str] = (),
) -> Network:
    """Train one network as the settings say. used: bool (n,), rows to learn from; all by default. start, fixed, and
    what is raised: see ``Learner``.
    """
    learner = Learner(encoded, answers, settings, start, fixed)
    for _ in range(settings.epochs):
        learner.epoch(used=used)
    return learner.network()


def _cross_entropy(tf: Any, told: Any, codes: Any, answers: int, smoothing: float) -> Any:
    """Mean over the batch, rows without an answer counting 0."""
    known = tf.cast(codes != UNKNOWN, tf.float32)
    wanted = tf.one_hot(codes, answers) * (1.0 - smoothing) + smoothing / answers
    losses = tf.nn.softmax_cross_entropy_with_logits(labels=wanted, logits=told)
    return tf.reduce_sum(losses * known) / tf.cast(tf.shape(codes)[0], tf.float32)


def _rarity(codes: NDArray[Any], exponent: float) -> NDArray[np.float64]:
    """(n,): inverse frequency of each row's value to the exponent; unknown ones count as one value."""
    _, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    return np.asarray((1.0 / counts[places]) ** exponent)


def _scale(images: Float32) -> tuple[Float32, float]:
    """What standardises bottlenecks, so that a value has unit variance on average."""
    if not len(images):
        return np.zeros(BOTTLENECK_SIZE, np.float32), 1.0
    centre = np.asarray(images.mean(axis=0), np.float32)
    return centre, max(float(np.sqrt(images.var(axis=0).mean())), 1e-6)


def _initial(tf: Any, architecture: Architecture, seed: int, start: Mapping[str, Float32]) -> dict[str, Any]:
    """Glorot's uniform for matrices, small values for tables, zeros for vectors and heads."""
    random = np.random.default_rng(seed)
    variables = {}
    for name, shape in architecture.shapes().items():
        if name in start:
            value = np.asarray(start[name], np.float32)
        elif len(shape) == 1:
            value = np.zeros(shape, np.float32)
        else:
            bound = 0.5 / math.sqrt(shape[1]) if name in TABLES else math.sqrt(6.0 / sum(shape))
            value = random.uniform(-bound, bound, shape).astype(np.float32)
        variables[name] = tf.Variable(value)
    return variables
