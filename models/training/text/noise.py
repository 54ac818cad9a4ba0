"""Wrong types injected on purpose: what they cost, and how much of that care brings back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from models.errors import UsageError
from models.training.care.teaching import Care
from models.training.experiments.mislabels import choose, flip_labels
from models.training.measures import spread
from models.training.text.evaluate import measures, probabilities_of, shown_as
from models.training.text.rows import TextRows
from models.training.text.settings import TextSettings
from models.training.text.train import Parts, fit_classifier

SHARES: Final = (0.1, 0.2, 0.4)
MEASURES: Final = ("accuracy", "top5", "macro_f1")

Say = Callable[[str], None]


def measure_noise(
    rows: TextRows,
    parts: Parts,
    settings: TextSettings,
    shares: Sequence[float] = SHARES,
    seeds: int = 3,
    say: Say = lambda line: None,
) -> list[dict[str, Any]]:
    """A row a share of wrong types: ``{share, care: {way: {measure: {mean, std}}}, kept: {way: share of macro-F1}}``.

    Types of training rows are flipped, each to any other; the test rows keep theirs, and are asked with all they have.
    kept: how much of the macro-F1 lost without care is kept with it; None where nothing is lost.
    :raise UsageError: a share outside 0..1.
    """
    if any(not 0.0 < share < 1.0 for share in shares) or seeds < 1:
        raise UsageError(f"expected shares in 0..1 and seeds >= 1, got {list(shares)} and {seeds}")
    training, test = rows.subset(parts.training), rows.subset(parts.test)
    ways = [care.value for care in Care]
    table: list[dict[str, Any]] = []
    for share in (0.0, *shares):
        found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for seed in range(seeds):
            taught = flipped(training, share, seed)
            for care in Care:
                say(f"{share:.0%} wrong, seed {seed + 1} of {seeds}, care {care.value}")
                trained = fit_classifier(taught, replace(settings, care=care, seed=seed), 1)
                told = probabilities_of(trained.classifier, shown_as(test, "fused", trained.words))
                # Counted by the true types: a flipped row makes no type frequent enough to be measured.
                counts = {kind: training.types.count(kind) for kind in set(training.types) if kind is not None}
                found[care.value].append(measures(told, trained.classifier.answers["type"], test.types, counts))
        care_table = {way: {m: spread([one[m] for one in found[way]]) for m in MEASURES} for way in ways}
        table.append({"share": share, "seeds": seeds, "care": care_table})
    for row in table[1:]:
        row["kept"] = _kept(row["care"], table[0]["care"])
    return table[1:] + table[:1]


def flipped(rows: TextRows, share: float, seed: int) -> TextRows:
    """The rows with a share of the given types replaced by any other one."""
    given = np.flatnonzero([kind is not None for kind in rows.types])
    types = [str(rows.types[i]) for i in given]
    chosen = choose(np.arange(len(given)), share, seed)
    mixed = list(rows.types)
    for place, kind in zip(given, flip_labels(types, chosen, seed), strict=True):
        mixed[place] = kind
    return replace(rows, types=tuple(mixed))


def _kept(ways: dict[str, Any], clean: dict[str, Any]) -> dict[str, float | None]:
    """1 - (lost with care) / (lost without), in macro-F1, against clean types without care."""
    whole, without = (table[Care.NONE.value]["macro_f1"]["mean"] for table in (clean, ways))
    lost = whole - without
    return {
        way: 1.0 - (whole - ways[way]["macro_f1"]["mean"]) / lost if lost > 0 else None
        for way in ways
        if way != Care.NONE.value
    }
