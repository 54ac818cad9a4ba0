"""The t-SNE picture of seed 003's experiment: what known and unknown classes look like in the embedding."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.training.experiments.synthetic_modalities import WHOLE, Run, gallery, trained_embedding
from models.training.experiments.synthetic_search import RANGES
from models.training.experiments.synthetic_world import World
from models.training.fit.modalities import ModalitySettings
from models.training.reports.plots import class_maps

ITEMS_A_CLASS: Final = 20
"""Points a class: t-SNE of 2,000 points takes seconds, of all 10,000 minutes."""

_TITLES: Final = {"mixed": "known and unknown (0-50)", "all": "all (0-99)"}


def draw_embedding(seed: int = 0) -> bytes:
    """A PNG: t-SNE of items in all three modalities, two panels as in the seed; circles are known classes, crosses
    classes that the network never saw."""
    settings = ModalitySettings(seed=seed)
    embedding, members, queries = trained_embedding(World(seed), Run(seed, "cosine", "ten_times", settings))
    own = gallery(embedding, WHOLE, members, queries)
    shown = np.concatenate([np.flatnonzero(own.query_labels == code)[:ITEMS_A_CLASS] for code in range(own.classes)])
    panels = [
        (title, own.queries[rows], own.query_labels[rows])
        for name, title in _TITLES.items()
        for rows in [shown[own.query_labels[shown] < RANGES[name]]]
    ]
    return class_maps(panels, RANGES["known"], seed)
