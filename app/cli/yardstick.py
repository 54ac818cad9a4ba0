"""``python -m app yardstick`` (``make yardstick``): what weights are worth, with the network frozen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from app.cli.common import emit, json_option, say
from app.cli.evaluate import read_cases
from app.config import Settings
from app.jobs.experiments import write_result
from app.jobs.yardstick import list_photos, measure_source
from models.backbone.weights import resolve_weights
from models.training.bottlenecks.progress import TqdmProgress
from models.training.yardstick import PROBES

_LISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_MEASURES = ("top1", "top5", "macro_f1")


class _EverySku(dict[str, str]):
    """A catalogue in which every sku is its own label: the yardstick asks no database which there are."""

    def __contains__(self, sku: object) -> bool:
        return True

    def get(self, sku: str, default: Any = None) -> Any:
        return sku


@click.command()
@click.option("--train", "train", required=True, type=_LISTING, help="CSV with columns path,sku: photos to learn from.")
@click.option("--test", "test", required=True, type=_LISTING, help="CSV with columns path,sku: photos to measure on.")
@click.option(
    "--weights",
    "sources",
    required=True,
    multiple=True,
    help="random, embedded, imagenet, or the path of a .h5 or .npz file; may repeat.",
)
@json_option
def command(train: Path, test: Path, sources: tuple[str, ...], as_json: bool) -> None:
    """Softmax, SVM and k-NN on frozen features, for each weight source, and what the projection loses.

    Paths are relative to their CSV. Features are stored in the bottleneck cache and computed once. Needs no database.
    """
    settings = Settings.from_env()
    everything = _EverySku()
    listed = list_photos(*(read_cases(path, everything, allow_unlisted=False) for path in (train, test)))
    chosen = list(dict.fromkeys(sources))
    for source in chosen:  # before any is measured: a slip in the last name need not cost the hours of the others
        resolve_weights(source, settings.home)
    rows: list[dict[str, Any]] = []
    for source in chosen:
        say(f"{source}:")
        with TqdmProgress("features") as progress:
            rows.append(measure_source(listed, source, settings, say, progress))
        path = write_result(settings.home, "yardstick", {"weights": rows})
        say(f"written: {path}")
    for row in rows:
        _warn(row)
    emit(json.loads(path.read_text("utf-8")), as_json, lambda: "\n\n".join(_lines(row) for row in rows))


def _warn(row: dict[str, Any]) -> None:
    facts = row["test"]
    if facts["leaked_photos"]:
        say(f"warning: {facts['leaked_photos']} test photos are training photos too; figures on them are flattered")
    if facts["unknown_label_photos"]:
        say(f"warning: {facts['unknown_label_photos']} test photos show a sku without training photos; left out")
    for item in row["unreadable"]:
        say(f"unreadable: {item['path']}: {item['reason']}")


def _lines(row: dict[str, Any]) -> str:
    train, test, seen = row["train"], row["test"], row["seen_photos"]
    told = [
        f"{row['weights']} weights: {train['photos']} training photos of {train['labels']} labels in "
        f"{train['scenes']} scenes, {test['photos']} test photos",
        f"{'':9}{'test':>29}{'folds by scene':>44}",
        f"{'':9}{'Top-1':>9}{'Top-5':>9}{'macro-F1':>11}{'Top-1':>16}{'Top-5':>14}{'macro-F1':>14}{'C':>8}",
    ]
    told += [_probe_line(probe.name, row[probe.name], row[probe.name].get("c")) for probe in PROBES]
    if seen["train"] or seen["test"]:
        told.append(
            f"the weights were trained on {seen['train']} of the training and {seen['test']} of the test photos; "
            "the figures above leave them out, on them alone:"
        )
        told += [_probe_line(probe.name, row[probe.name]["seen"], None) for probe in PROBES]
    told += _projection(row["projection"])
    return "\n".join(told)


def _probe_line(name: str, figures: dict[str, Any], c: float | None) -> str:
    test, folds = figures["test"], figures["cross_validation"]
    line = f"{name:9}" + "".join(
        f"{'n/a' if test is None else f'{100 * test[m]:.1f}':>{width}}"
        for m, width in zip(_MEASURES, (9, 9, 11), strict=True)
    )
    line += "  " + "".join(f"{'n/a' if folds is None else _spread(folds[measure]):>14}" for measure in _MEASURES)
    return line + (f"{c:8g}" if c is not None else "")


def _spread(figure: dict[str, float]) -> str:
    return f"{100 * figure['mean']:.1f} ±{100 * figure['std']:4.1f}"


def _projection(loss: dict[str, Any]) -> list[str]:
    recall = loss["label_recall5"]
    told = ["k-NN on the test photos by projection (Top-1 / Top-5; share of exact search's five labels found):"]
    told.append(f"  {'exact':34}{_pair(loss['exact'])}")
    first = f"nearest {loss['candidates']}, then exact"
    told.append(f"  {first:34}{_pair(loss['reranked'])}{_share(recall['reranked'])}")
    told.append(f"  {'projection alone':34}{_pair(loss['alone'])}{_share(recall['alone'])}")
    return told


def _pair(figures: dict[str, float]) -> str:
    return f"{100 * figures['top1']:5.1f} / {100 * figures['top5']:5.1f}"


def _share(value: float) -> str:
    return f"{100 * value:10.2f} %"
