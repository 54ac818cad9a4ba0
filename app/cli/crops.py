"""``python -m app experiments crops``: what a second look at a part of the photo gains."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from sqlalchemy import select

from app.cli.common import emit, json_option, say
from app.cli.crop_tables import crop_kind_lines, crop_lines
from app.cli.demo.scenes import KINDS, draw_scenes
from app.cli.demo.shop import PRODUCTS
from app.cli.evaluate import read_cases
from app.config import Settings
from app.jobs.crops import choose_boxes, measure_boxes
from app.jobs.experiments import write_result
from app.store.database import transaction
from app.store.tables import Product
from app.wiring import build_container
from models.errors import UsageError
from models.photo import PhotoLimits
from models.recognizer import Recognizer
from models.training.evaluate import PhotoCase
from models.training.experiments.crops import BOXES, CHOSEN
from models.values import VerdictName

_TOLD_EVERY = 50


@click.command()
@click.option(
    "--photos",
    "listing",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV as for `evaluate`: measure on these photos.",
)
@click.option(
    "--rendered", type=click.IntRange(1, PRODUCTS), help="Measure on scenes of so many demonstration products."
)
@click.option(
    "--box", "boxes", multiple=True, type=click.Choice(list(BOXES)), help="With photos: only these; may repeat."
)
@click.option("--unknown", is_flag=True, help="Look again where the first verdict is unknown, too.")
@json_option
def crops(listing: Path | None, rendered: int | None, boxes: tuple[str, ...], unknown: bool, as_json: bool) -> None:
    """What a second look at a part of the photo gains where the first verdict is unsure.

    By default every way on the catalogue's own photos, fold by fold, to choose by; with --photos, or --rendered after
    `make demo`, the served model on photos that it has not seen.
    """
    if listing is not None and rendered is not None:
        raise UsageError("--photos and --rendered are two measurements: give one of them")
    verdicts = frozenset({VerdictName.UNSURE, VerdictName.UNKNOWN} if unknown else {VerdictName.UNSURE})
    settings = Settings.from_env()
    container = build_container(settings)
    try:
        recognizer = container.recognizer()
        assert isinstance(recognizer, Recognizer)
        with transaction(container.engine) as session:
            labels = {sku: label for sku, label in session.execute(select(Product.sku, Product.label))}  # noqa: C416
        lines: Callable[[dict[str, Any]], str] = crop_lines
        if listing is not None:
            name, cases = "crops-photos", read_cases(listing, labels, allow_unlisted=False)
            limits = PhotoLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_photo_pixels)
            found = measure_boxes(cases, recognizer, limits, boxes or CHOSEN, verdicts, _told)
        elif rendered is not None:
            name, lines = "crops-rendered", crop_kind_lines
            found = {"kinds": _rendered(recognizer, labels, rendered, boxes or CHOSEN, verdicts)}
        else:
            name, found = "crops", choose_boxes(settings, container.engine, container.media, recognizer, verdicts, say)
    finally:
        container.close()
    path = write_result(settings.home, name, found)
    say(f"written: {path}")
    emit(json.loads(path.read_text("utf-8")), as_json, lambda: lines(json.loads(path.read_text("utf-8"))))


def _told(done: int) -> None:
    if done % _TOLD_EVERY == 0:
        say(f"{done} photos")


def _rendered(
    recognizer: Recognizer,
    labels: Mapping[str, str],
    count: int,
    boxes: Sequence[str],
    verdicts: frozenset[VerdictName],
) -> dict[str, Any]:
    kinds: dict[str, Any] = {}
    with TemporaryDirectory(prefix="pickture-scenes-") as folder:
        for kind in KINDS:
            say(f"scenes: {kind}")
            cases = [PhotoCase(path, labels.get(sku)) for path, sku in draw_scenes(Path(folder) / kind, count, kind)]
            if all(case.label is None for case in cases):
                raise UsageError("this PICKTURE_HOME holds no product of the demonstration; run `make demo` first")
            kinds[kind] = measure_boxes(cases, recognizer, PhotoLimits(), boxes, verdicts, _told)
    return kinds
