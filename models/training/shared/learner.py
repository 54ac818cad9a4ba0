"""Contrastive training of the two encoders (seed 002, e-CLIP; Radford et al., "CLIP", ICML 2021). TensorFlow is
imported inside ``fit_encoders`` only.

A step takes a batch of listings with photos and one of listings without, and asks two questions:

- names: which name belongs to which photo? n listings of one product in the batch share the target, 1/n each.
- captions: which captions (``captions``) fit which photo, and which name? A caption that fits n of them has n targets
  of 1/n, and likewise a photo that n captions fit. Names stand beside photos as answers, so that both are drawn to
  where the words lie, and listings without a photo teach words too.

Each is a cross-entropy in both directions, over cosines times a learned scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.backbone.network import load_keras
from models.errors import NotEnoughData
from models.multimodal.shared import SHARED_SIZE, ImageEncoder, TextEncoder
from models.multimodal.subwords import Pieces, Subwords
from models.training.shared.batches import BatchMaker, Variant, name_targets
from models.training.shared.captions import CaptionMaker
from models.training.shared.data import Facts, Ints, SharedData
from models.values import BOTTLENECK_SIZE, Float32

LEAST_PHOTOS: Final = 50
"""Listings with a photo and words that a shared space needs."""

WORTH_COMPILING: Final = 100
"""Steps from which TensorFlow's making a graph of one, which takes seconds, pays off."""

_MOST_PIECES: Final = 40
_FIRST_SCALE: Final = 14.0
_MOST_SCALE: Final = 100.0


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """How to train.

    epochs: passes over the listings with photos. batch: listings with a photo a step; others, where there are any,
    ``words_batch`` beside them. warm_up: share of the epochs before HARD narrows its batches. image_hidden,
    text_hidden: rectified units. dropout: share of bottleneck values dropped. decay: AdamW's, of the image side.
    """

    variant: Variant = Variant.HARD
    epochs: int = 30
    batch: int = 512
    words_batch: int = 256
    warm_up: float = 0.6
    learning_rate: float = 0.002
    image_hidden: int = 512
    text_hidden: int = 256
    dropout: float = 0.2
    decay: float = 0.05
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Encoders:
    """What was learned. losses: (names, captions) an epoch, in nats. scale: what cosines are multiplied by."""

    image: ImageEncoder
    text: TextEncoder
    losses: tuple[tuple[float, float], ...]
    scale: float


def fit_encoders(
    data: SharedData,
    rows: Ints,
    subwords: Subwords,
    settings: SharedSettings,
    say: Callable[[str], None] = lambda line: None,
) -> Encoders:
    """Learn from these listings alone.

    rows: int (n,), numbers of listings.
    :raise NotEnoughData: fewer than ``LEAST_PHOTOS`` of them have a photo and words.
    """
    spoken = np.array([row for row in rows if data.listings[row].words()], dtype=np.int64)
    has_photo = np.isin(spoken, data.photo_rows)
    if has_photo.sum() < LEAST_PHOTOS:
        raise NotEnoughData(
            f"{int(has_photo.sum())} products have a photo with a bottleneck and a name; a shared space of words and "
            f"photos needs {LEAST_PHOTOS}"
        )
    return _Learner(data, spoken[has_photo], spoken[~has_photo], subwords, settings).fit(say)


