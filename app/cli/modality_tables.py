"""The result of ``experiments synthetic-modalities`` as tables for people, in per cent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_TITLES = {"known": "known (0-29)", "mixed": "known and unknown (0-50)", "all": "all (0-99)"}
_METRICS = {"euclidean": "EUC", "cosine": "COS"}
_MEASURES = (("top1", "top-1"), ("top5", "top-5"))


def modality_lines(result: Mapping[str, Any]) -> str:
    """The seed's table, a part a range of classes, the other readings, and the choices."""
    told = [f"mean ± standard deviation over {result['seeds']} seeds, in brackets the paper's one run"]
    for classes, title in _TITLES.items():
        told += ["", title, _head()]
        told += _rows(cell for cell in result["cells"] if cell["classes"] == classes)
    for reading, cells in result["readings"].items():
        told += ["", f"{reading}, all classes", _head()]
        told += _rows(cell for cell in cells if cell["classes"] == "all")
    short = sum(_shortfall(cell) > 0.03 for cell in result["cells"] if cell["metric"] == "cosine")
    told += ["", f"COS cells more than 3 points below the paper's, top-1 or top-5: {short}"]
    told += ["", "choices that the paper leaves open:", *(f"- {choice}" for choice in result["choices"])]
    return "\n".join(told)


def _head() -> str:
    columns = "".join(f"{f'{name} {title}':>22}" for name in _METRICS.values() for _, title in _MEASURES)
    return f"{'modalities':12}{'K':>6}{columns}"


def _rows(cells: Iterable[Mapping[str, Any]]) -> list[str]:
    lines: dict[tuple[str, Any], dict[str, str]] = {}
    for cell in cells:
        told = "".join(_figure(cell, measure) for measure, _ in _MEASURES)
        lines.setdefault((cell["modalities"], cell["k"]), {})[cell["metric"]] = told
    return [
        f"{modalities:12}{'all' if k is None else k:>6}" + "".join(told[metric] for metric in _METRICS)
        for (modalities, k), told in lines.items()
    ]


def _figure(cell: Mapping[str, Any], measure: str) -> str:
    ours = f"{100 * cell[measure]['mean']:.1f} ±{100 * cell[measure]['std']:4.1f}"
    paper = "" if cell["paper"] is None else f" ({100 * cell['paper'][measure]:.1f})"
    return f"{ours + paper:>22}"


def _shortfall(cell: Mapping[str, Any]) -> float:
    """How far the worse of both measures lies below the paper's, 0..1."""
    paper = cell["paper"] or {}
    return max((paper[measure] - cell[measure]["mean"] for measure in paper), default=0.0)
