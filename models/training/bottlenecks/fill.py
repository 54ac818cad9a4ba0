"""Filling the bottleneck cache: photos are decoded and varied by threads ahead of the network.

Pillow, OpenCV and the runtimes let go of the interpreter lock, so decoding costs no network time as long as
it is the faster of the two. Every batch is stored before the next one starts: an interrupt, also ``kill -9``,
costs at most the batch under way.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from augment.variants import ORIGINAL, SELECTABLE_NAMES, VARIANT_NAMES, make_variant
from models.backbone.preprocessing import fit_input
from models.errors import BackboneError, PhotoError, UsageError
from models.photo import PhotoLimits, read_photo
from models.photo.reading import HARD_MAX_PIXELS
from models.training.bottlenecks.cache import BottleneckCache
from models.training.bottlenecks.descriptor import scene_descriptor
from models.training.bottlenecks.keys import BottleneckKey, PhotoFacts, variant_key
from models.training.bottlenecks.progress import FillProgress, ProgressCallback
from models.values import Backbone, UInt8

DEFAULT_BATCH: Final = 16
DEFAULT_WORKERS: Final = 2
_AHEAD: Final = 2
"""Photos in preparation for each worker; bounds the memory to a few megabytes a worker."""

_LIMITS: Final = PhotoLimits(max_bytes=2**30, max_pixels=HARD_MAX_PIXELS)
"""The import judged these photos by the installation's limits; a HEIC's stored copy is several times its size."""


class PhotoSource(Protocol):
    """One photo of the catalogue."""

    @property
    def content_hash(self) -> str:
        """SHA-256 of the photo as it first came, 64 hex digits; another content is another photo."""
        ...

    def load(self) -> bytes:
        """Bytes with that photo's pixels. May raise OSError; called from a worker thread."""
        ...


@dataclass(frozen=True, slots=True)
class FailedPhoto:
    """A photo that has no bottlenecks, with the reason for people."""

    content_hash: str
    message: str


@dataclass(frozen=True, slots=True)
class FillReport:
    """What a run did.

    new, reused: images computed now, and stored before. new_photos: that lacked any and were computed now.
    failed: photos left out.
    seconds: wall time; seconds_network: inside the network; seconds_decode: decoding and varying, summed
        over the workers.
    """

    new: int
    reused: int
    new_photos: int
    failed: tuple[FailedPhoto, ...]
    seconds: float
    seconds_network: float
    seconds_decode: float

    @property
    def network_ms_per_image(self) -> float | None:
        """Milliseconds of network time an image; None where nothing was computed."""
        return 1000 * self.seconds_network / self.new if self.new else None


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    source: PhotoSource
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """A decoded photo: one input a variant, facts where the original is among them; or an error."""

    content_hash: str
    variants: tuple[str, ...]
    inputs: tuple[UInt8, ...]
    facts: PhotoFacts | None
    error: str | None
    seconds: float


@dataclass(slots=True)
class _Run:
    """The state of one run: what waits for the network, and the sums."""

    total: int
    reused: int
    started: float = field(default_factory=time.perf_counter)
    new: int = 0
    failed_images: int = 0
    failed: list[FailedPhoto] = field(default_factory=list)
    seconds_network: float = 0.0
    seconds_decode: float = 0.0
    waiting: deque[tuple[BottleneckKey, UInt8, PhotoFacts | None]] = field(default_factory=deque)

    def progress(self) -> FillProgress:
        elapsed = time.perf_counter() - self.started
        rate = self.new / elapsed if self.new and elapsed > 0 else 0.0
        done = self.reused + self.new
        left = (self.total - done - self.failed_images) / rate if rate else None
        return FillProgress(done, self.failed_images, self.total, rate, left)


