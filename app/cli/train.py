"""``python -m app train`` (``make train``)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from app.cli.common import emit, json_option, say
from app.config import Settings
from app.jobs.training import TrainOptions, TrainReport, train_and_publish
from app.wiring import build_container
from augment.variants import SELECTABLE_NAMES, VARIANT_NAMES
from models.training.care.teaching import Care
from models.training.crossfit import CrossFitSettings
from models.training.fit.fcn import FcnSettings
from models.training.splits import FOLDS


@click.command()
@click.option("--folds", type=click.IntRange(2, 20), default=FOLDS, show_default=True, help="Folds, by scene.")
@click.option("--paper", is_flag=True, help="The FCN as in the paper: 1,000,000 steps, no early stopping.")
@click.option("--without-variants", is_flag=True, help="Train on the originals alone.")
@click.option("--variant", "variants", multiple=True, type=click.Choice(SELECTABLE_NAMES), help="Only these variants.")
@click.option(
    "--care",
    type=click.Choice([care.value for care in Care]),
    default=CrossFitSettings().care.value,
    show_default=True,
    help="What FCN and SVM make of photos whose label is probably wrong.",
)
@json_option
def command(
    folds: int, paper: bool, without_variants: bool, variants: tuple[str, ...], care: str, as_json: bool
) -> None:
    """Cross-validate, fit FCN, SVM, vote and verdict on the stored bottlenecks, and publish the bundle."""
    fit = CrossFitSettings(fcn=FcnSettings.paper() if paper else FcnSettings(), care=Care(care))
    names = () if without_variants else (variants or VARIANT_NAMES)
    container = build_container(Settings.from_env())
    try:
        report = train_and_publish(
            container.settings,
            container.engine,
            container.media,
            replace(TrainOptions(), folds=folds, variants=names, fit=fit),
            say,
        )
    finally:
        container.close()
    result = {"version": report.version, "space": report.space, "metrics": report.metrics}
    emit(result, as_json, lambda: _lines(report))


def _lines(report: TrainReport) -> str:
    metrics = report.metrics
    data = metrics["data"]
    told = [
        f"model {report.version} ({metrics['weights']} weights): {data['photos']} photos, {data['labels']} labels "
        f"({data['labels_trained']} trained), {data['scenes']} scenes, {data['folds']} folds",
        *_recognition(metrics),
    ]
    verdict = metrics["verdict"]
    if verdict["all"]["false_accept"] is not None and verdict["all"]["false_reject"] is not None:
        rates = "  ".join(f"{name} {_percent(value)}" for name, value in verdict["all"].items())
        told.append(f"verdict{'' if verdict['calibrated'] else ' (not calibrated)'}: {rates}")
    told.append(f"report: {report.folder / 'report.html'}")
    return "\n".join(told)


def _recognition(metrics: dict[str, Any]) -> list[str]:
    """Table 3 and, where the backbone has seen photos, the same with those."""
    honest, flattered = metrics["table3"], metrics["table3_with_seen"]
    if not honest and not flattered:
        return ["no label has photos of two scenes: nothing could be cross-validated; k-NN serves alone"]
    told = _table3(honest) if honest else ["the backbone has seen every photo that could be cross-validated"]
    if flattered:
        seen, count = metrics["data"]["seen_by_backbone"], flattered["calibration"]["photos"]
        told += [
            f"the backbone has seen {seen} photos; they calibrate nothing. With them, which flatters ({count} photos):",
            *_table3(flattered),
        ]
    return told


def _table3(table: dict[str, Any]) -> list[str]:
    told = [f"{'':6}{'Top-1':>14}{'Top-5':>14}{'macro-F1':>14}{'fit s':>10}"]
    for name in [name for name in ("fcn", "knn", "svm", "vote") if name in table]:
        row = table[name]
        cells = "".join(
            f"{100 * row[measure]['mean']:8.1f} ±{100 * row[measure]['std']:4.1f}"
            for measure in ("top1", "top5", "macro_f1")
        )
        seconds = row.get("fit_seconds")
        told.append(f"{name:6}{cells}" + (f"{seconds['mean']:10.1f}" if seconds else ""))
    return told


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f} %"
