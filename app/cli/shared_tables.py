"""The shared space's figures as tables for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_PICTURE = (("type", "type"), ("type_colour", "type and colour"), ("type_brand", "type and brand"))
_GALLERIES = (
    ("picture_alone", "by picture alone"),
    ("with_names", "by name and picture"),
    ("as_served", "as served, the row's columns too"),
)
_WAYS = (("learned", "learned"), ("sum", "photo + words"), ("photo", "photo alone"), ("words", "words alone"))
_VARIANT_MEASURES = (
    ("type", "P@10 type"),
    ("type_colour", "P@10 +colour"),
    ("name_to_photo", "name>photo"),
    ("reworded_name", "reworded"),
    ("type_named", "type named"),
    ("colour_named", "colour named"),
)


def shared_lines(version: str, placed: int, metrics: Mapping[str, Any]) -> list[str]:
    """What a training of the shared space measured."""
    told = [f"shared space {version}: {placed:,} products placed"]
    measured = metrics.get("measured")
    if measured is None:
        return told
    told.append(f"  on {measured['products']:,} held-out products, {measured['with_photo']:,} with a photo:")
    for kind, title in _GALLERIES:
        cells = (f"{name} {_share(measured[kind][key]['precision'])}" for key, name in _PICTURE)
        told.append(f"  precision@10 {title}: " + ", ".join(cells))
    told.append(
        f"  the product itself, or one of its name, among the first ten: {_share(measured['name']['found'])}; of a "
        f"reworded name {_share(measured['reworded_name']['found'])}"
    )
    told += [
        f"  {name} named by the nearest words: {_share(row['top1'])}, macro-F1 {_share(row['macro_f1'])}"
        for name, row in measured["attributes"].items()
    ]
    for key, name in _WAYS:
        row = measured["refine"][key]
        told.append(
            f"  'this, in red', {name}: type kept {_share(row['type'])}, colour {_share(row['colour'])}, "
            f"both {_share(row['both'])}"
        )
    told += _duplicates(measured["duplicates"])
    restricted = measured["restricted"]
    told.append(
        f"  restricted class: recall {_share(restricted['recall'])}, precision {_share(restricted['precision'])}"
        if restricted["state"] == "run"
        else f"  restricted class: {restricted['state']}"
    )
    return told


def _duplicates(row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return ["  duplicates: not run, none could be planted"]
    cells = (f"{name} {_share(row[name]['average_precision'])}" for name in ("both", "photo", "name") if name in row)
    return [f"  planted duplicates, average precision by both, photo, name: {', '.join(cells)}"]


def variant_lines(result: dict[str, Any]) -> str:
    """The variants of the contrastive training beside each other."""
    told = [
        f"{result['products']:,} products, {result['with_photo']:,} with a photo, {result['held_out']:.0%} held out; "
        f"± over {result['seeds']} seeds",
        f"{'':10}" + "".join(f"{title:>16}" for _, title in _VARIANT_MEASURES),
    ]
    for name, row in result["variants"].items():
        told.append(f"{name:10}" + "".join(_spread(row[measure]) for measure, _ in _VARIANT_MEASURES))
    if result["unseen_types"]:
        row = result["unseen_types"]
        told.append(
            f"ten types never seen, told apart (chance {row['chance']['mean']:.0%}): names known "
            f"{_spread(row['names_known_top1']).strip()}, nothing known {_spread(row['nothing_known_top1']).strip()}"
        )
    return "\n".join(told)


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f} %"


def _spread(cell: Mapping[str, float | None]) -> str:
    mean, std = cell["mean"], cell["std"]
    if mean is None or std is None or math.isnan(mean):
        return f"{'n/a':>16}"
    return f"{100 * mean:9.1f} ± {100 * std:4.1f}"
