"""The table of ``experiments crops``, in per cent."""

from __future__ import annotations

from typing import Any


def crop_lines(result: dict[str, Any]) -> str:
    """A line for each box and merge."""
    told = [
        f"{result['weights']} weights; {result['asked']} photos of products, {result['looked_again']} looked at again"
        + ("" if result["second_look_ms"] is None else f"; a second look takes {result['second_look_ms']:.0f} ms"),
        f"{'second look at':16}{'merged':8}{'there':>6}{'area':>6}  {'Top-1':>14}{'Top-5':>15}"
        f"{'gain, points (95 % interval)':>32}{'mended':>8}{'spoilt':>8}{'of all':>8}"
        f"{'known, wrong':>14}{'foreign':>9}",
    ]
    for row in result["rows"]:
        low, high = (_points(bound) for bound in row["interval_95"])
        gain = f"{_signed(row['gain'])} ({low} to {high})"
        sure = f"{row['verdicts']['known']}, {row['wrong_known']}"
        strange = f"{row['foreign']['accepted']}/{row['foreign']['photos']}"
        told.append(
            f"{row['box']:16}{row['merge']:8}{row['suggested']:6d}{_share(row['mean_area']):>6}  "
            f"{_points(row['top1_before']):>6} > {_points(row['top1_after']):>5}"
            f"{_points(row['top5_before']):>7} > {_points(row['top5_after']):>5}"
            f"{gain:>32}{row['mended']:8d}{row['spoilt']:8d}{_signed(row['gain_of_all']):>8}{sure:>14}{strange:>9}"
        )
    told.append(
        "there: photos with a suggestion; known: answers that the second look makes sure of; foreign: foreign photos "
        "that it accepts, of those that were unsure"
    )
    return "\n".join(told)


def crop_kind_lines(result: dict[str, Any]) -> str:
    """A table for each kind of scene."""
    return "\n\n".join(f"{kind}:\n{crop_lines(row)}" for kind, row in result["kinds"].items())


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _points(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f}"


def _signed(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:+.1f}"
