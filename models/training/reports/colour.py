"""How often the measured colour has the name a catalogue gives: ``python -m models.training.reports.colour``.

Reads a catalogue folder (``products.csv`` with sku and colour, ``images/<sku>/*``). Products are halved by
the SHA-256 of their sku: the palette was tuned on the even half of the fashion products; figures to be
believed come from the odd half.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
from sklearn.metrics import f1_score

from models.attributes.colour import ColourReading, combine_colours, measure_colour
from models.attributes.palette import FAMILY, palette_name
from models.errors import NotEnoughData, PicktureError, UsageError
from models.photo import read_photo
from models.training.measures import expected_calibration_error

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic"})
MOST_CONFUSIONS: Final = 15


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many products that the catalogue calls ``given`` were called ``measured``."""

    given: str
    measured: str
    count: int


@dataclass(frozen=True, slots=True)
class NameScore:
    """One palette name: how many products have it, and the share of them that was found."""

    name: str
    products: int
    recall: float


@dataclass(frozen=True, slots=True)
class ColourAccuracy:
    """Agreement with the catalogue's names after synonyms are merged (``palette.ALIASES``).

    products: judged; without_name: left out, the palette has no word for their colour (e.g. multi);
    unreadable: left out, no photo could be read. accuracy, macro_f1: over the palette's names;
    family_accuracy: shades merged into basic colours (``palette.FAMILY``). ece: calibration error of the
    confidence over 15 equal-mass bins. confusions: the most frequent, falling.
    """

    products: int
    without_name: int
    unreadable: int
    accuracy: float
    macro_f1: float
    family_accuracy: float
    ece: float
    names: tuple[NameScore, ...]
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """given: the catalogue's colour as a palette name. reading: measured from the photos."""

    given: str
    reading: ColourReading


def half_of(sku: str) -> int:
    """0 for the half the palette was tuned on, 1 for the half it is reported on."""
    return int(hashlib.sha256(sku.encode()).hexdigest(), 16) % 2


def measure_colour_accuracy(
    catalogue: Path, half: int | None = 1, progress: Callable[[int], None] | None = None
) -> ColourAccuracy:
    """Measure every product of a catalogue folder that has a colour and a photo.

    half: 0, 1, or None for all. progress: called with 1 after each product.

    :raise UsageError: the folder has no ``products.csv`` with the columns sku and colour.
    :raise NotEnoughData: no product could be judged.
    """
    judged: list[Judgement] = []
    without_name = unreadable = 0
    for sku, colour in _rows(catalogue):
        if half is not None and half_of(sku) != half:
            continue
        given = palette_name(colour)
        reading = None if given is None else _read(catalogue / "images" / sku)
        if given is None:
            without_name += 1
        elif reading is None:
            unreadable += 1
        else:
            judged.append(Judgement(given, reading))
        if progress is not None:
            progress(1)
    if not judged:
        raise NotEnoughData(f"{catalogue}: no product has both a colour the palette knows and a readable photo.")
    return summarise(judged, without_name, unreadable)


def summarise(judged: Sequence[Judgement], without_name: int = 0, unreadable: int = 0) -> ColourAccuracy:
    """The figures of some judgements, at least one."""
    given = np.array([item.given for item in judged])
    measured = np.array([item.reading.name for item in judged])
    right = given == measured
    family = np.array([FAMILY.get(a, a) == FAMILY.get(b, b) for a, b in zip(given, measured, strict=True)])
    wrong = Counter(zip(given[~right].tolist(), measured[~right].tolist(), strict=True))
    ordered = sorted(wrong.items(), key=lambda entry: (-entry[1], entry[0]))
    counts = Counter(given.tolist())
    return ColourAccuracy(
        products=len(judged),
        without_name=without_name,
        unreadable=unreadable,
        accuracy=float(right.mean()),
        macro_f1=float(f1_score(given, measured, labels=sorted(counts), average="macro", zero_division=0)),
        family_accuracy=float(family.mean()),
        ece=expected_calibration_error([item.reading.confidence for item in judged], right.tolist()),
        names=tuple(
            NameScore(name, count, float(right[given == name].mean()))
            for name, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        ),
        confusions=tuple(Confusion(a, b, count) for (a, b), count in ordered[:MOST_CONFUSIONS]),
    )


def _rows(catalogue: Path) -> list[tuple[str, str]]:
    table = catalogue / "products.csv"
    if not table.is_file():
        raise UsageError(f"{table} does not exist; give a catalogue folder (`python -m app catalog convert ...`).")
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if not {"sku", "colour"} <= set(reader.fieldnames or ()):
            raise UsageError(f"{table} has the columns {reader.fieldnames}; sku and colour are needed.")
        return [(row["sku"], row["colour"]) for row in reader if row["colour"]]


def _read(folder: Path) -> ColourReading | None:
    if not folder.is_dir():
        return None
    readings = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            continue
        try:
            readings.append(measure_colour(read_photo(path.read_bytes(), with_advice=False).pixels))
        except PicktureError:
            continue
    return combine_colours(readings) if readings else None


def as_text(report: ColourAccuracy) -> str:
    """The report for people."""
    lines = [
        f"{report.products} products judged; {report.without_name} have a colour without a palette name, "
        f"{report.unreadable} no readable photo",
        f"accuracy {report.accuracy:.3f}   macro-F1 {report.macro_f1:.3f}   "
        f"basic colours {report.family_accuracy:.3f}   ECE {report.ece:.3f}",
        "",
        "found by name:",
        *(f"  {score.name:<12}{score.products:>6}  {score.recall:.2f}" for score in report.names),
        "",
        "most confused (catalogue -> measured):",
        *(f"  {item.count:>5}  {item.given} -> {item.measured}" for item in report.confusions),
    ]
    return "\n".join(lines)


@click.command()
@click.option("--catalogue", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--half", type=click.Choice(["tuning", "reported", "all"]), default="reported", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(catalogue: Path, half: str, as_json: bool) -> None:
    """Compare the measured colours of a catalogue folder with the colours it gives."""
    chosen = {"tuning": 0, "reported": 1, "all": None}[half]
    try:
        total = sum(chosen is None or half_of(sku) == chosen for sku, _ in _rows(catalogue))
        with click.progressbar(length=total, label="colours", file=sys.stderr) as bar:
            report = measure_colour_accuracy(catalogue, chosen, bar.update)
    except PicktureError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(asdict(report)) if as_json else as_text(report))


if __name__ == "__main__":
    main()
