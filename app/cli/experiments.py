"""``python -m app experiments ...``: the questions the paper leaves open, measured on this installation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from app.cli.common import emit, json_option, say
from app.cli.crops import crops
from app.cli.experiment_tables import category_lines, label_lines, mislabel_lines, parameter_lines
from app.cli.modality_tables import modality_lines
from app.cli.shared_tables import variant_lines
from app.config import Settings
from app.jobs.allocator import keep_freed_memory
from app.jobs.experiments import CatalogueData, catalogue_data, rendered_photos, write_result
from app.jobs.finetune import depth_experiment
from app.jobs.shared_material import shared_material
from app.wiring import build_container
from augment.variants import SELECTABLE_NAMES, VARIANT_NAMES
from models.errors import UsageError
from models.training.bottlenecks.progress import TqdmProgress
from models.training.experiments.categories import compare_categories
from models.training.experiments.hyper_parameters import search_hyper_parameters
from models.training.experiments.labels import (
    COUNTS,
    RENDERED_COUNTS,
    SEEDS,
    accuracy_by_labels,
    rendered_accuracy,
)
from models.training.experiments.mislabels import SEEDS as FLIPS
from models.training.experiments.mislabels import SHARES, measure_care
from models.training.experiments.shared_space import SEEDS as SPLITS
from models.training.experiments.shared_space import compare_variants
from models.training.experiments.synthetic_modalities import SEEDS as WORLDS
from models.training.experiments.synthetic_modalities import SyntheticPlan, synthetic_modalities
from models.training.experiments.synthetic_picture import draw_embedding
from models.training.finetune.depth import SHARES as DEPTH_SHARES
from models.training.finetune.depth import DepthPlan
from models.training.finetune.settings import DEPTHS, LEAST_INPUT_SIZE, Depth, FinetuneSettings
from models.training.shared.batches import Variant
from models.training.shared.learner import SharedSettings

_PHONE_PHOTOS = 2
_TUNING = FinetuneSettings()
_SHARED = SharedSettings()


def _variants_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--variant`` and ``--without-variants``, as ``train`` has them."""
    function = click.option(
        "--variant", "variants", multiple=True, type=click.Choice(SELECTABLE_NAMES), help="Only these variants."
    )(function)
    return click.option("--without-variants", is_flag=True, help="Learn from the originals alone.")(function)


@click.group()
def command() -> None:
    """Tables measured on the stored bottlenecks; each is also written to HOME/experiments/<name>.json."""


@command.command()
@click.option("--count", "counts", multiple=True, type=click.IntRange(min=2), help="A number of labels; may repeat.")
@click.option("--seeds", type=click.IntRange(1, 100), default=SEEDS, show_default=True, help="Random subsets a count.")
@click.option("--rendered", type=click.IntRange(min=2), help="On so many rendered products instead of the catalogue.")
@click.option(
    "--phone-photos",
    type=click.IntRange(1, 100),
    default=_PHONE_PHOTOS,
    show_default=True,
    help="With --rendered: phone photos a product to measure on.",
)
@_variants_option
@json_option
def labels(
    counts: tuple[int, ...],
    seeds: int,
    rendered: int | None,
    phone_photos: int,
    variants: tuple[str, ...],
    without_variants: bool,
    as_json: bool,
) -> None:
    """Accuracy against the number of labels."""
    if rendered is None:
        data = _catalogue(variants, without_variants)
        rows = accuracy_by_labels(data.photos, data.split, counts or COUNTS, seeds, progress=say, seen=data.seen)
        _finish("labels", {**data.facts(), "rows": rows}, as_json, label_lines)
        return
    if variants or without_variants:
        raise UsageError("rendered products are learned from their eight views, without variants: leave those out")
    with TqdmProgress("features") as progress:
        photos, facts = rendered_photos(Settings.from_env(), rendered, phone_photos, say, progress)
    rows = rendered_accuracy(photos, counts or RENDERED_COUNTS, seeds, progress=say)
    _finish("labels-rendered", {**facts, "rows": rows}, as_json, label_lines)


@command.command()
@click.option(
    "--level",
    "levels",
    multiple=True,
    type=click.IntRange(1, 8),
    default=(1, 2),
    show_default=True,
    help="Of the category tree: 1 large, 2 medium, 3 small; may repeat.",
)
@_variants_option
@json_option
def categories(levels: tuple[int, ...], variants: tuple[str, ...], without_variants: bool, as_json: bool) -> None:
    """One classifier for all labels against one a category, with and without the shopper's help."""
    data = _catalogue(variants, without_variants)
    distinct = sorted(set(levels))
    rows = compare_categories(data.photos, data.paths, data.split, distinct, progress=say, seen=data.seen)
    _finish("categories", {**data.facts(), "levels": rows}, as_json, category_lines)


@command.command("hyper-parameters")
@_variants_option
@json_option
def hyper_parameters(variants: tuple[str, ...], without_variants: bool, as_json: bool) -> None:
    """Search on the validation photos of the split, report once on its test photos."""
    data = _catalogue(variants, without_variants)
    found = search_hyper_parameters(data.photos, data.split, progress=say, seen=data.seen)
    _finish("hyper-parameters", {**data.facts(), **found}, as_json, parameter_lines)


