"""The bottleneck cache: vectors that were computed once and are never computed again.

    HOME/bottlenecks/<space>/vectors.f32     rows of 2,048 little-endian float32, only ever appended
                             index.sqlite    which row holds which photo and variant; facts about photos
                             writer.lock     one writer at a time

A row counts once the index names it, and the index is written only after the vectors are on disk. Whatever
lies in ``vectors.f32`` behind the last named row is the torn tail of an interrupted run and is overwritten.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from augment.variants import ORIGINAL
from models.backbone.locking import exclusive
from models.errors import TrainingError, UsageError
from models.training.bottlenecks.descriptor import SCENE_SIZE
from models.training.bottlenecks.keys import BottleneckKey, PhotoFacts
from models.values import BOTTLENECK_SIZE, Float32

CACHE_FORMAT: Final = "1"
ROW_BYTES: Final = BOTTLENECK_SIZE * 4
_CHUNK: Final = 500
_BUSY_TIMEOUT_S: Final = 30.0
_UNIT_TOLERANCE: Final = 1e-3

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bottlenecks (
    content_hash TEXT NOT NULL, variant TEXT NOT NULL, row INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (content_hash, variant)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS photos (
    content_hash TEXT PRIMARY KEY, width INTEGER NOT NULL, height INTEGER NOT NULL, scene BLOB NOT NULL
) WITHOUT ROWID;
"""

_SELECT_ROWS: Final = "SELECT content_hash, variant, row FROM bottlenecks"
_SELECT_PHOTOS: Final = "SELECT content_hash, width, height, scene FROM photos"

_log = logging.getLogger(__name__)


