"""Writing a catalogue folder: the last step of every conversion."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from app.services.catalogue.errors import CatalogueError
from app.services.catalogue.photos import IMAGES_FOLDER


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """A photo to place: the file ``source`` becomes ``images/<sku>/<name>``."""

    sku: str
    source: Path
    name: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion wrote."""

    products: int
    photos: int
    products_without_photos: int
    path: str


def write_catalogue(
    out: Path,
    columns: tuple[str, ...],
    rows: Iterable[Mapping[str, str]],
    photos: Iterable[SourcePhoto],
    *,
    progress: bool = False,
) -> Conversion:
    """Write ``products.csv`` and ``images/`` to ``out``, whole or not at all.

    Photos are hard links where the file system allows it, else copies.

    :raise CatalogueError: ``out`` exists and is not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CatalogueError(f"{out} exists and is not an empty folder; name a new one, or remove it first.")
    out.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        building.chmod(0o755)
        skus = _write_table(building / "products.csv", columns, rows)
        with_photos: set[str] = set()
        count = 0
        for photo in tqdm(photos, desc="placing photos", unit="photo", disable=not progress, leave=False):
            target = building / IMAGES_FOLDER / photo.sku / photo.name
            target.parent.mkdir(parents=True, exist_ok=True)
            _place(photo.source, target)
            with_photos.add(photo.sku)
            count += 1
        if out.exists():
            out.rmdir()
        building.rename(out)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return Conversion(len(skus), count, len(skus - with_photos), str(out))


def _write_table(path: Path, columns: tuple[str, ...], rows: Iterable[Mapping[str, str]]) -> set[str]:
    skus: set[str] = set()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            skus.add(row["sku"])
    return skus


def _place(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        # Another file system, or links to other people's files are forbidden.
        shutil.copyfile(source, target)
