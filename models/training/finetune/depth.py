"""The experiment: how deep to retrain the network, by how many photos there are (question A13 of the paper).

Each depth is trained on two shares of every label's train photos and measured on the photos that no weights saw, with
classifiers fitted on the same share: what a shop with that many photos would get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from models.errors import UsageError
from models.training.finetune.compare import MEASURES
from models.training.finetune.network import build_any_size
from models.training.finetune.photos import LabelledPhoto, choose_photos
from models.training.finetune.run import Finetuned, Say, Workshop
from models.training.finetune.settings import DEPTHS, Depth, FinetuneSettings
from models.training.finetune.start import StartWeights
from models.training.splits import Split

SHARES: Final = (0.3, 1.0)
_REMEDY: Final = "give it the options that it began with"


@dataclass(frozen=True, slots=True)
class DepthPlan:
    """What to compare. settings: for every run but its depth and share; ``all`` may have an input size of its own
    (the whole network at 299 is slow on a CPU)."""

    depths: Sequence[Depth] = DEPTHS
    shares: Sequence[float] = SHARES
    settings: FinetuneSettings = field(default_factory=FinetuneSettings)
    all_input_size: int | None = None

    def of(self, depth: Depth, share: float) -> FinetuneSettings:
        """The settings of one run."""
        size = self.settings.input_size
        if depth == "all" and self.all_input_size is not None:
            size = self.all_input_size
        return replace(self.settings, depth=depth, photos_share=share, input_size=size)


@dataclass(frozen=True, slots=True)
class DepthRow:
    """One line: depth at a share of the photos.

    comparison: see ``compare.compare``; None for ``none``, whose figures are every comparison's ``before``.
    epochs, best, seconds: of the training; 0 for ``none``.
    """

    depth: Depth | Literal["none"]
    share: float
    photos: int
    figures: dict[str, Any] | None
    comparison: dict[str, Any] | None
    epochs: int = 0
    best: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DepthTable:
    """All rows, and what they were measured on."""

    start: str
    judged: int
    scenes: int
    labels: int
    settings: dict[str, Any]
    rows: tuple[DepthRow, ...]

    def to_json(self) -> dict[str, Any]:
        """``{start, photos, scenes, labels, settings, rows[{depth, share, photos, epochs, best_epoch, seconds,
        probe|knn: {top1, top5, macro_f1}, difference: {probe|knn: ...} or null}]}``; differences are to the row
        ``none`` of the same share."""
        rows = []
        for row in self.rows:
            gaps = row.comparison and {name: row.comparison[name]["difference"] for name in ("probe", "knn")}
            told = {"depth": row.depth, "share": row.share, "photos": row.photos, "epochs": row.epochs}
            told |= {"best_epoch": row.best, "seconds": round(row.seconds, 1), **(row.figures or {})}
            rows.append({**told, "difference": gaps})
        about = {"start": self.start, "photos": self.judged, "scenes": self.scenes, "labels": self.labels}
        return {**about, "settings": self.settings, "rows": rows}

    def lines(self) -> list[str]:
        """For people."""
        told = [
            f"start weights {self.start}; {self.judged} photos of {self.scenes} scenes, {self.labels} labels, none of "
            "them shown in training",
            f"{'depth':10}{'photos':>8}{'softmax 1':>11}{'5':>7}{'F1':>7}{'k-NN 1':>9}{'5':>7}{'epochs':>8}{'min':>7}"
            "   softmax Top-1 against none",
        ]
        for row in self.rows:
            if row.figures is None:
                told.append(f"{row.depth:10}{row.photos:8}   no photo to measure on")
                continue
            probe, knn = ([100 * row.figures[name][m] for m in MEASURES] for name in ("probe", "knn"))
            cells = f"{probe[0]:11.1f}{probe[1]:7.1f}{probe[2]:7.1f}{knn[0]:9.1f}{knn[1]:7.1f}"
            told.append(f"{row.depth:10}{row.photos:8}{cells}{row.epochs:8}{row.seconds / 60:7.1f}{_against_none(row)}")
        return told


def run_depth(
    photos: Sequence[LabelledPhoto],
    split: Split,
    start: StartWeights,
    folder: Path,
    plan: DepthPlan | None = None,
    say: Say = lambda line: None,
    build: Callable[[], Any] = build_any_size,
) -> DepthTable:
    """Train every depth at every share, and measure.

    photos: the catalogue's. folder: for maps and checkpoints; made where it is missing and left in place, so that an
        interrupted experiment goes on; remove it afterwards (``Workshop.clean``).
    :raise UsageError: no depth or no share.
    :raise NotEnoughData, SplitError: see ``choose_photos``. :raise TrainingError: see ``Workshop``.
    """
    plan = plan or DepthPlan()
    if not plan.depths or not plan.shares:
        raise UsageError(f"depths {plan.depths} and shares {plan.shares} came; expected one of each at least")
    workshop = Workshop(start, folder, say, build, _REMEDY)
    by_share = {share: choose_photos(photos, split, start.seen, share, plan.settings.seed) for share in plan.shares}
    most = by_share[max(plan.shares)]
    rows: list[DepthRow] = []
    upper: list[Depth] = [depth for depth in plan.depths if depth != "all"]
    # One set of maps, of the largest share: it holds all that the smaller ones need.
    feeds = {"upper": workshop.feed(most, plan.of(upper[0], 1.0))} if upper else {}
    if "all" in plan.depths:
        feeds["all"] = workshop.feed(most, plan.of("all", 1.0))
    for share in plan.shares:
        chosen = by_share[share]
        say(f"{100 * share:g} % of each label's train photos: {len(chosen.taught)}")
        before = workshop.start_answers(next(iter(feeds.values())), chosen)
        made: dict[Depth, Finetuned] = {}
        for depth in plan.depths:
            say(f"depth {depth}")
            name = f"{depth}-{share!r}"  # the exact share: 0.301 is not 0.304
            feed = feeds["all" if depth == "all" else "upper"]
            made[depth] = workshop.finetune(feed, chosen, before, plan.of(depth, share), name)
        rows += _rows(share, len(chosen.taught), made)
    labels = len({photo.label for photo in most.judged})
    scenes = len(set(most.scenes.tolist()))
    settings = {**plan.settings.to_json(), "depth": None, "learning_rate": plan.settings.learning_rate}
    return DepthTable(start.name, len(most.judged), scenes, labels, settings, tuple(rows))


def _rows(share: float, photos: int, made: dict[Depth, Finetuned]) -> list[DepthRow]:
    """``none`` first, from the comparison that every depth brings along."""
    first = next(iter(made.values())).comparison
    rows = [DepthRow("none", share, photos, _figures(first, "before"), None)]
    for depth, run in made.items():
        comparison = dict(run.comparison)
        figures = _figures(comparison, "after")
        measured = comparison if figures is not None else None
        rows.append(DepthRow(depth, share, photos, figures, measured, len(run.history), run.best, run.seconds))
    return rows


def _figures(comparison: Any, side: str) -> dict[str, Any] | None:
    if comparison["probe"] is None:
        return None
    return {name: comparison[name][side] for name in ("probe", "knn")}


def _against_none(row: DepthRow) -> str:
    if row.comparison is None:
        return ""
    gap = row.comparison["probe"]["difference"]["top1"]
    bounds = "" if gap["low"] is None else f" ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f})"
    return f"   {100 * gap['mean']:+.1f}{bounds}"
