""" "This, in red": learning to move a photo by words, on the finished encoders.

A task is a photo, one of its columns with another value, and what fits: photos of the same kind with that value. The
model starts as photo plus words and learns what to take off and put on (after Vo et al., "Composing Text and Image for
Image Retrieval", CVPR 2019). TensorFlow is imported inside ``fit_refine`` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.backbone.network import load_keras
from models.multimodal.names import stem
from models.multimodal.shared import SHARED_SIZE, RefineModel, TextEncoder, unit
from models.training.shared.data import SLOTS, Facts, Ints, SharedData
from models.training.shared.learner import WORTH_COMPILING
from models.training.shared.rewording import with_fillers
from models.values import Float32

_CHANGED: Final = {"colour": 0.7, "brand": 0.15, "season": 0.0, "type": 0.15}
"""How often a task changes each column; a changed type keeps the colour."""

_KEPT: Final = {"colour": "type", "brand": "type", "type": "colour"}
_FILLED_SHARE: Final = 0.5
_SCALE: Final = 20.0
_START_WEIGHT: Final = 1.0


@dataclass(frozen=True, slots=True)
class RefineSettings:
    """steps of ``batch`` tasks against ``gallery`` photos each. hidden: rectified units. decay: AdamW's."""

    steps: int = 400
    batch: int = 256
    gallery: int = 2048
    hidden: int = 256
    learning_rate: float = 0.001
    decay: float = 0.01
    seed: int = 0


def plain_refine() -> RefineModel:
    """Photo plus words, nothing learned: where no column says enough to learn from."""
    return RefineModel(
        _START_WEIGHT,
        np.zeros((2 * SHARED_SIZE, 1), np.float32),
        np.zeros(1, np.float32),
        np.zeros((1, SHARED_SIZE), np.float32),
    )


class Tasks:
    """Draws tasks from listings with a photo. rows: int (n,). photos: float32 (n, d), where they lie."""

    def __init__(self, data: SharedData, rows: Ints, photos: Float32, text: TextEncoder, seed: int) -> None:
        self._facts = Facts.of([data.listings[row] for row in rows])
        self._photos = photos
        self._text = text
        self._random = np.random.default_rng(seed)
        self._slots = {slot: self._facts.codes[:, SLOTS.index(slot)] for slot in ("type", "colour", "brand")}
        self._values = {slot: self._values_by_kept(slot) for slot in _KEPT}
        self._usable = {slot: self._candidates(slot) for slot in _KEPT}

    @property
    def empty(self) -> bool:
        """Whether no task can be drawn."""
        return not any(len(rows) for rows in self._usable.values())

    def _candidates(self, slot: str) -> Ints:
        """Photos of whose kept value there are at least two values of the slot."""
        own, kept = self._slots[slot], self._slots[_KEPT[slot]]
        several = [k for k, values in self._values[slot].items() if len(values) > 1]
        return np.flatnonzero((own >= 0) & np.isin(kept, several))

    def _values_by_kept(self, slot: str) -> dict[int, Ints]:
        """For each value of the kept column, the slot's values that some photo has together with it, ascending."""
        own, kept = self._slots[slot], self._slots[_KEPT[slot]]
        known = (own >= 0) & (kept >= 0)
        return {int(k): np.unique(own[known & (kept == k)]) for k in np.unique(kept[known])}

    def draw(self, count: int, gallery: int) -> tuple[Float32, Float32, Float32, Float32]:
        """(photos (b, d), words (b, d), gallery (g, d), what fits (b, g)), b <= count."""
        chosen: list[tuple[int, str, int]] = []
        names = [slot for slot in _KEPT if len(self._usable[slot])]
        shares = np.array([_CHANGED[slot] for slot in names])
        for slot in self._random.choice(names, count, p=shares / shares.sum()):
            row = int(self._random.choice(self._usable[slot]))
            own, kept = self._slots[slot], self._slots[_KEPT[slot]]
            values = self._values[slot][int(kept[row])]
            chosen.append((row, str(slot), int(self._random.choice(values[values != own[row]]))))
        shown = self._random.choice(len(self._photos), min(gallery, len(self._photos)), replace=False)
        fits = np.zeros((count, len(shown)), np.float32)
        for place, (row, slot, value) in enumerate(chosen):
            own, kept = self._slots[slot][shown], self._slots[_KEPT[slot]]
            fits[place] = (own == value) & (kept[shown] == kept[row])
        asked = fits.any(axis=1)
        words = self._text.encode([self._said(slot, value) for _, slot, value in chosen])
        rows = np.array([row for row, _, _ in chosen])
        return self._photos[rows][asked], words[asked], self._photos[shown], fits[asked]

    def _said(self, slot: str, value: int) -> str:
        words = self._facts.values[slot][value].split()
        if self._random.random() < 0.5:
            words = [stem(word) for word in words]
        return " ".join(with_fillers(words, self._random) if self._random.random() < _FILLED_SHARE else words)


def fit_refine(tasks: Tasks, settings: RefineSettings) -> RefineModel:
    """Learn from drawn tasks; ``plain_refine`` where none can be drawn."""
    if tasks.empty:
        return plain_refine()
    tf, keras = load_keras()
    keras.utils.set_random_seed(settings.seed)
    hidden = keras.layers.Dense(settings.hidden, activation="relu")
    out = keras.layers.Dense(SHARED_SIZE, use_bias=False, kernel_initializer="zeros")
    hidden.build((None, 2 * SHARED_SIZE))
    out.build((None, settings.hidden))
    weight = keras.Variable(np.float32(_START_WEIGHT), name="weight")
    variables = [weight, *hidden.trainable_variables, *out.trainable_variables]
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.decay)
    optimizer.build(variables)

    flat = tf.TensorSpec([None, None], tf.float32)

    def step(photos: Any, words: Any, gallery: Any, fits: Any) -> Any:
        with tf.GradientTape() as tape:
            bent = out(hidden(tf.concat([photos, words], axis=1)))
            moved = tf.math.l2_normalize(photos + weight.value * words + bent, axis=1)
            target = fits / tf.reduce_sum(fits, axis=1, keepdims=True)
            told = tf.nn.log_softmax(_SCALE * tf.matmul(moved, gallery, transpose_b=True), axis=1)
            loss = -tf.reduce_mean(tf.reduce_sum(target * told, axis=1))
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    run = step if settings.steps < WORTH_COMPILING else tf.function(step, input_signature=[flat] * 4, autograph=False)
    for material in _drawn(tasks, settings):
        run(*material)
    kernel, bias = (np.asarray(v) for v in hidden.trainable_variables)
    model = RefineModel(float(np.asarray(weight)), kernel, bias, np.asarray(out.trainable_variables[0]))
    keras.backend.clear_session()
    return model


def _drawn(tasks: Tasks, settings: RefineSettings) -> Iterator[tuple[Float32, Float32, Float32, Float32]]:
    for _ in range(settings.steps):
        material = tasks.draw(settings.batch, settings.gallery)
        if len(material[0]):
            yield material


def photos_alone(photos: Float32, texts: Float32) -> Float32:
    """For comparison: the words are not heard."""
    return photos


def words_alone(photos: Float32, texts: Float32) -> Float32:
    """For comparison: the photo is not looked at."""
    return texts


def plain_sum(photos: Float32, texts: Float32) -> Float32:
    """For comparison: photo plus words."""
    return unit(photos + texts)
