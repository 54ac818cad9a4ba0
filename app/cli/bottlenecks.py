"""``python -m app bottlenecks`` (``make train-bottlenecks``)."""

from __future__ import annotations

from dataclasses import asdict

import click

from app.cli.common import emit, json_option, say
from app.cli.proposals import say_proposed
from app.config import Settings
from app.jobs.bottlenecks import fill_bottlenecks
from app.wiring import build_container
from augment.variants import SELECTABLE_NAMES, VARIANT_NAMES
from models.training.bottlenecks.progress import TqdmProgress


@click.command()
@click.option("--originals-only", is_flag=True, help="No variants: enough for k-NN and recommendations.")
@click.option("--variant", "variants", multiple=True, type=click.Choice(SELECTABLE_NAMES), help="Only these variants.")
@json_option
def command(originals_only: bool, variants: tuple[str, ...], as_json: bool) -> None:
    """Prepare the backbone and store the bottlenecks of all catalogue photos and their variants.

    Can be interrupted at any time; a second run computes only what is missing.
    """
    names = () if originals_only else (variants or VARIANT_NAMES)
    container = build_container(Settings.from_env())
    try:
        with TqdmProgress() as progress:
            report = fill_bottlenecks(
                container.settings,
                container.engine,
                container.media,
                variants=names,
                say=say,
                progress=progress,
            )
        if report.vectors:
            say_proposed(container)
    finally:
        container.close()
    fill = report.fill
    emit(
        {**asdict(report), "network_ms_per_image": fill.network_ms_per_image},
        as_json,
        lambda: (
            f"{report.photos} photos in space {report.space} ({report.weights} weights): {fill.new} bottlenecks "
            f"computed, {fill.reused} reused, {len(fill.failed)} photos failed, {report.vectors} new in the "
            f"k-NN memory; {fill.seconds:.0f} s"
            + "".join(f"\n  failed {photo.content_hash[:12]}: {photo.message}" for photo in fill.failed)
        ),
    )
