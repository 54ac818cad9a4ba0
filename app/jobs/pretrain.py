"""Reading catalogue folders for backbone training; needs no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.services.catalogue.photos import find_photos
from app.services.catalogue.reading import read_table
from app.services.catalogue.rows import check_rows
from models.training.pretrain.corpus import SourcePhoto
from models.training.pretrain.run import Material, Recipe, pretrain
from models.training.splits import Split


def pretrain_on_catalogues(
    folder: Path,
    catalogues: Sequence[Path],
    splits: Mapping[Path, Path],
    teacher: Path | None,
    recipe: Recipe,
    currency: str,
    say: Callable[[str], None],
) -> Path:
    """``pretrain`` on catalogue folders; returns the packed weights.

    folder: of corpus, checkpoints, log and result. splits: the split file of each catalogue that has one.
    :raise CatalogueError: a folder without a usable table. See also ``models.training.pretrain.run.pretrain``.
    """
    names = _source_names(catalogues)
    photos = [photo for path in catalogues for photo in catalogue_photos(path, names[path], currency, say)]
    loaded = {names[path]: Split.load(split) for path, split in splits.items()}
    return pretrain(folder, Material(photos, loaded, teacher), recipe, say)


def catalogue_photos(
    directory: Path, source: str, currency: str, say: Callable[[str], None] = lambda line: None
) -> list[SourcePhoto]:
    """The photos of a catalogue folder with what their rows say, in the order of an import; bad rows are told of
    and left out."""
    checked = check_rows(read_table(directory).records, currency)
    if checked.problems:
        say(f"{directory}: {len(checked.problems)} bad rows left out, first: {checked.problems[0]}")
    folders = find_photos(directory, checked.rows, checked.refused)
    listed = sorted(checked.rows, key=lambda row: (row.group or row.sku, row.sku))
    return [
        SourcePhoto(file.path, source, row.group or row.sku, row.type, row.colour, row.category)
        for row in listed
        for file in folders.files.get(row.sku, ())
    ]


def _source_names(catalogues: Sequence[Path]) -> dict[Path, str]:
    """Each folder's own name; numbered where two are alike."""
    names: dict[Path, str] = {}
    for path in catalogues:
        name = path.resolve().name
        names[path] = name if name not in names.values() else f"{name}-{len(names) + 1}"
    return names
