"""The corpus of backbone training: photos of several catalogues and rendered products in one pixel store.

FOLDER/pixels.npy    uint8 (n, STORED_EDGE, STORED_EDGE, 3), RGB, memory-mapped
FOLDER/corpus.json   what each row shows, the hashes of the photos, and a digest of what the corpus was made from

Of each catalogue only the split's *train* and *validation* photos are stored (``shown``), so nothing can show the
others by mistake.
"""

from __future__ import annotations

import json
from collections import Counter
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
from models.training.pretrain.shown import Listing, Say, ShownPhoto, choose_shown, read_pixels
from models.values import UInt8

STORED_EDGE: Final = 320
"""Edge of a stored photo, pixels: a little more than the network's 299, squashed as it sees them."""

TASKS: Final = ("label", "type", "colour", "category")
CORPUS_FORMAT: Final = 2
RENDERED: Final = "rendered"
"""The source of drawn pictures."""

_LEAST_ROWS: Final = {"label": 3, "type": 5, "colour": 5, "category": 5}
"""Values of a task with fewer rows of role train are no class of it: too few to learn them from."""

_PIXELS: Final = "pixels.npy"
_INDEX: Final = "corpus.json"
_DRAWING_THREADS: Final = 2


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
        """Content hashes of every stored photo, those of role validation included: only figures of the log come
        from them, but people choose by figures."""
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
    def open(cls, folder: Path, made_from: str | None = None) -> Corpus:
        """The corpus that ``build_corpus`` wrote.

        made_from: the digest of what it must have been made from; None for whatever it was.
        :raise TrainingError: there is none, it is damaged, or made from something else.
        """
        try:
            index: Any = json.loads((folder / _INDEX).read_text("utf-8"))
            if index["format"] != CORPUS_FORMAT:
                raise ValueError(f"format {index['format']}, this version reads {CORPUS_FORMAT}")
            found = str(index["made_from"])
            entries = tuple(Entry(h, s, r, bool(studio), tuple(values)) for h, s, r, studio, values in index["entries"])
            pixels = np.load(folder / _PIXELS, mmap_mode="r", allow_pickle=False)
            if pixels.shape != (len(entries), STORED_EDGE, STORED_EDGE, 3) or pixels.dtype != np.uint8:
                raise ValueError(f"{len(entries)} entries, but pixels {pixels.dtype} {pixels.shape}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{folder} holds no usable corpus ({error}); remove it to build it anew") from error
        if made_from not in (None, found):
            raise TrainingError(
                f"{folder} was made from other photos, splits or drawn products: give this run another folder, or "
                "remove that one to build it anew"
            )
        return cls(pixels, entries, _vocabularies(entries))


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A picture drawn by us: its place in ``values`` as in ``Entry``, and how to draw it."""

    values: tuple[str | None, ...]
    studio: bool
    role: str
    draw: Callable[[], UInt8]


def build_corpus(folder: Path, listing: Listing, rendered: Sequence[Rendered], say: Say = lambda line: None) -> Corpus:
    """Store photos and rendered pictures; found again if the folder holds the finished corpus of the same ones.

    :raise TrainingError: a photo cannot be read (it is named), or the folder holds another corpus.
    :raise NotEnoughData: nothing to train on. See also ``choose_shown``.
    """
    made_from = _digest(listing, rendered)
    if (folder / _INDEX).exists():
        return Corpus.open(folder, made_from)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = choose_shown(listing, say)
    roles = [*(item.role for item in chosen), *(picture.role for picture in rendered)]
    if "train" not in roles:
        raise NotEnoughData(
            f"{len(roles)} photos and drawn pictures may be shown to backbone training, none of them of role train; "
            "give a catalogue with more photos, or two products to draw at least"
        )
    entries = _store(folder / _PIXELS, chosen, rendered, say)
    temporary = folder / f"{_INDEX}.tmp"
    rows = [[e.content_hash, e.source, e.role, e.studio, e.values] for e in entries]
    temporary.write_text(json.dumps({"format": CORPUS_FORMAT, "made_from": made_from, "entries": rows}), "utf-8")
    temporary.replace(folder / _INDEX)
    return Corpus.open(folder)


def _digest(listing: Listing, rendered: Sequence[Rendered]) -> str:
    drawn = [(item.values, item.studio, item.role) for item in rendered]
    return sha256(f"{listing.digest}|{drawn}".encode()).hexdigest()


def _store(path: Path, chosen: Sequence[ShownPhoto], rendered: Sequence[Rendered], say: Say) -> list[Entry]:
    """Write the pixels; returns what each row shows."""
    shape = (len(chosen) + len(rendered), STORED_EDGE, STORED_EDGE, 3)
    store = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    entries: list[Entry] = []
    for item in chosen:
        photo = item.photo
        store[len(entries)] = resize_square(read_pixels(photo.path), STORED_EDGE)
        values = (f"{photo.source}/{photo.label}", photo.type, photo.colour, photo.category)
        entries.append(Entry(item.content_hash, photo.source, item.role, True, values))
    say(f"{len(entries)} photos stored; drawing {len(rendered)} pictures")
    with ThreadPoolExecutor(_DRAWING_THREADS) as pool:
        for picture, pixels in zip(rendered, pool.map(lambda picture: picture.draw(), rendered), strict=True):
            store[len(entries)] = resize_square(pixels, STORED_EDGE)
            entries.append(Entry("", RENDERED, picture.role, picture.studio, picture.values))
    store.flush()
    return entries


def _vocabularies(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    """The values of each task with at least ``_LEAST_ROWS`` rows of role train, sorted."""
    found: dict[str, tuple[str, ...]] = {}
    for place, task in enumerate(TASKS):
        counts = Counter(entry.values[place] for entry in entries if entry.role == "train")
        found[task] = tuple(
            sorted(value for value, n in counts.items() if value is not None and n >= _LEAST_ROWS[task])
        )
    return found
