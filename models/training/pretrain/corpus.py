"""The corpus of backbone training: photos of several catalogues and rendered products in one pixel store.

FOLDER/pixels.npy    uint8 (n, STORED_EDGE, STORED_EDGE, 3), RGB, memory-mapped
FOLDER/corpus.json   what each row shows, the vocabularies of the tasks, and the hashes of the photos

Of each catalogue only the split's *train* and *validation* photos are stored; the others are never decoded
here, so nothing can show them by mistake.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from augment.geometry import resize_square
from models.errors import NotEnoughData, TrainingError
from models.photo import read_photo
from models.training.bottlenecks.descriptor import scene_descriptor
from models.training.scenes import cluster_scenes
from models.training.splits import Split, make_split
from models.values import UInt8

STORED_EDGE: Final = 320
"""Edge of a stored photo, pixels: a little more than the network's 299, squashed as it sees them."""

TASKS: Final = ("label", "type", "colour", "category")
CORPUS_FORMAT: Final = 1
SHOWN_ROLES: Final = ("train", "validation")
VALIDATION_SHARE: Final = 0.1
"""Of the labels with a single photo, which the split never holds out: so many are validation here, by hash."""

_PIXELS: Final = "pixels.npy"
_INDEX: Final = "corpus.json"
_DECODE_THREADS: Final = 2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """A photo of a catalogue folder with what its row says; None where it says nothing."""

    path: Path
    source: str
    label: str
    type: str | None = None
    colour: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What one stored row shows.

    content_hash: of the photo file; empty for a rendered picture. source: the catalogue's name, or ``rendered``.
    role: ``train`` or ``validation``. studio: whether it may be put before another background.
    values: label, type, colour, category (``TASKS``); None where unknown.
    """

    content_hash: str
    source: str
    role: str
    studio: bool
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """pixels: uint8 (n, STORED_EDGE, STORED_EDGE, 3), read-only. entries: n. vocabularies: the values of each task
    that rows of role train have, sorted."""

    pixels: UInt8
    entries: tuple[Entry, ...]
    vocabularies: Mapping[str, tuple[str, ...]]

    @property
    def seen(self) -> frozenset[str]:
        """Content hashes of every photo that training may show."""
        return frozenset(entry.content_hash for entry in self.entries if entry.content_hash)

    def rows(self, role: str) -> NDArray[np.intp]:
        """The rows of a role."""
        return np.array([i for i, entry in enumerate(self.entries) if entry.role == role], dtype=np.intp)

    def targets(self, task: str) -> NDArray[np.int32]:
        """int32 (n,): the place of each row's value in the task's vocabulary; its size where it has none there."""
        place = TASKS.index(task)
        known = {value: number for number, value in enumerate(self.vocabularies[task])}
        missing = len(known)
        found = [known.get(entry.values[place] or "", missing) for entry in self.entries]
        return np.array(found, dtype=np.int32)

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """The corpus that ``build_corpus`` wrote.

        :raise TrainingError: there is none, or it is damaged.
        """
        try:
            index: Any = json.loads((folder / _INDEX).read_text("utf-8"))
            if index["format"] != CORPUS_FORMAT:
                raise ValueError(f"format {index['format']}, this version reads {CORPUS_FORMAT}")
            entries = tuple(Entry(h, s, r, bool(studio), tuple(values)) for h, s, r, studio, values in index["entries"])
            pixels = np.load(folder / _PIXELS, mmap_mode="r", allow_pickle=False)
            if pixels.shape != (len(entries), STORED_EDGE, STORED_EDGE, 3) or pixels.dtype != np.uint8:
                raise ValueError(f"{len(entries)} entries, but pixels {pixels.dtype} {pixels.shape}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{folder} holds no usable corpus ({error}); remove it to build it anew") from error
        return cls(pixels, entries, _vocabularies(entries))


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A picture drawn by us: its place in ``values`` as in ``Entry``, and how to draw it."""

    values: tuple[str | None, ...]
    studio: bool
    role: str
    draw: Callable[[], UInt8]


