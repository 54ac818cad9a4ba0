"""From a trained network to the packed file: the projection, the list of seen photos, the card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.backbone.network import weighted_layers
from models.backbone.packed import Encoding, PackedWeights, write_packed
from models.backbone.preprocessing import fit_input, normalise, scale_pixels
from models.backbone.projection import Projection
from models.training.pretrain.corpus import Corpus
from models.values import PROJECTED_SIZE, Float32

PROJECTION_PHOTOS: Final = 2000
_BATCH: Final = 16


def bottlenecks(network: Any, corpus: Corpus, rows: Any) -> Float32:
    """Normalised bottlenecks float32 (n, 2048) of stored rows as the network sees photos: 299 x 299, unchanged."""
    found = []
    for start in range(0, len(rows), _BATCH):
        views = np.stack([fit_input(np.asarray(corpus.pixels[row])) for row in rows[start : start + _BATCH]])
        found.append(np.asarray(network.predict_on_batch(scale_pixels(views))))
    return normalise(np.concatenate(found))


def make_projection(network: Any, corpus: Corpus, seed: int) -> tuple[Projection, str]:
    """The projection and what it is: fitted on bottlenecks of up to ``PROJECTION_PHOTOS`` rows of role train, every
    source alike; fewer than 256 of them span no 256 directions, and the random one goes along instead."""
    rng = np.random.default_rng(seed)
    train = corpus.rows("train")
    sources = np.array([corpus.entries[row].source for row in train])
    names = np.unique(sources)
    share = PROJECTION_PHOTOS // len(names)
    rows = np.concatenate([rng.permutation(train[sources == name])[:share] for name in names])
    if len(rows) < PROJECTED_SIZE:
        return Projection.random_orthogonal(), "random orthogonal"
    return Projection.fitted(bottlenecks(network, corpus, rows)), "fitted"


def pack(network: Any, corpus: Corpus, card: Mapping[str, Any], paths: Mapping[Encoding, Path], seed: int) -> None:
    """Write ``network`` as packed files, one an encoding; their seen photos are the corpus'.
    The card gets a line on the projection."""
    layers = weighted_layers(network)
    arrays = [[np.asarray(value, dtype=np.float32) for value in layer.get_weights()] for _, layer in layers]
    projection, kind = make_projection(network, corpus, seed)
    weights = PackedWeights(arrays, projection.matrix, corpus.seen, {**card, "projection": kind})
    for encoding, path in paths.items():
        write_packed(path, weights, [spec for spec, _ in layers], encoding)
