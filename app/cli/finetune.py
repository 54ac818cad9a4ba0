"""``python -m app finetune`` (``make finetune``)."""

from __future__ import annotations

from dataclasses import asdict

import click

from app.cli.common import emit, json_option, say
from app.config import Settings
from app.jobs.allocator import keep_freed_memory
from app.jobs.finetune import DEFAULT_NAME, FinetuneOptions, FinetuneReport, finetune_catalogue
from app.wiring import build_container
from models.training.finetune.compare import table_lines
from models.training.finetune.settings import DEPTHS, LEAST_INPUT_SIZE, FinetuneSettings

_DEFAULT = FinetuneSettings()
_ADVICE = {
    "worse": ("keep what you have: the new weights are worse on photos that neither saw",),
    "no difference shown": ("keep what you have: nothing shows that the new weights are better",),
}


@click.command()
@click.option("--from", "source", help="Start weights; PICKTURE_WEIGHTS by default.")
@click.option(
    "--depth", type=click.Choice(DEPTHS), default=_DEFAULT.depth, show_default=True, help="Blocks that are trained."
)
@click.option(
    "--photos-share",
    type=click.FloatRange(0, 1, min_open=True),
    default=_DEFAULT.photos_share,
    show_default=True,
    help="Share of each label's train photos.",
)
@click.option("--epochs", type=click.IntRange(1), default=_DEFAULT.epochs, show_default=True, help="At most.")
@click.option(
    "--views",
    type=click.IntRange(1),
    default=_DEFAULT.views,
    show_default=True,
    help="Augmented views a photo, stored; not with --depth all.",
)
@click.option(
    "--input-size",
    type=click.IntRange(LEAST_INPUT_SIZE, 600),
    default=_DEFAULT.input_size,
    show_default=True,
    help="Edge of the views trained on, pixels; smaller is faster.",
)
@click.option("--learning-rate", type=click.FloatRange(0, 1, min_open=True), help="Peak; by default the depth's own.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Of the new weights.")
@json_option
def command(
    source: str | None,
    depth: str,
    photos_share: float,
    epochs: int,
    views: int,
    input_size: int,
    learning_rate: float | None,
    name: str,
    as_json: bool,
) -> None:
    """Adapt the backbone to the catalogue's photos, as new weights beside those in use.

    Can be interrupted at any time; the same command goes on after the last whole epoch. Nothing that is served
    changes: the commands that switch, and those that switch back, are printed at the end.
    """
    keep_freed_memory()
    chosen = next(known for known in DEPTHS if known == depth)
    tuning = FinetuneSettings(chosen, photos_share, epochs, _DEFAULT.patience, views, input_size, learning_rate)
    container = build_container(Settings.from_env())
    try:
        report = finetune_catalogue(
            container.settings, container.engine, container.media, FinetuneOptions(name, source, tuning), say
        )
    finally:
        container.close()
    emit({**asdict(report), "weights": str(report.weights)}, as_json, lambda: _lines(report))


def _lines(report: FinetuneReport) -> str:
    told = [
        f"{report.weights}: {report.start} adapted to {report.photos['train']} photos of {report.labels} labels, depth "
        f"{report.depth}, epoch {report.best_epoch} of {report.epochs}, {report.seconds / 60:.0f} min",
        *table_lines(report.comparison),
        f"outcome (softmax Top-1): {report.outcome}",
        *_ADVICE.get(report.outcome, ()),
        "to use them (a new space; look at what retrain says; the service follows the promotion by itself):",
        *(f"  {line}" for line in report.use),
        "to go back:",
        *(f"  {line}" for line in report.back),
    ]
    return "\n".join(told)
