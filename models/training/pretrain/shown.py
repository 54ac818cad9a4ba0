"""Which photos of the catalogues backbone training may show, and in which role.

A photo that one split keeps for calibration, test or hold-out is shown through no source: the same file may lie in
several catalogues. What is compared is the content of files; another copy of the picture, saved anew, is another photo.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from models.errors import PhotoError, TrainingError
from models.photo import read_photo
from models.training.bottlenecks.descriptor import scene_descriptor
from models.training.scenes import cluster_scenes
from models.training.splits import Split, make_split
from models.values import UInt8

SHOWN_ROLES: Final = ("train", "validation")
"""What is trained on, and what only the log's ``val_`` figures come from."""

VALIDATION_SHARE: Final = 0.1
"""Of the labels with a single photo, which the split never holds out: so many are validation here, by hash."""

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
class ShownPhoto:
    """A photo that may be shown. content_hash: SHA-256 of the file, 64 hex digits. role: one of ``SHOWN_ROLES``."""

    photo: SourcePhoto
    content_hash: str
    role: str


@dataclass(frozen=True, slots=True)
class Listing:
    """photos: of all catalogues. hashes: the SHA-256 of each. splits: by source, where a split file exists."""

    photos: tuple[SourcePhoto, ...]
    hashes: tuple[str, ...]
    splits: Mapping[str, Split]

    @classmethod
    def read(cls, photos: Sequence[SourcePhoto], splits: Mapping[str, Split]) -> Listing:
        """Hash the photos' files; nothing is decoded.

        :raise TrainingError: a file cannot be read; the message names it.
        """
        with ThreadPoolExecutor(_DECODE_THREADS) as pool:
            return cls(tuple(photos), tuple(pool.map(lambda photo: _hash(photo.path), photos)), splits)

    @property
    def digest(self) -> str:
        """64 hex digits that change with any photo, what its row says, its source, and the roles of the splits.

        Where the files lie does not count.
        """
        found = sha256()
        for photo, content_hash in zip(self.photos, self.hashes, strict=True):
            row = (content_hash, photo.source, photo.label, photo.type, photo.colour, photo.category)
            found.update(repr(row).encode())
        for source, split in sorted(self.splits.items()):
            roles = sorted((content_hash, place.role) for content_hash, place in split.places.items())
            found.update(repr((source, roles)).encode())
        return found.hexdigest()


def choose_shown(listing: Listing, say: Say) -> list[ShownPhoto]:
    """The photos that training may show, by source, each content once a source.

    Sources without a split file are split here, which reads all their photos once to find scenes. Where a content has
    several roles, the strictest counts in every source.
    :raise TrainingError: a photo that its source's split file does not know, or that cannot be read; it is named.
    """
    by_source: dict[str, list[tuple[SourcePhoto, str]]] = {source: [] for source in sorted(listing.splits)}
    for photo, content_hash in zip(listing.photos, listing.hashes, strict=True):
        by_source.setdefault(photo.source, []).append((photo, content_hash))
    splits = {
        source: listing.splits[source] if source in listing.splits else _split(own, say)
        for source, own in sorted(by_source.items())
    }
    roles = _strictest(
        [
            *((content_hash, place.role) for split in splits.values() for content_hash, place in split.places.items()),
            *(pair for source, own in by_source.items() for pair in _own_roles(source, own, splits[source])),
        ]
    )
    chosen: list[ShownPhoto] = []
    for source, own in sorted(by_source.items()):
        once = {content_hash: photo for photo, content_hash in reversed(own) if roles[content_hash] in SHOWN_ROLES}
        say(f"{source}: {len(once)} of {len(own)} photos may be shown")
        chosen += [ShownPhoto(photo, h, roles[h]) for photo, h in own if once.get(h) is photo]
    return chosen


def read_pixels(path: Path) -> UInt8:
    """The decoded photo, uint8 (h, w, 3) RGB.

    :raise TrainingError: it cannot be read; the message names it.
    """
    try:
        return read_photo(path.read_bytes(), with_advice=False).pixels
    except (PhotoError, OSError) as error:
        raise _unreadable(path, error) from error


def _hash(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> TrainingError:
    return TrainingError(f"{path} cannot be read ({error}); mend it, or take it out of the catalogue folder")


def _own_roles(source: str, own: Sequence[tuple[SourcePhoto, str]], split: Split) -> Iterable[tuple[str, str]]:
    """(content hash, role) of a source's photos; some labels' single photos become validation."""
    photos_of = Counter(photo.label for photo, _ in own)
    for photo, content_hash in own:
        place = split.places.get(content_hash)
        if place is None:
            raise TrainingError(
                f"{photo.path} is not in the split file of {source}; use the split of exactly these photos, or none"
            )
        rare = photos_of[photo.label] == 1 and int(content_hash[:8], 16) / 16**8 < VALIDATION_SHARE
        yield content_hash, "validation" if rare and place.role == "train" else place.role


def _strictest(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By content: a protected role before validation before train."""
    rank = {role: place for place, role in enumerate(SHOWN_ROLES)}
    found: dict[str, str] = {}
    for content_hash, role in pairs:
        found[content_hash] = max(found.get(content_hash, role), role, key=lambda name: rank.get(name, len(rank)))
    return found


def _split(own: Sequence[tuple[SourcePhoto, str]], say: Say) -> Split:
    say(f"{own[0][0].source}: scenes and split of {len(own)} photos")
    with ThreadPoolExecutor(_DECODE_THREADS) as pool:
        descriptors = np.stack(list(pool.map(lambda item: scene_descriptor(read_pixels(item[0].path)), own)))
    labels, hashes = [photo.label for photo, _ in own], [content_hash for _, content_hash in own]
    return make_split(hashes, labels, cluster_scenes(descriptors, labels, hashes))
