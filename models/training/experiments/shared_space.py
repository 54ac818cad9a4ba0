"""Plain, filtered, soft and hard contrastive training compared, and how far the shared space reaches to the unseen.

Each seed draws a split of its own (by predicted product) and starts the encoders anew; the variants of a seed share
both, so that they are compared pairwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from models.errors import NotEnoughData
from models.multimodal.subwords import VOCABULARY_SIZE
from models.training.measures import paired_difference, spread
from models.training.shared.batches import Variant
from models.training.shared.captions import vocabulary
from models.training.shared.data import Ints, SharedData
from models.training.shared.learner import Encoders, SharedSettings, fit_encoders
from models.training.shared.measures import (
    Gallery,
    found_by_name,
    held_out,
    named_attribute,
    names_to_products,
    words_to_products,
)
from models.training.shared.rewording import reword
from models.training.shared.run import HELD_OUT

SEEDS: Final = 3
UNSEEN_TYPES: Final = 10
"""Types held out whole for the zero-shot question."""

LEAST_OF_TYPE: Final = 20
"""Products with a photo that such a type must have."""

Progress = Callable[[str], None]


def compare_variants(
    data: SharedData,
    seeds: int = SEEDS,
    variants: Sequence[Variant] = tuple(Variant),
    settings: SharedSettings | None = None,
    progress: Progress = lambda line: None,
) -> dict[str, Any]:
    """``{seeds, products, variants: {variant: {measure: {mean, std}}}, differences: {variant: {measure: {mean,
    standard_error}}}, unseen_types: {...}}``; differences are from ``plain``, where that is among the variants.

    :raise NotEnoughData: too few products with a photo and a name.
    """
    settings = settings or SharedSettings()
    tables: dict[str, list[dict[str, float]]] = {variant.value: [] for variant in variants}
    unseen: list[dict[str, float]] = []
    for seed in range(seeds):
        out = held_out(data.groups, HELD_OUT, seed)
        for variant in variants:
            progress(f"shared space: seed {seed + 1} of {seeds}, {variant.value}")
            own = replace(settings, variant=variant, seed=seed)
            encoders = _fitted(data, np.flatnonzero(~out), own)
            tables[variant.value].append(_measured(encoders, data, np.flatnonzero(out), seed))
        progress(f"shared space: seed {seed + 1} of {seeds}, types never seen")
        unseen += _unseen_types(data, replace(settings, seed=seed))
    result: dict[str, Any] = {
        "seeds": seeds,
        "products": len(data),
        "with_photo": len(np.unique(data.photo_rows)),
        "held_out": HELD_OUT,
        "variants": {name: _spreads(rows) for name, rows in tables.items()},
        "unseen_types": _spreads(unseen) if unseen else None,
    }
    plain = tables.get(Variant.PLAIN.value)
    if plain:
        result["differences"] = {
            name: {
                measure: paired_difference([r[measure] for r in rows], [r[measure] for r in plain])
                for measure in rows[0]
            }
            for name, rows in tables.items()
            if name != Variant.PLAIN.value
        }
    return result


def _fitted(data: SharedData, rows: Ints, settings: SharedSettings) -> Encoders:
    return fit_encoders(data, rows, vocabulary([data.listings[row] for row in rows], VOCABULARY_SIZE), settings)


def _measured(encoders: Encoders, data: SharedData, rows: Ints, seed: int) -> dict[str, float]:
    """Held-out products: by picture alone, and by name alone. NaN where nothing could be asked."""
    encode, first = encoders.text.encode, data.first_photos()
    shown = rows[first[rows] >= 0]
    listings = [data.listings[row] for row in shown]
    photos = encoders.image.encode(data.vectors[first[shown]])
    pictures = words_to_products(Gallery(listings, photos), encode)
    everything = [data.listings[row] for row in rows]
    names = Gallery(everything, encode([listing.name or "" for listing in everything]))
    random = np.random.default_rng(seed)
    attributes = [listing.slots() for listing in listings]
    return {
        "type": _number(pictures["type"]["precision"]),
        "type_colour": _number(pictures["type_colour"]["precision"]),
        "name_to_photo": _share(found_by_name(photos, listings, data.groups[shown], encode)),
        "reworded_name": _number(names_to_products(names, encode, lambda name: reword(name, random))["found"]),
        "type_named": _number(named_attribute(photos, [told.get("type") for told in attributes], encode)["top1"]),
        "colour_named": _number(named_attribute(photos, [told.get("colour") for told in attributes], encode)["top1"]),
    }


def _share(found: Ints) -> float:
    return float(found.mean()) if len(found) else float("nan")


def _unseen_types(data: SharedData, settings: SharedSettings) -> list[dict[str, float]]:
    """Ten types of which no photo is learned: their photos among all held-out types, and told apart from each other.

    ``names_known``: the listings without a photo of these types teach their words. ``nothing_known``: no listing of
    these types is learned at all. Empty where the catalogue has too few types.
    """
    first = data.first_photos()
    kinds = np.array([listing.slots().get("type", "") for listing in data.listings])
    names, counts = np.unique(kinds[first >= 0], return_counts=True)
    usable = [name for name, count in zip(names, counts, strict=True) if name and count >= LEAST_OF_TYPE]
    if len(usable) < 2 * UNSEEN_TYPES:
        return []
    chosen = np.random.default_rng(settings.seed).choice(usable, UNSEEN_TYPES, replace=False)
    unseen = np.isin(kinds, chosen)
    asked = np.flatnonzero(unseen & (first >= 0))
    found: dict[str, float] = {"chance": 1.0 / UNSEEN_TYPES}
    for name, taught in (("names_known", ~unseen | (first < 0)), ("nothing_known", ~unseen)):
        try:
            encoders = _fitted(data, np.flatnonzero(taught), settings)
        except NotEnoughData:
            return []
        photos = encoders.image.encode(data.vectors[first[asked]])
        told = named_attribute(photos, kinds[asked].tolist(), encoders.text.encode)
        found |= {f"{name}_top1": _number(told["top1"]), f"{name}_macro_f1": _number(told["macro_f1"])}
    return [found]


def _spreads(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {measure: spread([row[measure] for row in rows]) for measure in rows[0]}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
