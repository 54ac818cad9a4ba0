"""What a shared space is worth, on listings that it did not learn from. Shares are in 0..1, None where nothing counts.

A gallery is a set of held-out listings with the vectors they are found by. ``queries`` of a kind are only asked where
the gallery holds at least ``LEAST_RELEVANT`` answers, and each counts the same (macro average).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.metrics import average_precision_score

from models.multimodal.names import normalise
from models.training.measures import macro_f1, top_k
from models.training.shared.data import Bools, Ints, Listing
from models.values import Float32

LEAST_RELEVANT: Final = 10
"""Answers a query must have in the gallery to be asked."""

AT: Final = 10
"""Depth of precision and of recall."""

Encode = Callable[[Sequence[str]], Float32]
"""Words -> the shared space."""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Held-out listings. vectors: float32 (n, d), unit length, where each is found."""

    listings: Sequence[Listing]
    vectors: Float32


def words_to_products(gallery: Gallery, encode: Encode) -> dict[str, Any]:
    """Precision@10 of words that name a type, a type and a colour, a type and an audience or brand of the names.

    ``{type|type_colour|type_brand: {queries, precision}}``; the words are the catalogue's own, normalised.
    """
    return {name: _asked(gallery, encode, keys) for name, keys in _queries(gallery.listings).items()}


def _queries(listings: Sequence[Listing]) -> Mapping[str, list[str | None]]:
    """For each kind of query, what each listing answers to."""

    def of(*parts: str | None) -> str | None:
        return " ".join(normalise(part or "") for part in parts) if all(parts) else None

    return {
        "type": [of(row.type) for row in listings],
        "type_colour": [of(row.colour, row.type) for row in listings],
        "type_brand": [of(row.brand, row.type) for row in listings],
    }


def _asked(gallery: Gallery, encode: Encode, keys: Sequence[str | None]) -> dict[str, Any]:
    hits = _hits(gallery, encode, keys)
    precision = float(np.mean(list(hits.values()))) / AT if hits else None
    return {"queries": len(hits), "precision": precision}


def query_hits(gallery: Gallery, encode: Encode) -> dict[str, int]:
    """Words for a type, and for a type and a colour -> how many of the first ``AT`` products they fit."""
    kinds = _queries(gallery.listings)
    return {
        words: hits for name in ("type", "type_colour") for words, hits in _hits(gallery, encode, kinds[name]).items()
    }


def found_by_name(photos: Float32, listings: Sequence[Listing], groups: Ints, encode: Encode) -> Ints:
    """1 where a listing's name brings its own product's photo among the first ``AT``, else 0: int (n,).

    photos: float32 (n, d), the listings' photos in the shared space. groups: int (n,), equal for one product.
    """
    if not len(listings):
        return np.zeros(0, np.int64)
    texts = encode([listing.name or "" for listing in listings])
    nearest = np.argsort(-(texts @ photos.T), axis=1, kind="stable")[:, :AT]
    return (groups[nearest] == groups[:, None]).any(axis=1).astype(np.int64)


def _hits(gallery: Gallery, encode: Encode, keys: Sequence[str | None]) -> dict[str, int]:
    told = np.array([key or "" for key in keys])
    names, counts = np.unique(told, return_counts=True)
    asked = [str(name) for name, count in zip(names, counts, strict=True) if name and count >= LEAST_RELEVANT]
    if not asked:
        return {}
    scores = encode(asked) @ gallery.vectors.T
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :AT]
    return {name: int((told[row] == name).sum()) for name, row in zip(asked, nearest, strict=True)}


def names_to_products(gallery: Gallery, encode: Encode, respell: Callable[[str], str] = str) -> dict[str, Any]:
    """Share of listings whose name, typed as a search, finds them or one of equal name among the first ten.

    respell: what is done to a name before it is typed.
    """
    named = [i for i, row in enumerate(gallery.listings) if normalise(row.name or "")]
    if not named:
        return {"queries": 0, "found": None}
    said = np.array([normalise(row.name or "") for row in gallery.listings])
    found = 0
    for start in range(0, len(named), 512):
        part = named[start : start + 512]
        scores = encode([respell(gallery.listings[i].name or "") for i in part]) @ gallery.vectors.T
        nearest = np.argpartition(-scores, min(AT, scores.shape[1]) - 1, axis=1)[:, :AT]
        found += sum(bool((said[row] == said[i]).any()) for i, row in zip(part, nearest, strict=True))
    return {"queries": len(named), "found": found / len(named)}


