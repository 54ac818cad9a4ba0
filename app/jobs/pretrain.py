"""Reading catalogue folders for backbone training; needs no database."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.services.catalogue.photos import find_photos
from app.services.catalogue.reading import read_table
from app.services.catalogue.rows import check_rows
from models.errors import UsageError
from models.training.pretrain.corpus import RENDERED
from models.training.pretrain.run import Material, Recipe, pretrain
from models.training.pretrain.shown import SourcePhoto
from models.training.splits import Split


def pretrain_on_catalogues(
    folder: Path,
    catalogues: Sequence[Path],
    splits: Sequence[tuple[Path, Path]],
    teacher: Path | None,
    recipe: Recipe,
    currency: str,
    say: Callable[[str], None],
) -> Path:
    """``pretrain`` on catalogue folders; returns the packed weights.

    folder: of corpus, checkpoints, log and result. splits: (catalogue folder, its split file) where there is one.
    :raise UsageError: a split for a folder that is none of the catalogues, or two for one.
    :raise CatalogueError: a folder without a usable table. See also ``models.training.pretrain.run.pretrain``.
    """
    names = _source_names(catalogues)
    loaded = _load_splits(names, splits)
    photos = [photo for path, name in names.items() for photo in catalogue_photos(path, name, currency, say)]
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
    """By resolved folder, each once: the folder's own name; numbered where two are alike, or like the drawn ones."""
    names: dict[Path, str] = {}
    for path in dict.fromkeys(path.resolve() for path in catalogues):
        taken = {RENDERED, *names.values()}
        numbered = (f"{path.name}-{number}" for number in itertools.count(2))
        names[path] = next(name for name in itertools.chain([path.name], numbered) if name not in taken)
    return names


def _load_splits(names: Mapping[Path, str], splits: Sequence[tuple[Path, Path]]) -> dict[str, Split]:
    """The split files by source, whichever way their folders are spelt."""
    loaded: dict[str, Split] = {}
    for folder, file in splits:
        name = names.get(folder.resolve())
        if name is None:
            raise UsageError(f"--split names {folder}, which no --catalog does")
        if name in loaded:
            raise UsageError(f"--split names {folder} twice; a catalogue has one split file")
        loaded[name] = Split.load(file)
    return loaded
