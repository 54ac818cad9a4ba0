"""What the catalogue's photos lack: too few, too alike, studio only, unbalanced; each with what to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from models.training.data import TrainingPhotos
from models.training.splits import Split
from models.values import Float32

LEAST_ORIGINALS = 20
"""Photos a label should have (seed 004: at least 20 originals a label)."""

NEAR_DUPLICATE_COSINE = 0.985
"""Cosine of two bottlenecks above which photos of one label are called near-duplicates."""

PLAIN_BACKGROUND_SPREAD = 0.02
"""A label whose photos' scene descriptors all lie within this mean distance was shot in one place."""

IMBALANCE = 5.0
"""Most over median photos a label from which imbalance is reported."""

_SHOWN = 50


def review_photos(photos: TrainingPhotos, descriptors: Float32, split: Split) -> dict[str, Any]:
    """Lists for the report, worst first, at most 50 entries each, with the full counts.

    descriptors: float32 (n, d), unit length, of the same photos.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, label in enumerate(photos.labels):
        members[label].append(i)
    counts = Counter({label: len(own) for label, own in members.items()})
    few = sorted((count, label) for label, count in counts.items() if count < LEAST_ORIGINALS)
    one_scene = sorted(
        label
        for label, own in members.items()
        if len(own) > 1 and len({split.places[photos.hashes[i]].scene for i in own}) == 1
    )
    uniform = sorted(label for label, own in members.items() if _one_place(descriptors[own]))
    duplicates, pairs = _near_duplicates(photos, members)
    sizes = sorted(counts.values())
    ratio = sizes[-1] / max(float(np.median(sizes)), 1.0)
    return {
        "too_few": {
            "count": len(few),
            "labels": [{"label": label, "photos": count} for count, label in few[:_SHOWN]],
            "advice": f"photograph these until each has {LEAST_ORIGINALS}: other angles, shelves, light, packs",
        },
        "one_scene": {
            "count": len(one_scene),
            "labels": one_scene[:_SHOWN],
            "advice": "all photos come from one place and moment; photograph them elsewhere, too",
        },
        "studio_only": {
            "count": len(uniform),
            "labels": uniform[:_SHOWN],
            "advice": "only look-alike or plain-background photos; add phone photos as shoppers take them",
        },
        "near_duplicates": {
            "count": duplicates,
            "pairs": pairs,
            "advice": "nearly the same photo twice teaches nothing; replace one of each pair",
        },
        "imbalance": {
            "most_over_median": ratio,
            "reported": ratio >= IMBALANCE,
            "advice": "labels with many photos pull answers towards them; even the numbers out",
        },
    }


def _one_place(descriptors: Float32) -> bool:
    """Whether the photos' colours hardly differ: mean squared distance to their mean below the bound."""
    if len(descriptors) < 2:
        return False
    gap = descriptors - descriptors.mean(axis=0)
    return bool((gap**2).sum(axis=1).mean() < PLAIN_BACKGROUND_SPREAD)


def _near_duplicates(photos: TrainingPhotos, members: dict[str, list[int]]) -> tuple[int, list[dict[str, Any]]]:
    """How many pairs there are, and the ``_SHOWN`` most alike of them."""
    count = 0
    found: list[dict[str, Any]] = []
    for label, own in members.items():
        cosine = np.triu(photos.originals[own] @ photos.originals[own].T, 1)
        count += int((cosine > NEAR_DUPLICATE_COSINE).sum())
        for flat in np.argsort(-cosine, axis=None, kind="stable")[:_SHOWN]:
            a, b = np.unravel_index(flat, cosine.shape)
            if cosine[a, b] > NEAR_DUPLICATE_COSINE:
                pair = [photos.hashes[own[int(a)]], photos.hashes[own[int(b)]]]
                found.append({"label": label, "photos": pair, "cosine": float(cosine[a, b])})
    return count, sorted(found, key=lambda pair: -pair["cosine"])[:_SHOWN]