def named_attribute(vectors: Float32, truth: Sequence[str | None], encode: Encode) -> dict[str, Any]:
    """Zero-shot naming: each value becomes words, and a photo gets the nearest ones.

    vectors: float32 (n, d). truth: the right value, None where unknown; only its values compete.
    ``{photos, values, top1, top5, macro_f1}``.
    """
    known = [i for i, value in enumerate(truth) if value]
    values = sorted({str(truth[i]) for i in known})
    if len(values) < 2:
        return {"photos": len(known), "values": len(values), "top1": None, "top5": None, "macro_f1": None}
    order = np.argsort(-(vectors[known] @ encode(values).T), axis=1, kind="stable")[:, :5]
    ranked = [[values[i] for i in row] for row in order]
    right = [str(truth[i]) for i in known]
    return {
        "photos": len(known),
        "values": len(values),
        "top1": top_k(ranked, right, 1),
        "top5": top_k(ranked, right, 5),
        "macro_f1": macro_f1(ranked, right),
    }


def refined(
    gallery: Gallery,
    colours: Sequence[str],
    refine: Callable[[Float32, Float32], Float32],
    encode: Encode,
    seed: int,
    photos: Float32,
) -> dict[str, Any]:
    """ "This, in red": a photo of a product and a colour it does not have.

    Of the first ten products other than it: the share of its type, of the colour asked for, and of both. Asked where
    the gallery has at least ``LEAST_RELEVANT`` of type and colour, at most 20 photos a pair.
    photos: float32 (n, d), the gallery's photos, as queries.
    """
    types = np.array([normalise(row.type or "") for row in gallery.listings])
    told = np.array([normalise(row.colour or "") for row in gallery.listings])
    random = np.random.default_rng(seed)
    kept: list[tuple[int, str]] = []
    for kind in sorted(set(types) - {""}):
        for colour in colours:
            if ((types == kind) & (told == colour)).sum() >= LEAST_RELEVANT:
                others = np.flatnonzero((types == kind) & (told != colour) & (told != ""))
                kept += [(int(i), colour) for i in random.permutation(others)[:20]]
    if not kept:
        return {"queries": 0, "type": None, "colour": None, "both": None}
    rows = np.array([i for i, _ in kept])
    scores = refine(photos[rows], encode([colour for _, colour in kept])) @ gallery.vectors.T
    scores[np.arange(len(rows)), rows] = -np.inf
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :AT]
    of_type = types[nearest] == types[rows][:, None]
    of_colour = told[nearest] == np.array([colour for _, colour in kept])[:, None]
    return {
        "queries": len(kept),
        "type": float(of_type.mean()),
        "colour": float(of_colour.mean()),
        "both": float((of_type & of_colour).mean()),
    }


def ranked_precision(truth: Bools, scores: Float32) -> float | None:
    """Average precision of pairs; None without a true or without a false one."""
    if truth.all() or not truth.any():
        return None
    return float(average_precision_score(truth, scores))


def held_out(groups: Ints, share: float, seed: int) -> Bools:
    """bool (n,): which listings are held out; listings of one product go together.

    :param share: of the listings, about.
    """
    names, codes = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    sizes = np.bincount(codes, minlength=len(names))[order]
    out = np.zeros(len(names), dtype=bool)
    out[order[np.cumsum(sizes) - sizes < share * len(groups)]] = True
    found: Bools = out[codes]
    return found


def held_out_for_good(groups: Ints, skus: Sequence[str], share: float) -> Bools:
    """``held_out`` by a hash of each product's first sku: a listing keeps its side as the catalogue grows, so that two
    trainings can be asked about listings that neither has seen.
    """
    first: dict[int, str] = {}
    for group, sku in zip(groups.tolist(), skus, strict=True):
        first[group] = min(sku, first.get(group, sku))
    is_out = {
        group: int(hashlib.sha256(sku.encode()).hexdigest()[:8], 16) < share * 2**32 for group, sku in first.items()
    }
    return np.array([is_out[group] for group in groups.tolist()], dtype=bool)
