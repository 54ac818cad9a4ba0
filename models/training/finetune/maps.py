"""What the frozen lower part of the network makes of the photos, computed once and kept on disk.

A memory-mapped file of float16 rows, filled from front to back; a small JSON file beside it says how far, so an
interrupted run goes on where it stopped. float16 keeps three digits of each value, far below what an augmentation
changes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.backbone.preprocessing import scale_pixels
from models.errors import TrainingError
from models.training.finetune.photos import LabelledPhoto, drawn_view, made_ahead, plain_view, read_pixels
from models.training.finetune.progress import Pace
from models.values import INPUT_SIZE, Float32, UInt8

Float16 = NDArray[np.float16]

_BATCH: Final = 16
_SPARE_BYTES: Final = 2**30
"""What must stay free on the disk beside the maps."""


class MapFile:
    """Rows float16 (rows, h, w, c), written in order, read in any.

    identity: what the rows depend on; a file of another identity or shape is started anew.
    """

    def __init__(self, path: Path, identity: str, rows: int, shape: tuple[int, int, int]) -> None:
        """:raise TrainingError: the disk has no room for it."""
        self._state = path.with_suffix(".json")
        self._essence = {"identity": identity, "rows": rows, "shape": list(shape)}
        self._size_bytes = rows * int(np.prod(shape)) * np.dtype(np.float16).itemsize
        self.done = self._resume(path)
        if not self.done:
            path.unlink(missing_ok=True)
            _require_room(path, self._size_bytes)
        self._rows = np.memmap(path, np.float16, "r+" if self.done else "w+", shape=(rows, *shape))

    def _resume(self, path: Path) -> int:
        try:
            state = json.loads(self._state.read_text("utf-8"))
            fits = state["essence"] == self._essence and path.stat().st_size == self._size_bytes
            return int(state["done"]) if fits else 0
        except (OSError, ValueError, KeyError, TypeError):  # a cache: whatever cannot be read is made again
            return 0

    def __len__(self) -> int:
        """All rows, filled or not."""
        return len(self._rows)

    def append(self, maps: Float32) -> None:
        """Add rows and remember that they are there.

        :raise TrainingError: values beyond float16, which healthy weights never give.
        """
        with np.errstate(over="ignore"):  # looked for below
            half = maps.astype(np.float16)
        if not np.isfinite(half).all():
            raise TrainingError(
                f"the start weights make values up to {np.abs(maps).max():g} inside the network, more than 16 bits "
                "hold: they are damaged, or fine-tune with --depth all"
            )
        self._rows[self.done : self.done + len(half)] = half
        self._rows.flush()
        self.done += len(half)
        temporary = self._state.with_suffix(".tmp")
        temporary.write_text(json.dumps({"essence": self._essence, "done": self.done}), "utf-8")
        temporary.replace(self._state)

    def read(self, places: Sequence[int]) -> Float32:
        """Rows as float32 (n, h, w, c)."""
        return np.stack([self._rows[place] for place in places]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """The maps of photos: as they are served, and of their augmented views.

    plain_rows: content hash -> row. drawn_rows: content hash -> row of view 0; the others follow.
    """

    plain: MapFile
    drawn: MapFile
    plain_rows: dict[str, int]
    drawn_rows: dict[str, int]

    def plain_batch(self, hashes: Sequence[str]) -> Float32:
        """float32 (n, h, w, c) of the photos as they are served."""
        return self.plain.read([self.plain_rows[h] for h in hashes])

    def drawn_batch(self, hashes: Sequence[str], views: Sequence[int]) -> Float32:
        """float32 (n, h, w, c), of one view a photo."""
        return self.drawn.read([self.drawn_rows[h] + int(view) for h, view in zip(hashes, views, strict=True)])


@dataclass(frozen=True, slots=True)
class MapPlan:
    """What the maps of a run are: identity (of the frozen weights), views a photo, edge of a view, seed."""

    identity: str
    views: int
    input_size: int
    seed: int


def fill_maps(
    below: Any,
    shown: Sequence[LabelledPhoto],
    taught: Sequence[LabelledPhoto],
    plan: MapPlan,
    folder: Path,
    say: Callable[[str], None],
) -> Maps:
    """Have the maps of every photo as it is served, and of ``plan.views`` views of the ``taught`` ones.

    below: the frozen part, pixels -> maps. folder: made where it is missing.
    :raise TrainingError: a photo cannot be read, the disk is full, or the weights are broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = list({photo.content_hash: photo for photo in shown}.values())
    varied = list({photo.content_hash: photo for photo in taught}.values())

    def shape(size: int) -> tuple[int, int, int]:
        _, height, width, channels = below.compute_output_shape((1, size, size, 3))
        return int(height), int(width), int(channels)

    def views(photo: LabelledPhoto) -> list[UInt8]:
        pixels = read_pixels(photo)
        draws = ((plan.seed, view) for view in range(plan.views))
        return [drawn_view(pixels, photo.content_hash, draw, plan.input_size) for draw in draws]

    plain = MapFile(folder / "plain.f16", _name(plan, every, "plain"), len(every), shape(INPUT_SIZE))
    _fill(plain, below, made_ahead(lambda photo: [plain_view(photo)], every[plain.done :]), "photos", say)
    count = len(varied) * plan.views
    drawn = MapFile(folder / "drawn.f16", _name(plan, varied, "drawn"), count, shape(plan.input_size))
    # A photo whose views are stored in part is begun again.
    drawn.done -= drawn.done % plan.views
    _fill(drawn, below, made_ahead(views, varied[drawn.done // plan.views :]), "views", say)
    return Maps(
        plain,
        drawn,
        {photo.content_hash: row for row, photo in enumerate(every)},
        {photo.content_hash: row * plan.views for row, photo in enumerate(varied)},
    )


def _fill(file: MapFile, below: Any, pictures: Iterator[list[UInt8]], what: str, say: Callable[[str], None]) -> None:
    total = len(file)
    pace = Pace(f"{what} through the frozen part", total, file.done, say)
    waiting: list[UInt8] = []
    for made in pictures:
        waiting += made
        while len(waiting) >= _BATCH:
            file.append(_maps(below, waiting[:_BATCH]))
            del waiting[:_BATCH]
            pace.at(file.done)
    if waiting:
        file.append(_maps(below, waiting))
    pace.end(file.done)


def _maps(below: Any, pictures: Sequence[UInt8]) -> Float32:
    return np.asarray(below.predict_on_batch(scale_pixels(np.stack(pictures))), dtype=np.float32)


def _name(plan: MapPlan, photos: Sequence[LabelledPhoto], kind: str) -> str:
    """Everything the rows of a file depend on, as a digest."""
    digest = hashlib.sha256(f"{plan}|{kind}".encode())
    for photo in photos:
        digest.update(photo.content_hash.encode())
    return digest.hexdigest()


def _require_room(path: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < size_bytes + _SPARE_BYTES:
        raise TrainingError(
            f"{path} needs {size_bytes / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free: make room, or use fewer "
            "--views, a smaller --input-size, or --depth all, which stores nothing"
        )