def fill_cache(
    cache: BottleneckCache,
    photos: Sequence[PhotoSource],
    backbone: Backbone,
    *,
    variants: Sequence[str] = VARIANT_NAMES,
    seed: int = 0,
    workers: int = DEFAULT_WORKERS,
    batch_size: int = DEFAULT_BATCH,
    progress: ProgressCallback | None = None,
    wait: bool = False,
) -> FillReport:
    """Have the bottlenecks of every photo's original and variants stored; compute only what is missing.

    photos: the same content twice counts once.
    variants: names from ``augment.variants``; the original always comes along. Empty: originals only.
    seed: of the variants.
    workers: decoding threads. batch_size: images a network call, and the most an interrupt loses.
    progress: see ``ProgressCallback``; ``TqdmProgress`` shows a bar.
    wait: for the end of another run that writes.
    Damaged photos and unreadable files are reported, not raised.
    :raise BackboneError: the backbone belongs to another space than the cache.
    :raise TrainingError: somebody else is writing (unless ``wait``), or the disk refuses.
    :raise UsageError: an unknown variant, ``workers`` or ``batch_size`` below 1.
    """
    names = _variant_names(variants)
    if workers < 1 or batch_size < 1:
        raise UsageError(f"workers={workers}, batch_size={batch_size}; both must be at least 1")
    if backbone.space != cache.space:
        raise BackboneError(
            f"the backbone ({backbone.weights}) makes vectors of space {backbone.space}, the cache in "
            f"{cache.folder} holds {cache.space}: open the cache of the backbone's space"
        )
    with cache.writing(wait=wait):
        distinct = list({photo.content_hash: photo for photo in photos}.values())
        tasks, reused = _plan(cache, distinct, names, seed)
        run = _Run(total=len(distinct) * len(names), reused=reused)
        _report(run, progress)
        executor = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        try:
            for prepared in _ahead(executor, tasks, seed, workers * _AHEAD):
                _take(run, prepared, seed)
                while len(run.waiting) >= batch_size:
                    _compute(run, cache, backbone, batch_size)
                    _report(run, progress)
            while run.waiting:
                _compute(run, cache, backbone, batch_size)
            _report(run, progress)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
    return FillReport(
        new=run.new,
        reused=run.reused,
        new_photos=len(tasks) - len(run.failed),
        failed=tuple(run.failed),
        seconds=time.perf_counter() - run.started,
        seconds_network=run.seconds_network,
        seconds_decode=run.seconds_decode,
    )


def _variant_names(variants: Sequence[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys((ORIGINAL, *variants)))
    unknown = [name for name in names if name != ORIGINAL and name not in SELECTABLE_NAMES]
    if unknown:
        raise UsageError(f"unknown variant {unknown[0]!r}; expected some of {', '.join(SELECTABLE_NAMES)}")
    return names


def _plan(
    cache: BottleneckCache, photos: Sequence[PhotoSource], names: Sequence[str], seed: int
) -> tuple[list[_Task], int]:
    """What is missing, a task a photo, and how many images are stored already."""
    keys = [BottleneckKey(photo.content_hash, variant_key(name, seed)) for photo in photos for name in names]
    stored = cache.contains(keys)
    tasks: list[_Task] = []
    for place, photo in enumerate(photos):
        flags = stored[place * len(names) : (place + 1) * len(names)]
        missing = tuple(name for name, is_stored in zip(names, flags, strict=True) if not is_stored)
        if missing:
            tasks.append(_Task(photo, missing))
    return tasks, sum(stored)


def _ahead(executor: ThreadPoolExecutor, tasks: Sequence[_Task], seed: int, window: int) -> Iterator[_Prepared]:
    """Prepared photos in the order of ``tasks``, with at most ``window`` in the making."""
    running: deque[Future[_Prepared]] = deque()
    for task in tasks:
        if len(running) >= window:
            yield running.popleft().result()
        running.append(executor.submit(_prepare, task, seed))
    while running:
        yield running.popleft().result()


def _prepare(task: _Task, seed: int) -> _Prepared:
    """Decode one photo and make its missing inputs (in a worker thread)."""
    started = time.perf_counter()
    content_hash = task.source.content_hash
    inputs: tuple[UInt8, ...] = ()
    facts: PhotoFacts | None = None
    error: str | None = None
    try:
        photo = read_photo(task.source.load(), _LIMITS, with_advice=False)
        inputs = tuple(
            fit_input(photo.pixels) if name == ORIGINAL else make_variant(photo.pixels, name, seed)
            for name in task.variants
        )
        if ORIGINAL in task.variants:
            scene = scene_descriptor(photo.pixels)
            facts = PhotoFacts(content_hash, photo.source_width, photo.source_height, scene)
    except (PhotoError, OSError) as failure:
        error = str(failure)
    return _Prepared(content_hash, task.variants, inputs, facts, error, time.perf_counter() - started)


def _take(run: _Run, prepared: _Prepared, seed: int) -> None:
    """Line a prepared photo up for the network, or note why it cannot be."""
    run.seconds_decode += prepared.seconds
    if prepared.error is not None:
        run.failed.append(FailedPhoto(prepared.content_hash, prepared.error))
        run.failed_images += len(prepared.variants)
        return
    for name, pixels in zip(prepared.variants, prepared.inputs, strict=True):
        key = BottleneckKey(prepared.content_hash, variant_key(name, seed))
        run.waiting.append((key, pixels, prepared.facts if name == ORIGINAL else None))


def _compute(run: _Run, cache: BottleneckCache, backbone: Backbone, batch_size: int) -> None:
    """One batch through the network and onto the disk."""
    batch = [run.waiting.popleft() for _ in range(min(batch_size, len(run.waiting)))]
    started = time.perf_counter()
    vectors = backbone.extract([pixels for _, pixels, _ in batch])
    run.seconds_network += time.perf_counter() - started
    cache.add([key for key, _, _ in batch], vectors, [facts for _, _, facts in batch if facts is not None])
    run.new += len(batch)


def _report(run: _Run, progress: ProgressCallback | None) -> None:
    if progress is not None:
        progress(run.progress())