class _Learner:
    """One training. seen, unseen: listings with and without a photo."""

    def __init__(
        self, data: SharedData, seen: Ints, unseen: Ints, subwords: Subwords, settings: SharedSettings
    ) -> None:
        self._data = data
        self._subwords = subwords
        self._settings = settings
        self._facts = Facts.of(data.listings)
        self._random = np.random.default_rng(settings.seed)
        self._captions = CaptionMaker(data.listings, self._facts, subwords, settings.seed)
        kinds = self._facts.codes[:, 2]
        self._seen = BatchMaker(seen, data.groups, kinds, settings.variant, settings.batch, self._random)
        self._unseen = BatchMaker(unseen, data.groups, kinds, Variant.SOFT, settings.words_batch, self._random)
        self._photos = _by_listing(data)
        taught = data.vectors[data.photos_of(seen)]
        self._centre = taught.mean(axis=0)
        self._scale = float(1.0 / max(np.sqrt(taught.var(axis=0).mean()), 1e-6))

    def fit(self, say: Callable[[str], None]) -> Encoders:
        tf, keras = load_keras()
        settings = self._settings
        keras.utils.set_random_seed(settings.seed)
        towers = _Towers(tf, keras, self._subwords.size, settings, self._seen.steps * settings.epochs)
        losses: list[tuple[float, float]] = []
        for epoch in range(settings.epochs):
            hard = epoch >= settings.warm_up * settings.epochs
            told = [towers.step(*self._material(batch)) for batch in self._seen.epoch(hard=hard)]
            names, captions = np.mean([[float(value) for value in pair] for pair in told], axis=0)
            losses.append((float(names), float(captions)))
            say(f"shared space, epoch {epoch + 1} of {settings.epochs}: names {names:.3f}, captions {captions:.3f}")
        image, text = towers.encoders(self._centre, self._scale, self._subwords)
        scale = towers.scale()
        keras.backend.clear_session()
        return Encoders(image, text, tuple(losses), scale)

    def _material(self, seen: Ints) -> tuple[Any, ...]:
        """What a step takes: photos, names, captions, and which belong together."""
        unseen = next(self._unseen.epoch(hard=False), np.empty(0, np.int64))
        both = np.concatenate([seen, unseen])
        photos = [self._random.choice(self._photos[row]) for row in seen]
        x = (self._data.vectors[photos] - self._centre) * np.float32(self._scale)
        captions = self._captions.captions(both)
        said = np.array([bool(len(pieces)) for pieces in captions.pieces])
        fits = self._facts.fits(both, captions.asked, captions.wanted) & said[None, :]
        return (
            x.astype(np.float32),
            *_padded(self._captions.names(both), self._subwords.size),
            *_padded(captions.pieces, self._subwords.size),
            name_targets(self._data.groups[seen], self._settings.variant).astype(np.float32),
            np.concatenate([fits[: len(seen)], fits]).astype(np.float32),
        )


def _by_listing(data: SharedData) -> dict[int, list[int]]:
    photos: dict[int, list[int]] = {}
    for photo, row in enumerate(data.photo_rows.tolist()):
        photos.setdefault(row, []).append(photo)
    return photos


def _padded(texts: Sequence[Pieces], filler: int) -> tuple[Pieces, Float32]:
    """(int32 (n, most), 1 / sqrt(number of pieces) (n, 1)); what is beyond ``_MOST_PIECES`` is cut off."""
    cut = [pieces[:_MOST_PIECES] for pieces in texts]
    padded = np.full((len(cut), max(1, *(len(pieces) for pieces in cut))), filler, dtype=np.int32)
    for row, pieces in enumerate(cut):
        padded[row, : len(pieces)] = pieces
    lengths = np.array([[max(1, len(pieces))] for pieces in cut], dtype=np.float32)
    return padded, (1.0 / np.sqrt(lengths)).astype(np.float32)


