"""Fitting the FCN with Keras on stored bottlenecks (seed 004: learning rate 0.001, batches of 100).

TensorFlow is imported inside ``fit_fcn`` only. Early stopping replaces the paper's 1,000,000 fixed
steps; ``FcnSettings.paper()`` gives the paper's setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.backbone.network import load_keras
from models.classifiers.fcn import FcnClassifier
from models.errors import NotEnoughData
from models.values import Float32

_Coded = tuple[Float32, NDArray[np.int_]]
"""Standardised bottlenecks (n, 2048) and label numbers (n,)."""


_LEAST_STEPS_AN_EPOCH = 50
"""Small catalogues are repeated within an epoch, so that looking at the validation photos costs little."""

_LEAST_GAIN = 1e-3
"""A validation loss counts as better when it is lower by this much."""


@dataclass(frozen=True, slots=True)
class FcnSettings:
    """How to fit.

    learning_rate: Adam's. batch_size: photos a step. max_steps: gradient steps at most, rounded to whole
        epochs, one at least.
    patience: epochs without a better validation loss before it stops; 0 never stops early.
    dropout: share of bottleneck values dropped in training. label_smoothing: 0..1.
    """

    learning_rate: float = 0.001
    batch_size: int = 100
    max_steps: int = 20_000
    patience: int = 5
    dropout: float = 0.0
    label_smoothing: float = 0.0
    seed: int = 0

    @classmethod
    def paper(cls) -> FcnSettings:
        """Seed 004's setting: 1,000,000 steps at 0.001 in batches of 100, no early stop, plain softmax."""
        return cls(max_steps=1_000_000, patience=0)


@dataclass(frozen=True, slots=True)
class FcnFit:
    """A fitted FCN.

    steps: gradient steps done; best_steps: those up to the kept epoch.
    history: (training loss, validation loss, validation Top-1) an epoch.
    """

    model: FcnClassifier
    steps: int
    best_steps: int
    history: tuple[tuple[float, float, float], ...]


def fit_fcn(
    training: tuple[Float32, Sequence[str]],
    validation: tuple[Float32, Sequence[str]] | None,
    settings: FcnSettings | None = None,
) -> FcnFit:
    """Fit one dense softmax layer; the epoch with the best validation loss is kept.

    training, validation: (vectors float32 (n, 2048), n labels) each; validation labels that do not
    occur in training are left out. Without validation photos all ``max_steps`` are done and kept.
    :raise NotEnoughData: fewer than two labels, or no validation photo of a trained label.
    """
    settings = settings or FcnSettings()
    names = sorted(set(training[1]))
    if len(names) < 2:
        raise NotEnoughData(f"the FCN needs photos of at least two labels, got {len(names)}")
    index = {name: i for i, name in enumerate(names)}
    centre, scale = training[0].mean(axis=0), _scale(training[0])
    held: _Coded | None = None
    if validation is not None:
        usable = [i for i, label in enumerate(validation[1]) if label in index]
        if not usable:
            raise NotEnoughData("no validation photo shows a trained label; add photos or merge labels")
        codes = np.array([index[validation[1][i]] for i in usable])
        held = ((validation[0][usable] - centre) / scale, codes)
    taught = ((training[0] - centre) / scale, np.array([index[label] for label in training[1]]))
    (weight, bias), history = _run(taught, held, len(names), settings)
    weight = weight / scale
    steps_an_epoch = _steps_an_epoch(len(training[1]), settings)
    stopped_early = validation is not None and settings.patience > 0
    best = _best_epoch(history) if stopped_early else len(history)
    return FcnFit(
        FcnClassifier(weight, bias - centre @ weight, names),
        len(history) * steps_an_epoch,
        best * steps_an_epoch,
        tuple(history),
    )


def _best_epoch(history: Sequence[tuple[float, float, float]]) -> int:
    """The 1-based epoch that early stopping keeps: the last one that lowered the loss by ``_LEAST_GAIN``."""
    best, least = 1, float("inf")
    for epoch, (_, loss, _) in enumerate(history, start=1):
        if loss < least - _LEAST_GAIN:
            best, least = epoch, loss
    return best


def _steps_an_epoch(photos: int, settings: FcnSettings) -> int:
    whole = -(-photos // settings.batch_size)
    return min(max(whole, _LEAST_STEPS_AN_EPOCH), settings.max_steps)


def _scale(vectors: Float32) -> float:
    """One scale for all values, so that a standardised bottleneck has unit variance on average."""
    return float(max(np.sqrt(vectors.var(axis=0).mean()), 1e-6))


def _run(
    training: _Coded, validation: _Coded | None, n_labels: int, settings: FcnSettings
) -> tuple[tuple[Float32, Float32], list[tuple[float, float, float]]]:
    """Train in Keras; returns (weight, bias) in standardised coordinates and the history."""
    tf, keras = load_keras()
    keras.utils.set_random_seed(settings.seed)
    model = keras.Sequential(
        [
            keras.Input((training[0].shape[1],)),
            keras.layers.Dropout(settings.dropout, seed=settings.seed),
            keras.layers.Dense(n_labels, kernel_initializer="zeros"),
        ]
    )
    steps = _steps_an_epoch(len(training[1]), settings)
    model.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing),
        steps_per_execution=steps,  # one call into TensorFlow an epoch: a quarter faster, the same result
    )
    # Row numbers are shuffled and whole batches gathered: handling photos one by one takes ten times as long.
    vectors, codes = tf.constant(training[0]), tf.constant(training[1])
    data = (
        tf.data.Dataset.range(len(training[1]))
        .shuffle(len(training[1]), seed=settings.seed)
        .repeat()
        .batch(settings.batch_size)
        .map(lambda rows: (tf.gather(vectors, rows), tf.one_hot(tf.gather(codes, rows), n_labels)))
        .prefetch(2)
    )
    history: list[tuple[float, float, float]] = []

    def look(epoch: int, logs: dict[str, float]) -> None:
        # In numpy: Keras would build a data pipeline anew for these few photos after every epoch.
        loss, top1 = _validate(model.layers[-1].get_weights(), validation)
        logs["val_loss"] = loss
        history.append((float(logs["loss"]), loss, top1))

    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=look)]
    if validation is not None and settings.patience:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_loss", min_delta=_LEAST_GAIN, patience=settings.patience, restore_best_weights=True
            )
        )
    model.fit(
        data,
        epochs=max(1, round(settings.max_steps / steps)),
        steps_per_epoch=steps,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    weight, bias = model.layers[-1].get_weights()
    keras.backend.clear_session()
    return (weight, bias), history


def _validate(weights: Sequence[Float32], validation: _Coded | None) -> tuple[float, float]:
    """(mean cross-entropy, Top-1) on the validation photos; NaN without any."""
    if validation is None:
        return float("nan"), float("nan")
    vectors, codes = validation
    logits = (vectors @ weights[0] + weights[1]).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    own = logits[np.arange(len(codes)), codes]
    loss = np.log(np.exp(logits).sum(axis=1)) - own
    return float(loss.mean()), float((logits.argmax(axis=1) == codes).mean())
