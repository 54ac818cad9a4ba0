"""The network with a temporary softmax head, and one epoch of its training.

Batch norm always works with its stored statistics: a catalogue is far too small to measure better ones, and the
served network uses the stored ones too. The head judges the normalised bottleneck, as the served classifiers do, and
starts as the linear probe of the start weights: a random head would first push the features about at random (Kumar et
al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022).

Keras is imported inside the functions only; nothing here depends on one of its backends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.backbone.network import load_keras
from models.backbone.preprocessing import normalise, scale_pixels
from models.classifiers.fcn import FcnClassifier
from models.training.finetune.maps import Maps
from models.training.finetune.photos import (
    ChosenPhotos,
    LabelledPhoto,
    balanced_order,
    drawn_view,
    made_ahead,
    plain_view,
    read_pixels,
)
from models.training.finetune.progress import Pace
from models.training.finetune.settings import FinetuneSettings
from models.values import BOTTLENECK_SIZE, Float32

_ROOT_FLOOR: Final = 1e-4
"""Added under the square root in training: its gradient at 0 is infinite, and zeros are common."""

_WARM_UP_SHARE: Final = 0.1
_CLIP_NORM: Final = 1.0
_BATCH: Final = 32
_LEAST_SPREAD: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """What makes bottlenecks fit for AdamW's steps: centred, and of unit variance on average.

    centre: float32 (2048,). spread: > 0; one number for all values.
    """

    centre: Float32
    spread: float

    @classmethod
    def of(cls, vectors: Float32) -> Scaling:
        """Of bottlenecks (n, 2048)."""
        return cls(vectors.mean(axis=0), max(float(np.sqrt(vectors.var(axis=0).mean())), _LEAST_SPREAD))


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """Where a body's inputs come from.

    body: what is trained: the whole network, or the part above the cut.
    maps: what the frozen part made of the photos; None where the whole network is trained, from pixels.
    """

    body: Any
    maps: Maps | None

    def taught(self, photos: Sequence[LabelledPhoto], draws: Sequence[int], settings: FinetuneSettings) -> Float32:
        """One augmented view a photo, decided by ``draws``, as the body's inputs."""
        if self.maps is not None:
            views = [draw % settings.views for draw in draws]
            return self.maps.drawn_batch([photo.content_hash for photo in photos], views)
        size, seed = settings.input_size, settings.seed
        views_made = [
            drawn_view(read_pixels(photo), photo.content_hash, (seed, draw), size)
            for photo, draw in zip(photos, draws, strict=True)
        ]
        return scale_pixels(np.stack(views_made))

    def vectors(
        self, photos: Sequence[LabelledPhoto], what: str = "", say: Callable[[str], None] = lambda line: None
    ) -> Float32:
        """Normalised bottlenecks (n, 2048) of the photos as they are served.

        what: said with the progress; nothing is said without.
        """
        pooled = np.empty((len(photos), BOTTLENECK_SIZE), np.float32)
        starts = range(0, len(photos), _BATCH)
        pace = Pace(what, len(photos), 0, say if what else lambda line: None)

        def batch(start: int) -> Float32:
            part = photos[start : start + _BATCH]
            if self.maps is not None:
                return self.maps.plain_batch([photo.content_hash for photo in part])
            return scale_pixels(np.stack([plain_view(photo) for photo in part]))

        for start, inputs in zip(starts, made_ahead(batch, starts), strict=True):
            pooled[start : start + len(inputs)] = np.asarray(self.body.predict_on_batch(inputs))
            pace.at(start + len(inputs))
        return normalise(pooled)


