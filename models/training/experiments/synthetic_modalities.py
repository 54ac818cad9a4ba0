"""Seed 003's experiment again: three drawn modalities fused, and what each subset of them finds (mission B9).

One network a metric is trained on classes 0-29 only; items of classes it knows, of 0-50 and of all are then named by
their distance to members of each class. What the seed leaves open is listed in ``CHOICES``; numbers that had to be set
were set on the cells of one modality and known classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from models.errors import UsageError
from models.multimodal.modalities import FusionEmbedding, Metric
from models.training.experiments.synthetic_search import (
    RANGES,
    Found,
    Gallery,
    by_class_means,
    by_members,
    by_members_in_all,
)
from models.training.experiments.synthetic_world import SPREADS, Drawn, World
from models.training.fit.modalities import ModalityItems, ModalitySettings, fit_modalities
from models.training.measures import spread

SEEDS: Final = 5
METRICS: Final[tuple[Metric, ...]] = ("euclidean", "cosine")
KNOWN: Final = RANGES["known"]
K: Final = 200
MANY_K: Final = (5, 20, 200, 2000)
WHOLE: Final = "0,1,2"
SUBSETS: Final = ("0", "1", "2", "0,1", "0,2", "1,2", WHOLE)

SIZES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType({"ten_times": (1000, 100), "within": (91, 9)})
"""The two readings of "100 a class, train and test 10:1": items a class to train on, and to ask about."""

PAPER: Final[Mapping[tuple[str, int], tuple[float, ...]]] = MappingProxyType(
    {
        ("0", 200): (62.07, 91.13, 63.27, 95.53, 45.77, 83.26, 46.02, 86.08, 29.14, 64.07, 29.78, 66.11),
        ("1", 200): (63.87, 92.10, 65.07, 95.67, 59.22, 90.71, 60.10, 92.65, 43.68, 83.15, 43.62, 83.44),
        ("2", 200): (43.00, 80.37, 44.23, 85.03, 37.20, 72.43, 38.39, 76.31, 25.71, 59.17, 26.12, 60.38),
        ("0,1", 200): (88.27, 96.77, 93.73, 99.93, 78.65, 94.33, 83.20, 99.12, 66.75, 88.97, 71.85, 93.98),
        ("0,2", 200): (79.00, 95.30, 82.20, 99.37, 66.84, 89.98, 71.24, 95.65, 52.43, 82.30, 55.90, 87.76),
        ("1,2", 200): (89.40, 98.57, 90.10, 99.67, 80.80, 97.31, 81.00, 98.73, 68.85, 93.44, 69.20, 94.29),
        (WHOLE, 5): (95.73, 98.23, 97.57, 99.93, 80.63, 95.75, 82.47, 97.98, 69.65, 90.61, 68.81, 92.21),
        (WHOLE, 20): (95.87, 98.57, 97.50, 99.97, 83.49, 96.71, 83.78, 97.16, 72.01, 93.15, 71.79, 93.40),
        (WHOLE, 200): (96.03, 98.83, 97.53, 99.97, 84.59, 96.77, 85.16, 98.04, 73.20, 93.35, 73.56, 94.11),
        (WHOLE, 2000): (95.83, 98.77, 97.53, 99.97, 84.49, 96.80, 85.43, 98.02, 72.82, 93.21, 73.70, 94.21),
    }
)
"""The seed's table, per cent: for known, mixed and all classes each EUC top-1, top-5, COS top-1, top-5."""