class _Towers:
    """Both encoders in TensorFlow, and one step of learning."""

    def __init__(self, tf: Any, keras: Any, pieces: int, settings: SharedSettings, steps: int) -> None:
        self._tf = tf
        layers = keras.layers
        self._drop = layers.Dropout(settings.dropout, seed=settings.seed)
        self._linear = layers.Dense(SHARED_SIZE)
        self._hidden = layers.Dense(settings.image_hidden, activation="relu")
        self._out = layers.Dense(SHARED_SIZE, use_bias=False)
        self._text_hidden = layers.Dense(settings.text_hidden, activation="relu")
        self._text_out = layers.Dense(SHARED_SIZE, use_bias=False)
        for layer, size in (
            (self._linear, BOTTLENECK_SIZE),
            (self._hidden, BOTTLENECK_SIZE),
            (self._out, settings.image_hidden),
            (self._text_hidden, SHARED_SIZE),
            (self._text_out, settings.text_hidden),
        ):
            layer.build((None, size))
        # The last row is the filler behind short texts; its pieces never count.
        start = np.random.default_rng(settings.seed).normal(0, 0.05, (pieces + 1, SHARED_SIZE)).astype(np.float32)
        self._table = keras.Variable(start, name="table")
        self._log_scale = keras.Variable(np.float32(np.log(_FIRST_SCALE)), name="log_scale")
        rate = keras.optimizers.schedules.CosineDecay(
            settings.learning_rate * 0.1,
            decay_steps=max(1, steps),
            warmup_target=settings.learning_rate,
            warmup_steps=max(1, steps // 10),
        )
        self._image = [v for layer in (self._linear, self._hidden, self._out) for v in layer.trainable_variables]
        self._text = [v for layer in (self._text_hidden, self._text_out) for v in layer.trainable_variables]
        self._variables = [*self._image, *self._text, self._table, self._log_scale]
        self._optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.decay, clipnorm=1.0)
        self._optimizer.build(self._variables)
        self._optimizer.exclude_from_weight_decay(var_list=[*self._text, self._table, self._log_scale])
        self._pieces = pieces
        flat, whole = tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None, None], tf.int32)
        signature = [flat, whole, flat, whole, flat, flat, flat]
        self.step = (
            self._step
            if steps < WORTH_COMPILING
            else tf.function(self._step, input_signature=signature, autograph=False)
        )

    def _images(self, x: Any) -> Any:
        x = self._drop(x, training=True)
        return self._tf.math.l2_normalize(self._linear(x) + self._out(self._hidden(x)), axis=1)

    def _texts(self, pieces: Any, shrink: Any) -> Any:
        tf = self._tf
        real = tf.cast(pieces < self._pieces, tf.float32)[:, :, None]
        sums = tf.reduce_sum(tf.gather(self._table.value, pieces) * real, axis=1) * shrink
        return tf.math.l2_normalize(sums + self._text_out(self._text_hidden(sums)), axis=1)

    def _step(
        self, x: Any, names: Any, shrink: Any, captions: Any, caption_shrink: Any, same: Any, fits: Any
    ) -> tuple[Any, Any]:
        tf = self._tf
        with tf.GradientTape() as tape:
            scale = tf.minimum(tf.exp(self._log_scale.value), _MOST_SCALE)
            photos, called = self._images(x), self._texts(names, shrink)
            said = self._texts(captions, caption_shrink)
            by_name = self._contrast(scale, photos, called[: tf.shape(photos)[0]], same)
            by_caption = self._contrast(scale, tf.concat([photos, called], axis=0), said, fits)
            loss = by_name + by_caption
        gradients = tape.gradient(loss, [v.value for v in self._variables])
        self._optimizer.apply(gradients, self._variables)
        return by_name, by_caption

    def _contrast(self, scale: Any, anchors: Any, texts: Any, fits: Any) -> Any:
        """Mean cross-entropy of both directions; what nothing fits is asked nothing."""
        tf = self._tf
        logits = scale * tf.matmul(anchors, texts, transpose_b=True)
        there, back = self._cross_entropy(logits, fits), self._cross_entropy(tf.transpose(logits), tf.transpose(fits))
        return 0.5 * (there + back)

    def _cross_entropy(self, logits: Any, fits: Any) -> Any:
        tf = self._tf
        count = tf.reduce_sum(fits, axis=1, keepdims=True)
        asked = tf.cast(count > 0, tf.float32)[:, 0]
        each = -tf.reduce_sum(fits / tf.maximum(count, 1.0) * tf.nn.log_softmax(logits, axis=1), axis=1)
        return tf.reduce_sum(each * asked) / tf.maximum(tf.reduce_sum(asked), 1.0)

    def scale(self) -> float:
        """What cosines are multiplied by."""
        return float(np.minimum(np.exp(np.asarray(self._log_scale)), _MOST_SCALE))

    def encoders(self, centre: Float32, scale: float, subwords: Subwords) -> tuple[ImageEncoder, TextEncoder]:
        """As plain arrays."""
        linear, linear_bias, hidden, hidden_bias, out = (np.asarray(v) for v in self._image)
        text_hidden, text_bias, text_out = (np.asarray(v) for v in self._text)
        image = ImageEncoder(centre, scale, linear, linear_bias, hidden, hidden_bias, out)
        return image, TextEncoder(subwords, np.asarray(self._table)[:-1], text_hidden, text_bias, text_out)
