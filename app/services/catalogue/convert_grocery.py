"""The Grocery Store Dataset (Klasson, Zhang, Kjellstrom, WACV 2019; MIT) as a catalogue folder.

Laid out as the official repository's ``dataset`` folder: ``classes.csv`` (class, id, coarse class, id,
iconic image, description), ``train.txt`` / ``val.txt`` / ``test.txt`` (``path, fine id, coarse id`` a line),
the photos, and ``iconic-images-and-descriptions/``.

    sku          the class name, e.g. Golden-Delicious
    name         the class name with blanks
    category     the folder path above the class, e.g. Fruit > Apple (with the class where it is the
                 second level itself)
    type         the coarse class with blanks
    description  the description file
    brand        the words that the class name and the manufacturer (information file) both begin with
    images       the iconic image first, then the photos of the chosen splits
"""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.services.catalogue.errors import SourceInvalid
from app.services.catalogue.fields import CATEGORY_SEPARATOR
from app.services.catalogue.writing import Conversion, SourcePhoto, write_catalogue
from app.store.text import key

SPLITS = ("train", "val", "test")
SOURCE_NAME = "Grocery Store Dataset"
COLUMNS = ("sku", "name", "brand", "category", "type", "description", "source")
_CLASS_COLUMNS = 6


@dataclass(frozen=True, slots=True)
class _Class:
    """A row of ``classes.csv``; paths are relative to the source folder."""

    name: str
    number: int
    coarse: str
    iconic: PurePosixPath
    description: PurePosixPath


def convert_grocery(
    source: Path, out: Path, *, splits: Sequence[str] = ("train",), progress: bool = False
) -> Conversion:
    """Write the classes as products, with their iconic image and the photos of ``splits``.

    :raise SourceInvalid: a file is missing or not as expected. :raise CatalogueError: ``out`` is not empty.
    """
    classes = _read_classes(source)
    photos = list(_iconic_photos(source, classes))
    for split in splits:
        for path, sku in _split_photos(source, split, classes):
            photos.append(SourcePhoto(sku, path, f"{split}_{path.name}"))
    rows = [_row(source, item) for item in classes.values()]
    return write_catalogue(out, COLUMNS, rows, photos, progress=progress)


def write_photo_list(source: Path, file: Path, *, split: str) -> int:
    """Write the photos of a split with their answers for ``evaluate --photos``: columns path,sku.

    Paths are relative to the folder of ``file``. Returns the number of photos.

    :raise SourceInvalid: a file is missing or not as expected.
    """
    pairs = list(_split_photos(source, split, _read_classes(source)))
    file.parent.mkdir(parents=True, exist_ok=True)
    base = file.parent.resolve()
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(("path", "sku"))
        for path, sku in pairs:
            # os.path.relpath, as Path.relative_to cannot climb before Python 3.12.
            writer.writerow((Path(os.path.relpath(path.resolve(), base)).as_posix(), sku))
    return len(pairs)


def _read_classes(source: Path) -> dict[int, _Class]:
    path = _file(source, PurePosixPath("classes.csv"))
    classes: dict[int, _Class] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        next(rows, None)
        for cells in rows:
            if not cells:
                continue
            if len(cells) < _CLASS_COLUMNS or not cells[1].strip().isdecimal():
                raise SourceInvalid(
                    f"{path}, line {rows.line_num}: expected class, id, coarse class, id, iconic path, "
                    "description path."
                )
            name, number, coarse, _, iconic, description = (cell.strip() for cell in cells[:_CLASS_COLUMNS])
            classes[int(number)] = _Class(name, int(number), coarse, _relative(iconic), _relative(description))
    if not classes:
        raise SourceInvalid(f"{path} lists no classes.")
    return classes


def _relative(text: str) -> PurePosixPath:
    place = PurePosixPath(text.strip().lstrip("/"))
    if ".." in place.parts:
        raise SourceInvalid(f"the path {text!r} leaves the source folder.")
    return place


def _file(source: Path, place: PurePosixPath) -> Path:
    path = source.joinpath(*place.parts)
    if not path.is_file():
        raise SourceInvalid(
            f"{path} is missing; SRC must be the folder that holds classes.csv, train.txt and the photos, "
            "as in the archive."
        )
    return path


def _split_photos(source: Path, split: str, classes: dict[int, _Class]) -> Iterator[tuple[Path, str]]:
    if split not in SPLITS:
        raise SourceInvalid(f"the split is {split!r}; expected one of {', '.join(SPLITS)}.")
    table = _file(source, PurePosixPath(f"{split}.txt"))
    for line, text in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
        if not text.strip():
            continue
        parts = [part.strip() for part in text.rsplit(",", 2)]
        if len(parts) != 3 or not parts[1].isdecimal() or int(parts[1]) not in classes:
            raise SourceInvalid(
                f"{table}, line {line}: {text!r} is not “path, class id, coarse id” with a listed class."
            )
        yield _file(source, _relative(parts[0])), classes[int(parts[1])].name


def _iconic_photos(source: Path, classes: dict[int, _Class]) -> Iterator[SourcePhoto]:
    for item in classes.values():
        # The digits sort it before the photos, so it is the picture that a shopper sees.
        yield SourcePhoto(item.name, _file(source, item.iconic), f"00_iconic{item.iconic.suffix.lower()}")


def _row(source: Path, item: _Class) -> dict[str, str]:
    description = _file(source, item.description).read_text(encoding="utf-8-sig").strip()
    return {
        "sku": item.name,
        "name": item.name.replace("-", " "),
        "brand": _brand(source, item),
        "category": _category(item),
        "type": item.coarse.replace("-", " "),
        "description": description,
        "source": SOURCE_NAME,
    }


def _category(item: _Class) -> str:
    folders = list(item.iconic.parts[1:-1])
    if len(folders) > 2 and folders[-1] == item.name:
        folders.pop()
    return CATEGORY_SEPARATOR.join(folders)


def _brand(source: Path, item: _Class) -> str:
    """The beginning of the class name that is the manufacturer's too; nothing where none is named."""
    place = item.description.with_name(item.description.name.replace("_Description", "_Information"))
    path = source.joinpath(*place.parts)
    if not path.is_file():
        return ""
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        title, _, value = line.partition(":")
        if not title.strip().casefold().startswith("manufacturer"):
            continue
        manufacturer = key(value.partition(",")[0].replace("-", " ")).split()
        words = item.name.split("-")
        # "GARANT EKO" (its organic line) and Garant-Ecological-...: the words both begin with.
        same = itertools.takewhile(lambda pair: key(pair[0]) == pair[1], zip(words, manufacturer, strict=False))
        return " ".join(word for word, _ in same)
    return ""
