"""``python -m app retrain``: what ``POST /v1/admin/retrain`` does, here and now."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import click

from app.cli.common import emit, json_option, say
from app.config import Settings
from app.jobs.gate import Promote
from app.jobs.retrain import RetrainOptions, RetrainReport, Told, retrain
from app.jobs.training import TrainOptions
from app.wiring import build_container
from augment.variants import VARIANT_NAMES
from models.training.bottlenecks.progress import TqdmProgress
from models.training.gate import comparison_lines
from models.training.splits import FOLDS


@click.command()
@click.option("--folds", type=click.IntRange(2, 20), default=FOLDS, show_default=True, help="Folds, by scene.")
@click.option("--without-variants", is_flag=True, help="Train on the originals alone.")
@click.option(
    "--promote",
    type=click.Choice(["auto", "never"]),
    default="auto",
    show_default=True,
    help="auto: serve it where the gate lets it; never: keep it for `models promote`.",
)
@json_option
def command(folds: int, without_variants: bool, promote: Promote, as_json: bool) -> None:
    """Learn what is new and serve it if it is not worse: bottlenecks, a challenger, the comparison, the decision.

    Exit status 0 also where the challenger is refused: the reason is in the answer.
    """
    variants = () if without_variants else VARIANT_NAMES
    options = RetrainOptions(replace(TrainOptions(), folds=folds, variants=variants), promote)
    container = build_container(Settings.from_env())
    try:
        with ExitStack() as filling:
            told = Told(say, filling.enter_context(TqdmProgress()), lambda report: filling.close(), say)
            report = retrain(container.settings, container.engine, container.media, options, told)
    finally:
        container.close()
    emit(report.to_json(), as_json, lambda: _lines(report))


def _lines(report: RetrainReport) -> str:
    filled = report.bottlenecks
    told = [] if filled is None else [f"{filled.fill.new_photos} of {filled.photos} photos were new"]
    told += comparison_lines(report.gate["comparison"])
    told.append(f"model {report.trained.version} {report.gate['decision']}: {report.gate['reason']}")
    told.append(f"report: {report.trained.folder / 'report.html'}")
    told += report.text.lines()
    return "\n".join(told)
