"""Two trained shared spaces on listings that neither has seen."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from models.multimodal.shared import SharedSpace
from models.training.replacing import paired
from models.training.shared.data import SharedData
from models.training.shared.measures import AT, Gallery, found_by_name, query_hits


def compare_spaces(
    before: SharedSpace, after: SharedSpace, data: SharedData, held: Collection[str]
) -> dict[str, dict[str, Any]]:
    """``{"words": paired, "names": paired}`` (``models.training.replacing``), by picture alone: how many of the first
    ten products fit words for a type, and for a type and a colour; how many names find their own photo among the first
    ten.

    before, after: the trials of the space in service and of the newer one. held: skus that neither trial has learned
    from; of ``data`` only these are asked about.
    """
    wanted, first = frozenset(held), data.first_photos()
    rows = np.array([i for i, row in enumerate(data.listings) if row.sku in wanted and first[i] >= 0], dtype=np.int64)
    listings, groups = [data.listings[row] for row in rows], data.groups[rows]
    hits, names = [], []
    for space in (before, after):
        photos = space.image.encode(data.vectors[first[rows]])
        hits.append(query_hits(Gallery(listings, photos), space.text.encode))
        names.append(found_by_name(photos, listings, groups, space.text.encode))
    queries = sorted(hits[0])
    counts = [np.array([found[query] for query in queries], dtype=np.int64) for found in hits]
    return {
        "words": paired(counts[0], counts[1], queries, AT),
        "names": paired(names[0], names[1], groups.tolist()),
    }