CHOICES: Final = (
    "Data: a class is uniform or normal with equal chance, anew for each modality; its place is uniform in 0..1, its "
    "standard deviation uniform between 0 and a largest value, one a modality; the values of an item are independent.",
    "Data: the largest standard deviations are the only numbers set by the seed's table, by its COS top-1 of one "
    "modality and known classes.",
    "10:1: the seed's shares of known and of 0-50 are multiples of 1/3000 and 1/5100, so 100 items a class were asked "
    "about; then 1,000 a class are trained on (of all classes drawn, of 0-29 used). Shown beside it: 91 + 9 a class.",
    "0-50: the 51 classes from 0 to 50, by the same shares.",
    "K: members of each class, drawn at random from its training items with replacement, as K = 2000 exceeds them; "
    "the same members for every query. Shown beside it: K members in all, which cannot have given the seed's K = 5.",
    "A class's distance is that to the mean of its K members (of unit length for COS), which found more than the mean "
    "of the K distances for one modality and known classes; that mean, the distance to the nearest of the K and to the "
    "mean of all members (the prototype) are shown beside it.",
    "One network a metric serves every subset: a missing modality is zeros and a flag. A subset's queries are compared "
    "with members of the same subset.",
    "Network: every layer but the last has 128 outputs and a ReLU; embeddings have 64 values; inputs are standardised.",
    "Pairs: all pairs of a step's 240 items (30 groups of 8), in each of the seven subsets; alike and unalike count "
    "half each. Half of the groups take each modality from a class of its own, so that unalike pairs share modalities.",
    "Loss: cross-entropy of the scaled cosine (COS; the squared error found less for one modality and known classes), "
    "margin loss with margin 1 (EUC).",
    "Training: Adam, 4,000 steps, 0.002 falling to 0 along half a cosine, no validation, the last step is kept.",
    "A seed draws everything anew: classes, items, start values, members.",
)

_READINGS: Final = ("mean", "nearest", "centroid", "class_means", "in_all_centroid", "in_all_nearest")

Progress = Callable[[str], None]
Cells = dict[str, dict[str, dict[str, Found]]]
"""Reading -> "modalities|K" -> range -> found."""


@dataclass(frozen=True, slots=True)
class SyntheticPlan:
    """What to run. processes: side by side, one thread each."""

    seeds: int = SEEDS
    processes: int = 1
    settings: ModalitySettings = field(default_factory=ModalitySettings)


@dataclass(frozen=True, slots=True)
class Run:
    """One network of the experiment. size: one of ``SIZES``."""

    seed: int
    metric: Metric
    size: str
    settings: ModalitySettings


def synthetic_modalities(plan: SyntheticPlan, progress: Progress = lambda line: None) -> dict[str, Any]:
    """Train and search for every seed, metric and reading of 10:1.

    Returns ``{seeds, choices, spreads, settings, cells, readings}``: ``cells`` is the seed's table, one a metric,
    subset, K and range with ``top1`` and ``top5`` as ``{mean, std, low, high}`` in 0..1 beside the seed's own
    (``paper``); ``readings`` has the other readings of K, of a class's distance and of 10:1 in the same form.
    :raise UsageError: fewer than one seed or process.
    """
    if plan.seeds < 1 or plan.processes < 1:
        raise UsageError(f"seeds={plan.seeds}, processes={plan.processes}; expected at least 1 each")
    runs = [
        Run(seed, metric, size, replace(plan.settings, metric=metric, seed=seed))
        for size in SIZES
        for seed in range(plan.seeds)
        for metric in METRICS
    ]
    found: dict[tuple[str, Metric, int], Cells] = {}
    for done, (run, cells) in enumerate(_all_runs(runs, plan.processes), start=1):
        found[run.size, run.metric, run.seed] = cells
        progress(f"{done} of {len(runs)}: {run.metric}, {' + '.join(map(str, SIZES[run.size]))} items, seed {run.seed}")
    return {
        "seeds": plan.seeds,
        "choices": list(CHOICES),
        "spreads": dict(SPREADS),
        "settings": asdict(plan.settings),
        "cells": _cells(found, "ten_times", "centroid", plan.seeds),
        "readings": {
            "nearest member": _cells(found, "ten_times", "nearest", plan.seeds),
            "mean of the K distances": _cells(found, "ten_times", "mean", plan.seeds),
            "class means": _cells(found, "ten_times", "class_means", plan.seeds),
            "K in all, mean": _cells(found, "ten_times", "in_all_centroid", plan.seeds),
            "K in all, nearest": _cells(found, "ten_times", "in_all_nearest", plan.seeds),
            "91 + 9 items a class": _cells(found, "within", "centroid", plan.seeds),
        },
    }


