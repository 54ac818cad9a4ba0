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
from models.values import Float32

PROJECTION_PHOTOS: Final = 2000
_BATCH: Final = 16


def bottlenecks(network: Any, corpus: Corpus, rows: Any) -> Float32:
    """Normalised bottlenecks float32 (n, 2048) of stored rows as the network sees photos: 299 x 299, unchanged."""
    found = []
    for start in range(0, len(rows), _BATCH):
        views = np.stack([fit_input(np.asarray(corpus.pixels[row])) for row in rows[start : start + _BATCH]])
        found.append(np.asarray(network.predict_on_batch(scale_pixels(views))))
    return normalise(np.concatenate(found))


def fit_projection(network: Any, corpus: Corpus, seed: int) -> Projection:
    """``Projection.fitted`` on bottlenecks of up to ``PROJECTION_PHOTOS`` rows of role train, every source alike."""
    rng = np.random.default_rng(seed)
    train = corpus.rows("train")
    sources = np.array([corpus.entries[row].source for row in train])
    names = np.unique(sources)
    share = PROJECTION_PHOTOS // len(names)
    rows = np.concatenate([rng.permutation(train[sources == name])[:share] for name in names])
    return Projection.fitted(bottlenecks(network, corpus, rows))


def pack(network: Any, corpus: Corpus, card: Mapping[str, Any], paths: Mapping[Encoding, Path], seed: int) -> None:
    """Write ``network`` as packed files, one an encoding; their seen photos are the corpus'."""
    layers = weighted_layers(network)
    arrays = [[np.asarray(value, dtype=np.float32) for value in layer.get_weights()] for _, layer in layers]
    projection = fit_projection(network, corpus, seed)
    weights = PackedWeights(arrays, projection.matrix, corpus.seen, dict(card))
    for encoding, path in paths.items():
        write_packed(path, weights, [spec for spec, _ in layers], encoding)
