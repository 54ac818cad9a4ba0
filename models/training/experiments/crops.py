"""Is a second look worth its time? Photos whose verdict is not *known* are looked at again, in a part.

A photo's first answer comes from all of it. The second look sees a box (``suggested_crops``), or the photo's middle,
which costs no map and is what a suggestion must beat; the two are merged in one of three ways. The comparison is in
pairs over the same photos; a photo without a suggestion keeps its answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.training.experiments.suggested_crops import CropRule, suggest_crop
from models.training.measures import paired_interval, top_k
from models.values import Area, Float32, Ranking, VerdictName

Merge = Literal["crop", "both", "surer"]
MERGES: Final[tuple[Merge, ...]] = get_args(Merge)
"""crop: the second look alone. both: the mean of the two bottlenecks. surer: of the two answers the one whose first
candidate has the higher score; the first of equals."""

Judge = Callable[[Float32], tuple[Ranking, VerdictName]]
"""Names and judges a bottleneck, float32 (2048,)."""

Box = Callable[[Float32], Area | None]
"""The part to look at again, by the feature map."""


def _middle(share: float) -> Box:
    return lambda _: Area((1 - share) / 2, (1 - share) / 2, share, share)


def _suggested(rule: CropRule) -> Box:
    return lambda feature_map: suggest_crop(feature_map, rule)


BOXES: Final[Mapping[str, Box]] = {
    "middle 0.8": _middle(0.8),
    "middle 0.6": _middle(0.6),
    "energy 0.7": _suggested(CropRule("energy", 0.7)),
    "energy 0.5": _suggested(CropRule("energy", 0.5)),
    "principal 0.7": _suggested(CropRule("principal", 0.7)),
    "principal 0.5": _suggested(CropRule("principal", 0.5)),
    "rim 0.7": _suggested(CropRule("rim", 0.7)),
    "rim 0.5": _suggested(CropRule("rim", 0.5)),
}
"""What is compared: the photo's middle, and each weight with two shares of it held."""


CHOSEN: Final = ("principal 0.7", "middle 0.8")
"""What is measured on photos that the choice was not made by: the suggestion that gained most on scene folds of
groceries (``docs/decisions/0030-crop-suggestions.md``), and the middle beside it."""


@dataclass(frozen=True, slots=True, eq=False)
class LookedTwice:
    """A photo whose first verdict called for a second look.

    truth: its label; None: a foreign product. whole: bottleneck of all of it. parts: box -> bottleneck, where there is
    a suggestion. areas: box -> the suggestion. judge: of classifiers that never saw the photo's scene.
    """

    truth: str | None
    whole: Float32
    judge: Judge
    parts: Mapping[str, Float32] = field(default_factory=dict)
    areas: Mapping[str, Area] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Outcome:
    named: list[str]
    score: float
    verdict: VerdictName


def compare_ways(photos: Sequence[LookedTwice], boxes: Sequence[str], asked: int) -> list[dict[str, Any]]:
    """A row for each box and merge.

    asked: photos of products in all, sure ones too, which a second look leaves alone.
    Each row: ``{box, merge, photos, suggested, mean_area, top1_before, top1_after, top5_before, top5_after, gain,
    interval_95, mended, spoilt, gain_of_all, verdicts, wrong_known, foreign}``; gain: of Top-1 over the photos of
    products that were looked at again, and ``gain_of_all`` over all asked. verdicts: of the second answer, and
    ``wrong_known`` how many of the known ones are wrong. foreign: foreign photos that were looked at again, and how
    many of them are accepted then.
    """
    known = [photo for photo in photos if photo.truth is not None]
    foreign = [photo for photo in photos if photo.truth is None]
    before = [_outcome(photo.judge(photo.whole)) for photo in known]
    before_foreign = [_outcome(photo.judge(photo.whole)) for photo in foreign]
    return [_row(box, merge, (known, before), (foreign, before_foreign), asked) for box in boxes for merge in MERGES]


def _row(
    box: str,
    merge: Merge,
    known: tuple[Sequence[LookedTwice], Sequence[_Outcome]],
    foreign: tuple[Sequence[LookedTwice], Sequence[_Outcome]],
    asked: int,
) -> dict[str, Any]:
    photos, before = known
    after = [_second(photo, first, box, merge) for photo, first in zip(*known, strict=True)]
    stranger = [_second(photo, first, box, merge) for photo, first in zip(*foreign, strict=True)]
    truth = [str(photo.truth) for photo in photos]
    was, is_now = (_right(outcomes, truth) for outcomes in (before, after))
    accepted = [
        bool(right) for outcome, right in zip(after, is_now, strict=True) if outcome.verdict is VerdictName.KNOWN
    ]
    areas = [photo.areas[box] for photo in photos if box in photo.areas]
    gain = float(is_now.mean() - was.mean()) if photos else math.nan
    return {
        "box": box,
        "merge": merge,
        "photos": len(photos),
        "suggested": len(areas),
        "mean_area": float(np.mean([area.width * area.height for area in areas])) if areas else None,
        **{f"top{k}_before": top_k([o.named for o in before], truth, k) for k in (1, 5)},
        **{f"top{k}_after": top_k([o.named for o in after], truth, k) for k in (1, 5)},
        "gain": gain,
        "interval_95": paired_interval(is_now, was) if photos else (math.nan, math.nan),
        "mended": int((is_now & ~was).sum()),
        "spoilt": int((was & ~is_now).sum()),
        "gain_of_all": gain * len(photos) / asked if asked else math.nan,
        "verdicts": {name.value: sum(outcome.verdict is name for outcome in after) for name in VerdictName},
        "wrong_known": accepted.count(False),
        "foreign": {
            "photos": len(stranger),
            "accepted": sum(outcome.verdict is VerdictName.KNOWN for outcome in stranger),
        },
    }


def _outcome(judged: tuple[Ranking, VerdictName]) -> _Outcome:
    ranking, verdict = judged
    candidates = ranking.candidates
    return _Outcome([c.label for c in candidates], candidates[0].score if candidates else 0.0, verdict)


def _second(photo: LookedTwice, first: _Outcome, box: str, merge: Merge) -> _Outcome:
    part = photo.parts.get(box)
    if part is None:
        return first
    if merge == "both":
        mean = photo.whole + part
        return _outcome(photo.judge(mean / np.linalg.norm(mean)))
    second = _outcome(photo.judge(part))
    return first if merge == "surer" and first.score >= second.score else second


def _right(outcomes: Sequence[_Outcome], truth: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([o.named[:1] == [label] for o, label in zip(outcomes, truth, strict=True)], dtype=bool)