def trained_embedding(world: World, run: Run) -> tuple[FusionEmbedding, Drawn, Drawn]:
    """(the network, its world's training items of all classes, the items to ask about)."""
    members, queries = (world.draw(count) for count in SIZES[run.size])
    known = members.labels < KNOWN
    inputs = {name: values[known] for name, values in members.inputs.items()}
    return fit_modalities(ModalityItems(inputs, members.labels[known], {}), run.settings), members, queries


def gallery(embedding: FusionEmbedding, subset: str, members: Drawn, queries: Drawn) -> Gallery:
    """Everything embedded from the subset's modalities alone."""
    names = subset.split(",")
    asked, found = (embedding.embed({name: items.inputs[name] for name in names}) for items in (queries, members))
    return Gallery(embedding, asked, queries.labels, found, members.labels)


def _all_runs(runs: Sequence[Run], processes: int) -> Any:
    if processes == 1:
        yield from ((run, measure(run)) for run in runs)
        return
    # Spawned, not forked: TensorFlow does not survive a fork.
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_one_thread) as pool:
        waiting = {pool.submit(measure, run): run for run in runs}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _one_thread() -> None:
    from models.backbone.network import load_keras

    tensorflow, _ = load_keras()
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)


def measure(run: Run) -> Cells:
    """Train one network and search in every way."""
    with threadpool_limits(1, user_api="blas"):
        embedding, members, queries = trained_embedding(World(run.seed), run)
        rng = np.random.default_rng([run.seed, 1])
        cells: Cells = {name: {} for name in _READINGS}
        for subset in SUBSETS:
            own = gallery(embedding, subset, members, queries)
            cells["class_means"][f"{subset}|all"] = by_class_means(own)
            for k in MANY_K if subset == WHOLE else (K,):
                found = by_members(own, k, rng)
                for rule, own_cells in found.items():
                    cells[rule][f"{subset}|{k}"] = own_cells
                if subset == WHOLE:
                    in_all = by_members_in_all(own, k, rng)
                    cells["in_all_centroid"][f"{subset}|{k}"] = in_all["centroid"]
                    cells["in_all_nearest"][f"{subset}|{k}"] = in_all["nearest"]
        return cells


def _cells(found: Mapping[tuple[str, Metric, int], Cells], size: str, reading: str, seeds: int) -> list[dict[str, Any]]:
    rows = []
    for key in found[size, METRICS[0], 0][reading]:
        subset, k = key.split("|")
        for name, count in RANGES.items():
            for metric in METRICS:
                each = [found[size, metric, seed][reading][key][name] for seed in range(seeds)]
                rows.append(
                    {
                        "modalities": subset,
                        "k": int(k) if k.isdigit() else None,
                        "classes": name,
                        "class_count": count,
                        "metric": metric,
                        "top1": _spread([one.top1 for one in each]),
                        "top5": _spread([one.top5 for one in each]),
                        "paper": _paper(subset, k, name, metric),
                    }
                )
    return rows


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {**spread(values), "low": min(values), "high": max(values)}


def _paper(subset: str, k: str, classes: str, metric: Metric) -> dict[str, float] | None:
    """The seed's figures for a cell, 0..1; None where it has none."""
    row = PAPER.get((subset, int(k))) if k.isdigit() else None
    if row is None:
        return None
    start = 4 * list(RANGES).index(classes) + 2 * METRICS.index(metric)
    return {"top1": row[start] / 100.0, "top5": row[start + 1] / 100.0}
