"""The measures of docs/architecture.md ("Measures"), defined once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from models.values import VerdictName

ECE_BINS = 15


def top_k(ranked: Sequence[Sequence[str]], truth: Sequence[str], k: int) -> float:
    """Share of photos whose true label is among the first ``k`` named; NaN without photos."""
    if not truth:
        return float("nan")
    return sum(label in names[:k] for names, label in zip(ranked, truth, strict=True)) / len(truth)


def macro_f1(ranked: Sequence[Sequence[str]], truth: Sequence[str]) -> float:
    """Mean over the true labels of the F1 of the first label named (none named counts as wrong)."""
    if not truth:
        return float("nan")
    first = [names[0] if names else "" for names in ranked]
    return float(f1_score(list(truth), first, labels=sorted(set(truth)), average="macro", zero_division=0))


def summary(ranked: Sequence[Sequence[str]], truth: Sequence[str]) -> dict[str, float]:
    """``{top1, top5, macro_f1}`` in 0..1."""
    return {
        "top1": top_k(ranked, truth, 1),
        "top5": top_k(ranked, truth, 5),
        "macro_f1": macro_f1(ranked, truth),
    }


def expected_calibration_error(confidence: Sequence[float], correct: Sequence[bool], bins: int = ECE_BINS) -> float:
    """ECE over equal-mass bins: mean absolute gap between confidence and accuracy (Naeini et al. 2015).

    confidence: in [0, 1]. Returns 0..1; NaN without photos.
    """
    if len(confidence) == 0:
        return float("nan")
    order = np.argsort(np.asarray(confidence), kind="stable")
    sure, right = np.asarray(confidence)[order], np.asarray(correct, dtype=float)[order]
    parts = np.array_split(np.arange(len(order)), min(bins, len(order)))
    return float(sum(len(p) * abs(sure[p].mean() - right[p].mean()) for p in parts) / len(order))


def verdict_rates(
    known: Sequence[VerdictName], known_right: Sequence[bool], foreign: Sequence[VerdictName]
) -> dict[str, float]:
    """The rates of a verdict; a rate without photos to count is NaN.

    known: verdicts of photos of catalogue products; known_right: whether the first label was right.
    """

    def share(verdicts: Sequence[VerdictName], name: VerdictName) -> float:
        return sum(v is name for v in verdicts) / len(verdicts) if verdicts else float("nan")

    accepted = [right for v, right in zip(known, known_right, strict=True) if v is VerdictName.KNOWN]
    return {
        "false_accept": share(foreign, VerdictName.KNOWN),
        "false_reject": share(known, VerdictName.UNKNOWN),
        "unsure_known": share(known, VerdictName.UNSURE),
        "unsure_foreign": share(foreign, VerdictName.UNSURE),
        "wrong_known": sum(not right for right in accepted) / len(accepted) if accepted else float("nan"),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """``{mean, std}`` over folds (sample standard deviation; 0 for one fold)."""
    array = np.asarray(values, dtype=float)
    return {"mean": float(array.mean()), "std": float(array.std(ddof=1)) if len(array) > 1 else 0.0}


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Mean of the paired differences ours - theirs over folds, with its standard error."""
    gap = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    error = float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else float("nan")
    return {"mean": float(gap.mean()), "standard_error": error}


def paired_interval(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> tuple[float, float]:
    """95 % normal interval of the paired difference of two accuracies over the same photos."""
    gap = ours.astype(float) - theirs.astype(float)
    half = 1.96 * gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else float("nan")
    return float(gap.mean() - half), float(gap.mean() + half)


def without_nan(values: Mapping[str, float]) -> dict[str, float | None]:
    """For JSON: NaN (nothing to count) becomes null."""
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}