@command.command()
@click.option(
    "--share",
    "shares",
    multiple=True,
    type=click.FloatRange(0.0, 1.0, max_open=True),
    default=SHARES,
    show_default=True,
    help="Of labels flipped at random; may repeat.",
)
@click.option("--seeds", type=click.IntRange(1, 100), default=FLIPS, show_default=True, help="Flips a share.")
@_variants_option
@json_option
def mislabels(
    shares: tuple[float, ...], seeds: int, variants: tuple[str, ...], without_variants: bool, as_json: bool
) -> None:
    """How well flipped labels are found, and what they cost with and without care."""
    data = _catalogue(variants, without_variants)
    rows = measure_care(data.photos, data.split, shares, seeds, progress=say, seen=data.seen)
    _finish("mislabels", {**data.facts(), "rows": rows}, as_json, mislabel_lines)


@command.command()
@click.option("--from", "source", metavar="WEIGHTS", help="Start weights; PICKTURE_WEIGHTS by default.")
@click.option("--depth", "depths", multiple=True, type=click.Choice(DEPTHS), help="Only these; may repeat.")
@click.option(
    "--photos-share",
    "shares",
    multiple=True,
    type=click.FloatRange(0, 1, min_open=True),
    default=DEPTH_SHARES,
    show_default=True,
    help="Of each label's train photos; may repeat.",
)
@click.option("--epochs", type=click.IntRange(1, 1000), default=_TUNING.epochs, show_default=True)
@click.option("--views", type=click.IntRange(1, 64), default=_TUNING.views, show_default=True)
@click.option("--all-input-size", type=click.IntRange(LEAST_INPUT_SIZE, 600), help="Edge of the views of depth `all`.")
@json_option
def depth(
    source: str | None,
    depths: tuple[Depth, ...],
    shares: tuple[float, ...],
    epochs: int,
    views: int,
    all_input_size: int | None,
    as_json: bool,
) -> None:
    """How deep to retrain the network, by how many photos there are; goes on where it was interrupted."""
    keep_freed_memory()
    tuning = replace(_TUNING, epochs=epochs, views=views)
    plan = DepthPlan(depths or DEPTHS, shares, tuning, all_input_size)
    container = build_container(Settings.from_env())
    try:
        table, path = depth_experiment(container.settings, container.engine, container.media, plan, source, say)
    finally:
        container.close()
    _show(path, as_json, lambda: "\n".join(table.lines()))


@command.command("synthetic-modalities")
@click.option("--seeds", type=click.IntRange(1, 100), default=WORLDS, show_default=True, help="Worlds drawn anew.")
@json_option
def modalities(seeds: int, as_json: bool) -> None:
    """Three drawn modalities fused into one embedding: the table of the paper it comes from, beside ours."""
    keep_freed_memory()
    home = Settings.from_env().home
    processes = min(len(os.sched_getaffinity(0)), 2 * seeds)
    result = synthetic_modalities(SyntheticPlan(seeds, processes), say)
    picture = home / "experiments" / "synthetic-modalities.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    say(f"drawing {picture}")
    picture.write_bytes(draw_embedding())
    _finish("synthetic-modalities", result, as_json, modality_lines)


@command.command("shared-space")
@click.option("--seeds", type=click.IntRange(1, 100), default=SPLITS, show_default=True, help="Splits drawn anew.")
@click.option("--variant", "variants", multiple=True, type=click.Choice([v.value for v in Variant]), help="May repeat.")
@click.option("--epochs", type=click.IntRange(1, 1000), default=_SHARED.epochs, show_default=True)
@json_option
def shared_space(seeds: int, variants: tuple[str, ...], epochs: int, as_json: bool) -> None:
    """Ways to train the shared space of words and photos, compared, and types that it never saw."""
    container = build_container(Settings.from_env())
    try:
        material = shared_material(container.settings, container.engine, container.media, say, planted=0)
    finally:
        container.close()
    chosen = [Variant(name) for name in variants] or list(Variant)
    result = compare_variants(material.data, seeds, chosen, replace(_SHARED, epochs=epochs), say)
    facts = {"weights": material.backbone.space.weights, "space": material.backbone.space.identifier}
    _finish("shared-space", {**facts, **result}, as_json, variant_lines)


command.add_command(crops)


def _catalogue(variants: Sequence[str], without_variants: bool) -> CatalogueData:
    names = () if without_variants else (tuple(variants) or VARIANT_NAMES)
    container = build_container(Settings.from_env())
    try:
        return catalogue_data(container.settings, container.engine, container.media, names, say)
    finally:
        container.close()


def _finish(name: str, result: dict[str, Any], as_json: bool, lines: Callable[[dict[str, Any]], str]) -> None:
    _show(write_result(Settings.from_env().home, name, result), as_json, lambda: lines(result))


def _show(path: Path, as_json: bool, lines: Callable[[], str]) -> None:
    say(f"written: {path}")
    emit(json.loads(path.read_text("utf-8")), as_json, lines)