class Learner:
    """A body with its head, compiled and ready to train; ``feed.body`` is trained in place."""

    def __init__(
        self, feed: Feed, photos: ChosenPhotos, probe: FcnClassifier, scaling: Scaling, settings: FinetuneSettings
    ) -> None:
        """probe: fitted on the bottlenecks of the start weights; its labels are those trained. scaling: of those."""
        _, keras = load_keras()
        keras.utils.set_random_seed(settings.seed)
        self._feed, self._photos, self._settings = feed, photos, settings
        self._index = {label: i for i, label in enumerate(probe.labels)}
        self.steps = max(1, math.ceil(len(photos.taught) / settings.batch_size))
        self._scaling = scaling
        self._model = _with_head(keras, feed.body, len(probe.labels), scaling)
        self._model.head.set_weights([probe.weight * scaling.spread, probe.bias + scaling.centre @ probe.weight])
        self._model.compile(
            optimizer=keras.optimizers.AdamW(
                _schedule(keras, settings, self.steps), weight_decay=settings.weight_decay, clipnorm=_CLIP_NORM
            ),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing),
        )
        self._model.optimizer.build(self._model.trainable_variables)

    def epoch(self, number: int, say: Callable[[str], None]) -> float:
        """Train epoch ``number`` (0-based), which decides every draw; returns the mean training loss."""
        _, keras = load_keras()
        pace = Pace(f"epoch {number + 1}, steps", self.steps, 0, say)
        beat = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: pace.at(step + 1))
        history = self._model.fit(self._dataset(keras, number), shuffle=False, verbose=0, callbacks=[beat])
        return float(history.history["loss"][-1])

    def judge(self, photos: Sequence[LabelledPhoto]) -> tuple[float, float]:
        """(mean cross-entropy, Top-1) on photos as they are served; NaN without any."""
        if not photos:
            return float("nan"), float("nan")
        kernel, bias = (np.asarray(value, dtype=np.float64) for value in self._model.head.get_weights())
        logits = (self._feed.vectors(photos) - self._scaling.centre) / self._scaling.spread @ kernel + bias
        logits -= logits.max(axis=1, keepdims=True)
        codes = np.array([self._index[photo.label] for photo in photos])
        loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(codes)), codes]
        return float(loss.mean()), float((logits.argmax(axis=1) == codes).mean())

    def trained_values(self) -> list[Float32]:
        """What training changes in the network and its head."""
        return _numbers(self._model.trainable_variables)

    def optimizer_values(self) -> list[Any]:
        """The optimizer's state, the steps done included."""
        return _numbers(self._model.optimizer.variables)

    def restore(self, trained: Sequence[Float32], optimizer: Sequence[Any] | None = None) -> None:
        """Take back what the two methods above gave."""
        for variable, value in zip(self._model.trainable_variables, trained, strict=True):
            variable.assign(value)
        if optimizer is not None:
            for variable, value in zip(self._model.optimizer.variables, optimizer, strict=True):
                variable.assign(value)

    def _dataset(self, keras: Any, number: int) -> Any:
        """The batches of an epoch as a ``keras.utils.PyDataset``, made by two threads ahead of the training."""
        taught, settings, classes = self._photos.taught, self._settings, len(self._index)
        rng = np.random.default_rng([settings.seed, number])
        count = self.steps * settings.batch_size
        order = balanced_order([photo.label for photo in taught], count, rng)
        draws = rng.integers(2**31, size=count)
        codes = np.array([self._index[photo.label] for photo in taught])
        feed, steps, size = self._feed, self.steps, settings.batch_size

        class Epoch(keras.utils.PyDataset):
            def __len__(self) -> int:
                return steps

            def __getitem__(self, step: int) -> tuple[Float32, Float32]:
                part = slice(step * size, (step + 1) * size)
                rows = order[part]
                inputs = feed.taught([taught[i] for i in rows], [int(draw) for draw in draws[part]], settings)
                return inputs, np.eye(classes, dtype=np.float32)[codes[rows]]

        return Epoch(workers=2, use_multiprocessing=False, max_queue_size=4)


def _numbers(variables: Sequence[Any]) -> list[Any]:
    _, keras = load_keras()
    return [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _with_head(keras: Any, body: Any, classes: int, scaling: Scaling) -> Any:
    class Judge(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.head = keras.layers.Dense(classes)
            self.head.build((None, BOTTLENECK_SIZE))

        def call(self, inputs: Any) -> Any:
            # Said at every call: a False noted while a functional model is built is overridden by fit.
            pooled = self.body(inputs, training=False)
            root = keras.ops.sqrt(keras.ops.maximum(pooled, 0.0) + _ROOT_FLOOR)
            unit = root / keras.ops.norm(root, axis=-1, keepdims=True)
            return self.head((unit - scaling.centre) / scaling.spread)

    return Judge()


def _schedule(keras: Any, settings: FinetuneSettings, steps: int) -> Any:
    """Linear warm-up, then a cosine to 0 over all epochs."""
    total = steps * settings.epochs
    warm_up = max(1, round(_WARM_UP_SHARE * total))
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total - warm_up), warmup_target=settings.peak_rate, warmup_steps=warm_up
    )
