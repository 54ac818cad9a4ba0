"""``python -m app pretrain`` (``make pretrain``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from app.cli.common import emit, json_option, say
from app.config import Settings
from app.jobs.allocator import keep_freed_memory
from app.jobs.pretrain import pretrain_on_catalogues
from models.training.pretrain.loop import Phase
from models.training.pretrain.precision import PRECISIONS
from models.training.pretrain.run import Recipe

_RECIPE = Recipe()
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Phases(click.ParamType):  # type: ignore[type-arg]
    """``STEPSxSIZE,...``: so many steps at that input size, one after the other."""

    name = "phases"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Phase, ...]:
        if isinstance(value, tuple):
            return value
        phases: list[Phase] = []
        try:
            for part in str(value).split(","):
                steps, size = (int(number) for number in part.split("x"))
                if steps < 1 or size < 75:
                    raise ValueError
                phases.append(Phase(steps + (phases[-1].until if phases else 0), size))
        except ValueError:
            self.fail(f"{value!r} came; expected STEPSxSIZE,STEPSxSIZE with sizes of at least 75 pixels", param, ctx)
        return tuple(phases)


@click.command()
@click.option("--catalog", "catalogues", multiple=True, type=_FOLDER, help="A catalogue folder; may repeat.")
@click.option(
    "--split", "splits", multiple=True, type=(_FOLDER, _FILE), help="A catalogue folder and its split.json; may repeat."
)
@click.option("--teacher", type=_FILE, help="Keras weights of an Inception-v3 (*_notop.h5) to distil from.")
@click.option("--rendered", type=click.IntRange(0), default=_RECIPE.rendered, show_default=True, help="Products drawn.")
@click.option("--match", "match", type=_Phases(), default=_RECIPE.match, help="Phases of the matching stage.")
@click.option("--joint", "joint", type=_Phases(), default=_RECIPE.joint, help="Phases of the joint stage.")
@click.option("--match-batch", type=click.IntRange(2), default=_RECIPE.match_batch, show_default=True)
@click.option("--joint-batch", type=click.IntRange(4), default=_RECIPE.joint_batch, show_default=True)
@click.option(
    "--source-weight",
    "weights",
    multiple=True,
    type=(str, float),
    help="NAME W: how often that source (a folder's name, or rendered) is drawn; 1 by default. May repeat.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=_RECIPE.precision,
    show_default=True,
    help="Of the arithmetic while training; the mixed ones are for GPUs.",
)
@click.option("--seed", type=int, default=_RECIPE.seed, show_default=True)
@click.option("--out", "folder", type=click.Path(file_okay=False, path_type=Path), help="HOME/pretrain by default.")
@json_option
def command(
    catalogues: tuple[Path, ...],
    splits: tuple[tuple[Path, Path], ...],
    teacher: Path | None,
    weights: tuple[tuple[str, float], ...],
    folder: Path | None,
    as_json: bool,
    **recipe: object,
) -> None:
    """Make backbone weights from random values; interrupted, it goes on where it was when called again.

    Runs on whatever Keras runs on: set KERAS_BACKEND to tensorflow, jax or torch, and CUDA_VISIBLE_DEVICES to a GPU.
    """
    keep_freed_memory()
    settings = Settings.from_env()
    chosen = replace(_RECIPE, **recipe, sources=weights)  # type: ignore[arg-type]
    path = pretrain_on_catalogues(
        folder or settings.home / "pretrain", catalogues, splits, teacher, chosen, settings.currency, say
    )
    emit({"weights": str(path)}, as_json, lambda: f"weights: {path}")
