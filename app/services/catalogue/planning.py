"""What a checked catalogue wants of the database: photos hashed and decoded, rows and images compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.services.catalogue.photos import (
    DecodedPhoto,
    PhotoFile,
    PhotoFolders,
    PhotoProgress,
    decode_photos,
    find_photos,
    hash_photos,
)
from app.services.catalogue.rows import CheckedRows, ProductRow, RowProblem, shown
from app.services.catalogue.storing import (
    ImageChanges,
    KnownProduct,
    WantedImage,
    WantedProduct,
    differs,
    image_changes,
    row_values,
)
from app.store.media import MediaStore
from app.store.text import key
from models.attributes import combine_colours


@dataclass(frozen=True, slots=True)
class Plan:
    """What the catalogue wants of the database.

    listed: good rows. write: products to insert or update; added and changed count them.
    new_media: content hashes that were stored and had not been there.
    decoded: every photo that was decoded, by its path.
    """

    listed: int

    write: tuple[WantedProduct, ...]
    images: ImageChanges
    added: int
    changed: int
    problems: tuple[RowProblem, ...]
    warnings: tuple[RowProblem, ...]
    new_media: tuple[str, ...]
    decoded: Mapping[Path, DecodedPhoto]

    def counts(self) -> dict[str, int]:
        """The figures of the report."""
        return {
            "added": self.added,
            "changed": self.changed,
            "unchanged": self.listed - self.added - self.changed,
            "images_added": len(self.images.add),
            "images_removed": len(self.images.remove),
            "images_unchanged": self.images.kept,
        }


def in_order(problems: Sequence[RowProblem]) -> tuple[RowProblem, ...]:
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def make_plan(
    directory: Path,
    checked: CheckedRows,
    known: Mapping[str, KnownProduct],
    media: MediaStore,
    *,
    write: bool,
    progress: PhotoProgress,
    decoded: Mapping[Path, DecodedPhoto],
) -> Plan:
    """Compare what was checked with what is there.

    write: whether decoded photos go to the media store. decoded: of an earlier plan; not decoded again.
    """
    folders = find_photos(directory, checked.rows, checked.refused)
    hashed = hash_photos([file for files in folders.files.values() for file in files], media.limits, progress)
    folders = _regrouped(folders, hashed)
    to_decode = [
        file
        for row in checked.rows
        if _needs_decoding(row, folders.files.get(row.sku, ()), known.get(row.sku), media)
        for file in _distinct(folders.files[row.sku])
    ]
    outcomes = _decoded(to_decode, decoded, media, write, progress)
    by_sku: dict[str, list[DecodedPhoto]] = {}
    for photo in outcomes:
        by_sku.setdefault(photo.file.sku, []).append(photo)
    lines = {row.sku: row.line for row in checked.rows}
    refused = [(file, file.refusal) for file in hashed if file.refusal is not None]
    refused += [(photo.file, photo.refusal) for photo in outcomes if photo.refusal is not None]
    problems = [_photo_problem(lines, file, reason) for file, reason in refused]
    warnings = [_photo_problem(lines, file, reason) for file, reason in _doubles(folders)]
    wanted = [
        _wanted(row, folders.files.get(row.sku), by_sku.get(row.sku, []), known.get(row.sku)) for row in checked.rows
    ]
    changes = image_changes(known, wanted)
    write_these = _to_write(wanted, known, changes)
    added = sum(product.row.sku not in known for product in wanted)
    return Plan(
        listed=len(checked.rows),
        write=write_these,
        images=changes,
        added=added,
        changed=len(write_these) - added,
        problems=in_order((*checked.problems, *problems)),
        warnings=(*checked.warnings, *folders.warnings, *warnings),
        new_media=tuple({photo.stored.content_hash for photo in outcomes if photo.is_new and photo.stored}),
        decoded={photo.file.path: photo for photo in outcomes},
    )


def _decoded(
    files: Sequence[PhotoFile],
    before: Mapping[Path, DecodedPhoto],
    media: MediaStore,
    write: bool,
    progress: PhotoProgress,
) -> list[DecodedPhoto]:
    """The outcome of each file, in their order, reusing what was decoded before from the same content."""
    again = {file.path: before[file.path] for file in files if file.path in before and before[file.path].file == file}
    fresh = decode_photos([file for file in files if file.path not in again], media, write=write, progress=progress)
    again |= {photo.file.path: photo for photo in fresh}
    return [again[file.path] for file in files]


def _regrouped(folders: PhotoFolders, hashed: Sequence[PhotoFile]) -> PhotoFolders:
    files: dict[str, list[PhotoFile]] = {sku: [] for sku in folders.files}
    for file in hashed:
        files[file.sku].append(file)
    return PhotoFolders({sku: tuple(group) for sku, group in files.items()}, folders.warnings)


def _distinct(files: Sequence[PhotoFile]) -> list[PhotoFile]:
    """Readable files, the first of each content."""
    first: dict[str, PhotoFile] = {}
    for file in files:
        if file.content_hash is not None:
            first.setdefault(file.content_hash, file)
    return list(first.values())


def _doubles(folders: PhotoFolders) -> Iterator[tuple[PhotoFile, str]]:
    for files in folders.files.values():
        first: dict[str, PhotoFile] = {}
        for file in files:
            if file.content_hash is None:
                continue
            before = first.setdefault(file.content_hash, file)
            if before is not file:
                yield file, f"is the same photo as {before.path.name}; kept once"


def _needs_decoding(row: ProductRow, files: Sequence[PhotoFile], known: KnownProduct | None, media: MediaStore) -> bool:
    """Whether anything about these photos or their colour is not stored yet."""
    hashes = {file.content_hash for file in files if file.content_hash is not None}
    if not hashes:
        return False
    if known is None or hashes != {image.content_hash for image in known.images} or known.values["lab"] is None:
        return True
    if row.colour is None and known.values["predicted_colour"] is None:
        return True
    return not all(media.exists(content_hash) for content_hash in hashes)


def _photo_problem(lines: Mapping[str, int], file: PhotoFile, reason: str) -> RowProblem:
    return RowProblem(lines[file.sku], file.sku, "images", shown(f"images/{file.sku}/{file.path.name}"), reason)


def _wanted(
    row: ProductRow,
    files: Sequence[PhotoFile] | None,
    decoded: Sequence[DecodedPhoto],
    known: KnownProduct | None,
) -> WantedProduct:
    values = row_values(row)
    readings = [photo.colour for photo in decoded if photo.colour is not None]
    if readings:
        colour = combine_colours(readings)
        values["lab"] = [float(part) for part in colour.lab]
        values |= colour_prediction(colour.name, colour.confidence)
    if row.colour is not None:
        values |= colour_prediction(None, None)
    images = None if files is None else _wanted_images(files, decoded, known)
    if images == () and not readings:
        values |= {"lab": None} | colour_prediction(None, None)
    return WantedProduct(row, values, images)


def colour_prediction(name: str | None, confidence: float | None) -> dict[str, Any]:
    """The columns of a recognised colour, as ``Product`` attributes; None for none."""
    return {
        "predicted_colour": name,
        "predicted_colour_key": None if name is None else key(name),
        "predicted_colour_confidence": confidence,
    }


def _wanted_images(
    files: Sequence[PhotoFile], decoded: Sequence[DecodedPhoto], known: KnownProduct | None
) -> tuple[WantedImage, ...]:
    """The photos of a folder in file order, each content once."""
    outcomes = {photo.file.path: photo for photo in decoded}
    by_name = {image.source_name: image for image in known.images} if known else {}
    existing = {image.content_hash for image in known.images} if known else set()
    wanted: dict[str, WantedImage] = {}
    for file in files:
        outcome = outcomes.get(file.path)
        refused = file.refusal is not None or (outcome is not None and outcome.refusal is not None)
        content_hash = file.content_hash
        if refused:
            before = by_name.get(file.path.name)
            content_hash = before.content_hash if before else None
        if content_hash is None or content_hash in wanted:
            continue
        stored = outcome.stored if outcome is not None and not refused else None
        if stored is None and content_hash not in existing:
            continue  # a second copy of a photo that was refused under its first name
        wanted[content_hash] = WantedImage(content_hash, len(wanted), file.path.name, stored)
    return tuple(wanted.values())


def _to_write(
    wanted: Sequence[WantedProduct], known: Mapping[str, KnownProduct], changes: ImageChanges
) -> tuple[WantedProduct, ...]:
    """New products and those with any difference, in their values or their photos."""
    touched = {sku for sku, _ in changes.add}
    gone = {*changes.remove, *(number for number, _ in changes.move)}
    touched |= {sku for sku, product in known.items() if any(image.id in gone for image in product.images)}
    return tuple(
        product
        for product in wanted
        if product.row.sku not in known
        or product.row.sku in touched
        or differs(known[product.row.sku].values, product.values)
    )