class BottleneckCache:
    """The cache of one space. Readers need no lock; ``add`` works inside ``writing()`` only.

    An object belongs to the thread that made it; other threads and processes open their own.
    """

    def __init__(self, folder: Path, space: str) -> None:
        """Open or create the cache.

        folder: usually ``HOME/bottlenecks/<space>``; see ``open_cache``.
        space: identifier of the vectors' space.
        :raise TrainingError: the folder holds another space or an unknown format, or is unreadable.
        """
        self.folder = folder
        self.space = space
        self._writing = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._index = sqlite3.connect(folder / "index.sqlite", timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            self._index.execute("PRAGMA journal_mode=WAL")
            self._index.execute("PRAGMA synchronous=FULL")
            self._index.executescript(_SCHEMA)
            self._check_meta()
            self._vectors_path.touch(exist_ok=True)
        except (OSError, sqlite3.Error) as error:
            raise TrainingError(f"the bottleneck cache in {folder} cannot be opened: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index; the object is of no use afterwards."""
        self._index.close()

    def __len__(self) -> int:
        """How many vectors are stored."""
        return int(self._index.execute("SELECT count(*) FROM bottlenecks").fetchone()[0])

    def contains(self, keys: Sequence[BottleneckKey]) -> list[bool]:
        """For each key, whether its vector is stored."""
        rows = self._rows(keys)
        return [key in rows for key in keys]

    def get(self, keys: Sequence[BottleneckKey]) -> Float32:
        """Stored vectors, in the order of ``keys`` (which may repeat).

        Returns float32 (n, 2048), unit length, in memory of its own.
        :raise TrainingError: a key is not stored, or what is stored is damaged.
        """
        rows = self._rows(keys)
        missing = [key for key in keys if key not in rows]
        if missing:
            raise TrainingError(
                f"{len(missing)} of {len(keys)} bottlenecks are not in {self.folder}, first "
                f"{missing[0].variant} of photo {missing[0].content_hash[:12]}: run `make train-bottlenecks`"
            )
        if not keys:
            return np.empty((0, BOTTLENECK_SIZE), np.float32)
        places = np.array([rows[key] for key in keys])
        stored = self.vectors()
        if int(places.max()) >= len(stored):
            raise self._damaged(f"{len(stored)} rows are there, row {int(places.max())} is named")
        found: Float32 = np.asarray(stored[places], dtype=np.float32)
        lengths = np.linalg.norm(found, axis=1)
        if not np.all(np.abs(lengths - 1.0) < _UNIT_TOLERANCE):  # also true for NaN
            raise self._damaged("a stored vector does not have unit length")
        return found

    def originals(self, content_hashes: Sequence[str]) -> Float32:
        """``get`` for the unchanged photos."""
        return self.get([BottleneckKey(content_hash, ORIGINAL) for content_hash in content_hashes])

    def facts(self, content_hashes: Sequence[str]) -> list[PhotoFacts]:
        """Facts of photos whose original is stored, in the order asked for.

        :raise TrainingError: a photo is not stored.
        """
        found: dict[str, PhotoFacts] = {}
        for chunk in _chunks(sorted(set(content_hashes))):
            query = f"{_SELECT_PHOTOS} WHERE content_hash IN ({_marks(chunk)})"
            for content_hash, width, height, blob in self._index.execute(query, chunk):
                scene = np.frombuffer(blob, dtype="<f4").astype(np.float32)
                found[content_hash] = PhotoFacts(content_hash, width, height, scene)
        missing = [content_hash for content_hash in content_hashes if content_hash not in found]
        if missing:
            raise TrainingError(
                f"{len(missing)} of {len(content_hashes)} photos are not in {self.folder}, first "
                f"{missing[0][:12]}: run `make train-bottlenecks`"
            )
        return [found[content_hash] for content_hash in content_hashes]

    def scenes(self, content_hashes: Sequence[str]) -> Float32:
        """Scene descriptors as one array, float32 (n, 864). :raise TrainingError: see ``facts``."""
        facts = self.facts(content_hashes)
        return np.stack([fact.scene for fact in facts]) if facts else np.empty((0, SCENE_SIZE), np.float32)

    def vectors(self) -> np.memmap[tuple[int, ...], np.dtype[np.float32]] | Float32:
        """All rows on disk as a read-only memory map, float32 (rows, 2048), named by the index or not."""
        rows = self._vectors_path.stat().st_size // ROW_BYTES
        if rows == 0:  # an empty file cannot be mapped
            return np.empty((0, BOTTLENECK_SIZE), np.float32)
        return np.memmap(self._vectors_path, dtype="<f4", mode="r", shape=(rows, BOTTLENECK_SIZE))

    @contextmanager
    def writing(self, *, wait: bool = False) -> Iterator[None]:
        """Become the one writer, and forget index entries whose vectors a crash of the disk took.

        wait: for the end of another writer; otherwise raise at once.
        :raise TrainingError: another process or thread is writing, and ``wait`` is False.
        """
        lock = exclusive(self.folder / "writer.lock", wait=wait)
        try:
            lock.__enter__()
        except BlockingIOError as error:
            raise TrainingError(
                f"another run is filling {self.folder}; wait for its end, or stop it: nothing stored is lost"
            ) from error
        try:
            self._forget_lost_rows()
            self._writing = True
            yield
        finally:
            self._writing = False
            lock.__exit__(None, None, None)

    def add(self, keys: Sequence[BottleneckKey], vectors: Float32, facts: Sequence[PhotoFacts] = ()) -> None:
        """Store a batch for good: when this returns, not even a power cut loses it.

        keys: n keys, none stored yet and none twice.
        vectors: float32 (n, 2048), unit length.
        facts: of photos whose original is in this batch.
        :raise UsageError: outside ``writing()``, or shapes that do not fit.
        :raise TrainingError: a key is stored already, or the disk refuses; nothing of the batch is stored.
        """
        if not self._writing:
            raise UsageError("BottleneckCache.add was called outside `with cache.writing():`")
        if vectors.shape != (len(keys), BOTTLENECK_SIZE):
            raise UsageError(f"vectors of shape {vectors.shape} came; expected {(len(keys), BOTTLENECK_SIZE)}")
        if not keys:
            return
        start = self._committed_rows()
        try:
            self._append(start, vectors)
            self._index.execute("BEGIN IMMEDIATE")
            try:
                entries = [(key.content_hash, key.variant, start + n) for n, key in enumerate(keys)]
                self._index.executemany("INSERT INTO bottlenecks VALUES (?, ?, ?)", entries)
                self._index.executemany(
                    "INSERT OR REPLACE INTO photos VALUES (?, ?, ?, ?)",
                    [(f.content_hash, f.width, f.height, f.scene.astype("<f4").tobytes()) for f in facts],
                )
                self._index.execute("COMMIT")
            except BaseException:
                self._index.execute("ROLLBACK")
                raise
        except (OSError, sqlite3.Error) as error:
            raise TrainingError(f"bottlenecks could not be stored in {self.folder}: {error}") from error

    @property
    def _vectors_path(self) -> Path:
        return self.folder / "vectors.f32"

    def _check_meta(self) -> None:
        expected = {"format": CACHE_FORMAT, "space": self.space, "size": str(BOTTLENECK_SIZE)}
        self._index.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", list(expected.items()))
        found = dict(self._index.execute("SELECT name, value FROM meta"))
        if found != expected:
            raise TrainingError(f"{self.folder} was made for {found}, expected {expected}: use another folder")

    def _rows(self, keys: Sequence[BottleneckKey]) -> dict[BottleneckKey, int]:
        wanted = set(keys)
        found: dict[BottleneckKey, int] = {}
        for chunk in _chunks(sorted({key.content_hash for key in wanted})):
            query = f"{_SELECT_ROWS} WHERE content_hash IN ({_marks(chunk)})"
            for content_hash, variant, row in self._index.execute(query, chunk):
                key = BottleneckKey(content_hash, variant)
                if key in wanted:
                    found[key] = row
        return found

    def _committed_rows(self) -> int:
        return int(self._index.execute("SELECT coalesce(max(row) + 1, 0) FROM bottlenecks").fetchone()[0])

    def _append(self, start: int, vectors: Float32) -> None:
        with self._vectors_path.open("r+b") as file:
            file.seek(start * ROW_BYTES)
            file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
            file.truncate()  # a longer torn tail must not survive behind this batch
            file.flush()
            os.fsync(file.fileno())

    def _forget_lost_rows(self) -> None:
        rows = self._vectors_path.stat().st_size // ROW_BYTES
        lost = self._committed_rows() - rows
        if lost <= 0:
            return
        _log.warning("%s: %d stored vectors are gone from disk and will be computed again", self.folder, lost)
        lost_originals = "SELECT content_hash FROM bottlenecks WHERE row >= ? AND variant = ?"
        self._index.execute("BEGIN IMMEDIATE")
        self._index.execute(f"DELETE FROM photos WHERE content_hash IN ({lost_originals})", (rows, ORIGINAL))  # noqa: S608 - constant
        self._index.execute("DELETE FROM bottlenecks WHERE row >= ?", (rows,))
        self._index.execute("COMMIT")

    def _damaged(self, reason: str) -> TrainingError:
        return TrainingError(
            f"{self._vectors_path} is damaged ({reason}): delete {self.folder} and run `make train-bottlenecks`"
        )


def open_cache(home: Path, space: str) -> BottleneckCache:
    """The cache of ``space`` under the state folder. :raise TrainingError: see ``BottleneckCache``."""
    return BottleneckCache(home / "bottlenecks" / space, space)


def _chunks(values: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _CHUNK):
        yield list(values[start : start + _CHUNK])


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
