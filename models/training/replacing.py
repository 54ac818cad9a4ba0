"""Whether a newly trained text model may replace the one in use: both asked the same things, in pairs.

As at the gate of the classifiers (``models.training.gate``): a newer model goes where it is worse beyond chance, or
worse by more than a bound, and no gain elsewhere makes up for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.training.pairs import paired_scene_interval, sign_flip_p

LEAST_ASKED: Final = 50
"""Questions below which nothing can be told."""

WORSE: Final = 0.025
"""One-sided level of "worse beyond chance"; the lower half of a 95 % interval."""

Ints = NDArray[np.int_]


def paired(before: Ints, after: Ints, units: Sequence[object], tries: int = 1) -> dict[str, Any]:
    """``{asked, champion, challenger, difference, low, high, p_worse}``: shares of right answers, 0..1, and None where
    nothing was asked.

    before, after: int (n,), right answers of the model in use and of the newer one, 0..``tries``. units: n names;
    questions of one unit (variants of a product, say) stand or fall together.
    """
    asked = len(before) * tries
    if not asked:
        nothing = dict.fromkeys(("champion", "challenger", "difference", "low", "high"))
        return {"asked": 0, **nothing, "p_worse": 1.0}
    codes = np.unique([str(unit) for unit in units], return_inverse=True)[1]
    gains = np.zeros(codes.max() + 1, dtype=np.int_)
    np.add.at(gains, codes, after - before)
    low, high = paired_scene_interval(gains, np.bincount(codes) * tries)
    return {
        "asked": asked,
        "champion": float(before.sum()) / asked,
        "challenger": float(after.sum()) / asked,
        "difference": float(after.sum() - before.sum()) / asked,
        "low": low,
        "high": high,
        "p_worse": sign_flip_p(gains),
    }


def against(tables: Mapping[str, Mapping[str, Any]], max_drop: float) -> list[str]:
    """What speaks against the newer model, in words; nothing where too little was asked.

    tables: what was asked -> ``paired``. max_drop: share of the answers that may be lost, 0..1.
    """
    found = []
    for name, row in tables.items():
        if row["asked"] < LEAST_ASKED:
            continue
        if row["p_worse"] <= WORSE:
            found.append(f"{name}: it is worse beyond chance (p = {row['p_worse']:.4f}; {told(row)})")
        elif row["difference"] < -max_drop:
            found.append(f"{name}: the drop is larger than the bound of {100 * max_drop:.1f} points ({told(row)})")
    return found


def told(row: Mapping[str, Any]) -> str:
    """A comparison in words."""
    return f"{100 * row['champion']:.1f} % before, {100 * row['challenger']:.1f} % now, of {row['asked']} answers"
