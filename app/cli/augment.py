"""``python -m app augment``: look at the training variants of a photo."""

from __future__ import annotations

from pathlib import Path

import click
from PIL import Image

from augment.preview import contact_sheet
from models.errors import UsageError
from models.photo import read_photo


@click.group()
def command() -> None:
    """Look at the training variants of a photo."""


@command.command()
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--seed", default=0, show_default=True, help="Another seed draws other variants.")
def preview(image: Path, out: Path, seed: int) -> None:
    """Write a labelled contact sheet of IMAGE and its variants to OUT (PNG)."""
    photo = read_photo(image.read_bytes(), with_advice=False)
    sheet = Image.fromarray(contact_sheet(photo.pixels, seed))
    try:
        sheet.save(out, "PNG")
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}); name a file in an existing folder") from error
    click.echo(f"{out}: the original and its variants")
