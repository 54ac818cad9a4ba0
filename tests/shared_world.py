"""A shared space made by hand for tests of what is around it: words and photos of known places, nothing trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.multimodal.matching import EVIDENCE, Logistic, MatchModel
from models.multimodal.restricted import RestrictedModel
from models.multimodal.shared import SHARED_SIZE, ImageEncoder, RefineModel, SharedSpace, TextEncoder
from models.multimodal.shared_bundle import SharedBundle, SharedParts, write_shared
from models.multimodal.subwords import Subwords
from models.values import BOTTLENECK_SIZE, Float32


def made_shared(words: Sequence[str], seed: int = 3, hidden: int = 4) -> SharedSpace:
    """Every piece lies in a random direction, so that texts of common words are near; photos by a random matrix."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int, scale: float = 1.0) -> Float32:
        return (scale * rng.normal(size=shape)).astype(np.float32)

    subwords = Subwords.train(words, 200)
    text = TextEncoder(
        subwords,
        drawn(subwords.size, SHARED_SIZE),
        drawn(SHARED_SIZE, hidden, scale=0.01),
        drawn(hidden, scale=0.01),
        drawn(hidden, SHARED_SIZE, scale=0.01),
    )
    image = ImageEncoder(
        drawn(BOTTLENECK_SIZE, scale=0.01),
        2.0,
        drawn(BOTTLENECK_SIZE, SHARED_SIZE),
        drawn(SHARED_SIZE, scale=0.01),
        drawn(BOTTLENECK_SIZE, hidden, scale=0.1),
        drawn(hidden, scale=0.1),
        drawn(hidden, SHARED_SIZE, scale=0.1),
    )
    refine = RefineModel(
        1.0, drawn(2 * SHARED_SIZE, hidden, scale=0.01), drawn(hidden), drawn(hidden, SHARED_SIZE, scale=0.01)
    )
    return SharedSpace(image, text, refine, 0.6)


def made_match() -> MatchModel:
    """Calls listings one product where the mean of their likenesses is above 0.9."""
    models = {
        evidence: Logistic((50.0 / len(parts),) * len(parts) + (0.0,) * len(parts), -45.0)
        for evidence, parts in EVIDENCE.items()
    }
    return MatchModel(models, dict.fromkeys(models, 0.5), {"the": 0.1}, 2.0)


def made_parts(words: Sequence[str]) -> SharedParts:
    """Everything that a version consists of."""
    shared = made_shared(words)
    restricted = RestrictedModel(
        np.concatenate([8 * shared.text.encode(["wine"])[0], np.zeros(SHARED_SIZE, np.float32)]), -4.0, {0.95: 0.5}
    )
    return SharedParts(shared, made_match(), restricted, {"measured": None})


def made_bundle(folder: Path, words: Sequence[str], version: str = "v1", space: str = "test") -> SharedBundle:
    """Written and loaded."""
    manifest = {"version": version, "space": space, "weights": "fake", "created_at": "2026-01-01T00:00:00+00:00"}
    write_shared(folder / version, made_parts(words), manifest)
    return SharedBundle.load(folder / version)
