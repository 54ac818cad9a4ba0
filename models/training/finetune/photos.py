"""Which photos fine-tuning may use for what, and how they become inputs."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from augment.strong import strong_view
from models.backbone.preprocessing import fit_input
from models.errors import NotEnoughData, PhotoError, SplitError, TrainingError
from models.photo import PhotoLimits, read_photo
from models.photo.reading import HARD_MAX_PIXELS
from models.training.splits import Split
from models.values import UInt8

TAUGHT: Final = "train"
CHOOSING: Final = "validation"
JUDGED: Final = ("calibration", "test")
"""Roles: what is trained on, what chooses the epoch, and what the result is measured on (never shown)."""

_LIMITS: Final = PhotoLimits(max_bytes=2**30, max_pixels=HARD_MAX_PIXELS)
_AHEAD: Final = 4
"""Photos in preparation."""

_THREADS: Final = 2

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


class LabelledPhoto(Protocol):
    """One photo of the catalogue."""

    @property
    def content_hash(self) -> str:
        """SHA-256 of the photo as it first came, 64 hex digits."""
        ...

    @property
    def label(self) -> str:
        """What it shows."""
        ...

    def load(self) -> bytes:
        """Bytes with that photo's pixels. May raise OSError."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ChosenPhotos:
    """Photos by use; labels are those that have a photo to train on.

    taught: trained on. choosing: choose the epoch. judged: neither, nor in what the start weights saw.
    scenes: of ``judged``, intp (n,). seen_before: photos left out of ``judged`` because the start weights saw them.
    """

    taught: tuple[LabelledPhoto, ...]
    choosing: tuple[LabelledPhoto, ...]
    judged: tuple[LabelledPhoto, ...]
    scenes: NDArray[np.intp]
    seen_before: int

    @property
    def all(self) -> tuple[LabelledPhoto, ...]:
        """Taught, choosing, judged."""
        return (*self.taught, *self.choosing, *self.judged)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels trained on, sorted."""
        return tuple(sorted({photo.label for photo in self.taught}))


def choose_photos(
    photos: Sequence[LabelledPhoto], split: Split, seen: frozenset[str], share: float, seed: int
) -> ChosenPhotos:
    """Sort the photos by their role in the split; hold-out photos are left out altogether.

    seen: content hashes the start weights were trained on; they are not judged.
    share, seed: see ``FinetuneSettings``.
    :raise SplitError: a photo has no place in the split.
    :raise NotEnoughData: fewer than two labels have a train photo.
    """
    distinct = list({(photo.label, photo.content_hash): photo for photo in photos}.values())
    by_role: dict[str, list[LabelledPhoto]] = defaultdict(list)
    for photo in distinct:
        place = split.places.get(photo.content_hash)
        if place is None:
            raise SplitError(f"photo {photo.content_hash} is not in the split; extend the split with it first")
        by_role[place.role].append(photo)
    taught = _share_of_each_label(by_role[TAUGHT], share, seed)
    labels = {photo.label for photo in taught}
    if len(labels) < 2:
        raise NotEnoughData(f"fine-tuning needs train photos of at least two labels, got {len(labels)}")
    judged = [photo for role in JUDGED for photo in by_role[role] if photo.label in labels]
    fresh = [photo for photo in judged if photo.content_hash not in seen]
    scenes = np.array([split.places[photo.content_hash].scene for photo in fresh], dtype=np.intp)
    choosing = [photo for photo in by_role[CHOOSING] if photo.label in labels]
    return ChosenPhotos(tuple(taught), tuple(choosing), tuple(fresh), scenes, len(judged) - len(fresh))


def _share_of_each_label(photos: Sequence[LabelledPhoto], share: float, seed: int) -> list[LabelledPhoto]:
    """The first part of each label's photos in an order drawn once, so that shares are nested."""
    rng = np.random.default_rng(seed)
    own: dict[str, list[LabelledPhoto]] = defaultdict(list)
    for photo in photos:
        own[photo.label].append(photo)
    chosen: list[LabelledPhoto] = []
    for label in sorted(own):
        listed = sorted(own[label], key=lambda photo: photo.content_hash)
        order = rng.permutation(len(listed))
        chosen += [listed[i] for i in order[: max(1, round(share * len(listed)))]]
    return chosen


def balanced_order(labels: Sequence[str], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Places of photos to show, every label as often as any other (up to one), and within a label every photo.

    labels: of the n photos. Returns intp (count,), each 0..n-1; labels come in a new random order each round.
    """
    names, codes = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
    members = [np.flatnonzero(codes == code) for code in range(len(names))]
    waiting: list[deque[int]] = [deque() for _ in names]
    order: list[int] = []
    while len(order) < count:
        for code in rng.permutation(len(names))[: count - len(order)]:
            if not waiting[code]:
                waiting[code].extend(int(i) for i in rng.permutation(members[code]))
            order.append(waiting[code].popleft())
    return np.array(order, dtype=np.intp)


def read_pixels(photo: LabelledPhoto) -> UInt8:
    """The decoded photo, uint8 (h, w, 3) RGB.

    :raise TrainingError: it is lost or damaged; the message names it.
    """
    try:
        return read_photo(photo.load(), _LIMITS, with_advice=False).pixels
    except (PhotoError, OSError) as error:
        raise TrainingError(
            f"photo {photo.content_hash} of {photo.label} cannot be read ({error}); restore the image store, or take "
            "the photo out of the catalogue"
        ) from error


def plain_view(photo: LabelledPhoto) -> UInt8:
    """The photo as it is served, uint8 (299, 299, 3)."""
    return fit_input(read_pixels(photo))


def drawn_view(pixels: UInt8, content_hash: str, draw: Sequence[int], size: int) -> UInt8:
    """One augmented view, uint8 (size, size, 3), decided by the photo's content and ``draw`` alone."""
    return strong_view(pixels, np.random.default_rng([int(content_hash[:16], 16), *draw]), size)


def made_ahead(make: Callable[[_Item], _Made], items: Iterable[_Item]) -> Iterator[_Made]:
    """``make`` of each item in order, prepared by two threads while the caller works on the ones before."""
    running: deque[Future[_Made]] = deque()
    executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="views")
    try:
        for item in items:
            if len(running) >= _AHEAD:
                yield running.popleft().result()
            running.append(executor.submit(make, item))
        while running:
            yield running.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