def build_corpus(
    folder: Path,
    photos: Sequence[SourcePhoto],
    rendered: Sequence[Rendered],
    splits: Mapping[str, Split],
    say: Say = lambda line: None,
) -> Corpus:
    """Store photos and rendered pictures; found again if the folder holds a finished corpus.

    splits: by source, where an installation's split file exists; the other sources are split here.
    :raise PhotoError: a photo cannot be decoded. :raise NotEnoughData: nothing to show.
    """
    if (folder / _INDEX).exists():
        return Corpus.open(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [item for source in sorted({p.source for p in photos}) for item in _shown(photos, source, splits, say)]
    total = len(chosen) + len(rendered)
    if not total:
        raise NotEnoughData("no photo may be shown to backbone training; give a catalogue or rendered products")
    store = np.lib.format.open_memmap(
        folder / _PIXELS, mode="w+", dtype=np.uint8, shape=(total, STORED_EDGE, STORED_EDGE, 3)
    )
    entries: list[Entry] = []
    for photo, content_hash, role in chosen:
        store[len(entries)] = _squashed(photo.path)
        values = (f"{photo.source}/{photo.label}", photo.type, photo.colour, photo.category)
        entries.append(Entry(content_hash, photo.source, role, True, values))
    say(f"{len(entries)} photos stored; drawing {len(rendered)} pictures")
    with ThreadPoolExecutor(_DECODE_THREADS) as pool:
        for item, pixels in zip(rendered, pool.map(lambda item: item.draw(), rendered), strict=True):
            store[len(entries)] = resize_square(pixels, STORED_EDGE)
            entries.append(Entry("", "rendered", item.role, item.studio, item.values))
    store.flush()
    temporary = folder / f"{_INDEX}.tmp"
    rows = [[e.content_hash, e.source, e.role, e.studio, e.values] for e in entries]
    temporary.write_text(json.dumps({"format": CORPUS_FORMAT, "entries": rows}), "utf-8")
    temporary.replace(folder / _INDEX)
    return Corpus.open(folder)


def _vocabularies(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    """The values that rows of role train have; labels with one row teach no classes and are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for place, task in enumerate(TASKS):
        values = [entry.values[place] for entry in entries if entry.role == "train"]
        counts: dict[str, int] = {}
        for value in values:
            if value is not None:
                counts[value] = counts.get(value, 0) + 1
        least = 3 if task == "label" else 5
        found[task] = tuple(sorted(value for value, count in counts.items() if count >= least))
    return found


def _shown(
    photos: Sequence[SourcePhoto], source: str, splits: Mapping[str, Split], say: Say
) -> list[tuple[SourcePhoto, str, str]]:
    """(photo, content hash, role) of those of one source that training may show; each content once."""
    own = [photo for photo in photos if photo.source == source]
    say(f"{source}: reading {len(own)} photos")
    with ThreadPoolExecutor(_DECODE_THREADS) as pool:
        hashes = list(pool.map(lambda photo: sha256(photo.path.read_bytes()).hexdigest(), own))
    split = splits.get(source) or _split(own, hashes, say)
    single = _single_photo_labels(own)
    shown: dict[str, tuple[SourcePhoto, str, str]] = {}
    for photo, content_hash in zip(own, hashes, strict=True):
        place = split.places.get(content_hash)
        if place is None:
            raise TrainingError(
                f"{photo.path} is not in the split file of {source}; use the split of exactly these photos, or none"
            )
        role = place.role
        if photo.label in single and int(content_hash[:8], 16) / 16**8 < VALIDATION_SHARE:
            role = "validation"
        if role in SHOWN_ROLES:
            shown.setdefault(content_hash, (photo, content_hash, role))
    say(f"{source}: {len(shown)} of {len(own)} photos may be shown")
    return list(shown.values())


def _split(photos: Sequence[SourcePhoto], hashes: Sequence[str], say: Say) -> Split:
    say(f"{photos[0].source}: scenes and split")
    with ThreadPoolExecutor(_DECODE_THREADS) as pool:
        descriptors = np.stack(list(pool.map(lambda photo: scene_descriptor(_pixels(photo.path)), photos)))
    labels = [photo.label for photo in photos]
    return make_split(hashes, labels, cluster_scenes(descriptors, labels, hashes))


def _single_photo_labels(photos: Sequence[SourcePhoto]) -> set[str]:
    counts: dict[str, int] = {}
    for photo in photos:
        counts[photo.label] = counts.get(photo.label, 0) + 1
    return {label for label, count in counts.items() if count == 1}


def _pixels(path: Path) -> UInt8:
    return read_photo(path.read_bytes(), with_advice=False).pixels


def _squashed(path: Path) -> UInt8:
    return resize_square(_pixels(path), STORED_EDGE)
