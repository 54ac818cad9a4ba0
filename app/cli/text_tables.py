"""What ``text`` commands print for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from models.training.text.evaluate import INPUTS

_MEASURES: Final = ("accuracy", "top5", "macro_f1")


def measured_lines(result: Mapping[str, Any]) -> list[str]:
    """Of ``evaluate_text``."""
    told = [f"{result['rows']:,} rows, {result['with_image']:,} with a picture", f"{'':14}accuracy   Top-5  macro-F1"]
    for name in INPUTS:
        told.append(f"{name:14}" + "".join(_percent(result[name][measure]) for measure in _MEASURES))
    calibration = {name: _percent(value).strip() for name, value in result["calibration"].items()}
    told.append(
        f"calibration error {calibration['ece']}; above {calibration['threshold']} {calibration['answered']} are "
        f"answered, {calibration['precision']} of them rightly"
    )
    return told


def compared_lines(result: Mapping[str, Any]) -> list[str]:
    """Of ``compare_text``: mean and spread over the seeds."""
    told = [f"{result['split']} split; rows {result['rows']}"]
    for row in result["table"]:
        told += [f"{row['way']} ({row['seeds']} seeds)", f"{'':28}{'accuracy':>16}{'Top-5':>16}{'macro-F1':>16}"]
        for part in ("validation", "test"):
            for name, found in row[part].items():
                told.append(f"  {part:11}{name:15}" + "".join(_spread(found[measure]) for measure in _MEASURES))
    return told


def noise_lines(result: Mapping[str, Any]) -> list[str]:
    """Of ``compare_text`` with wrong types injected."""
    told = [f"{result['split']} split; rows {result['rows']}"]
    told.append(f"{'wrong':>7}  {'care':12}{'accuracy':>16}{'macro-F1':>16}   kept")
    for row in result["table"]:
        for way, found in row["care"].items():
            kept = (row.get("kept") or {}).get(way)
            told.append(
                f"{row['share']:7.0%}  {way:12}{_spread(found['accuracy'])}{_spread(found['macro_f1'])}"
                + ("" if kept is None else f"{kept:7.0%}")
            )
    return told


def stop_word_lines(result: Mapping[str, Any]) -> list[str]:
    """Of ``text stop-words``."""
    told = [
        f"proposed  {w['gain']:+.1%} in {w['rows']} names  {w['category']}: {w['word']}" for w in result["proposed"]
    ]
    told += [f"approved  {category}: {', '.join(listed)}" for category, listed in result["approved"].items()]
    return told or ["no stop words"]


def _percent(value: float | None) -> str:
    return "     n/a" if value is None else f"{100 * value:7.2f}%"


def _spread(found: Mapping[str, float | None]) -> str:
    if found["mean"] is None or found["std"] is None:
        return f"{'n/a':>16}"
    return f"{100 * found['mean']:9.2f} ±{100 * found['std']:5.2f}"
