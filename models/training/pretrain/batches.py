"""Batches of strong views, drawn from the corpus while the network trains on the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from augment.strong import on_clutter, strong_view
from models.backbone.network import import_keras
from models.backbone.preprocessing import scale_pixels
from models.errors import NotEnoughData
from models.training.pretrain.corpus import TASKS, Corpus
from models.values import Float32, UInt8

CLUTTER_SHARE: Final = 0.5
"""Of the studio pictures, so many are put before another picture."""

_WORKERS: Final = 2


def source_chances(corpus: Corpus, weights: Mapping[str, float], role: str = "train") -> NDArray[np.float64]:
    """float64 (n,), sum 1: the chance of each row to be drawn; rows of a source share its weight evenly.

    weights: by source, any scale; 1 where a source is not named. Rows of another role get 0.
    :raise NotEnoughData: nothing is left to draw.
    """
    chances = np.zeros(len(corpus.entries))
    rows = corpus.rows(role)
    sources = np.array([corpus.entries[i].source for i in rows])
    for source in np.unique(sources):
        own = rows[sources == source]
        chances[own] = weights.get(str(source), 1.0) / len(own)
    if not chances.sum():
        raise NotEnoughData(f"{len(rows)} pictures of role {role} and the weights {dict(weights)} leave none to draw")
    return np.asarray(chances / chances.sum(), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """How batches are drawn: from the corpus, with the chance of each row, so many a batch; ``seed`` of all of it.

    backgrounds: the rows that studio pictures are put before, those of role train.
    """

    corpus: Corpus
    chances: NDArray[np.float64]
    batch: int
    seed: int
    backgrounds: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "backgrounds", self.corpus.rows("train"))


def strong_row(draw: Draw, row: int, rng: np.random.Generator, size: int) -> UInt8:
    """A strong view (size, size, 3) of a stored row, a studio picture possibly before another row's picture."""
    corpus = draw.corpus
    pixels = np.asarray(corpus.pixels[row])
    if corpus.entries[row].studio and rng.random() < CLUTTER_SHARE:
        behind = draw.backgrounds[rng.integers(len(draw.backgrounds))]
        pixels = on_clutter(pixels, np.asarray(corpus.pixels[behind]), rng)
    return strong_view(pixels, rng, size)


def match_batches(draw: Draw, first: int, steps: int, size: int) -> Any:
    """A ``keras.utils.PyDataset`` of ``steps`` batches float32 (batch, size, size, 3) in [-1, 1].

    Batch i depends on ``draw`` and ``first + i`` alone, so a resumed run goes on with what it would have seen.
    """
    keras = import_keras()

    class MatchBatches(keras.utils.PyDataset):  # type: ignore[name-defined]
        """See ``match_batches``."""

        def __init__(self) -> None:
            super().__init__(workers=_WORKERS, use_multiprocessing=False, max_queue_size=3)

        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> tuple[Float32]:
            rng = np.random.default_rng((draw.seed, first + index))
            rows = rng.choice(len(draw.chances), draw.batch, p=draw.chances)
            return (scale_pixels(np.stack([strong_row(draw, int(row), rng, size) for row in rows])),)

    return MatchBatches()


def joint_batches(draw: Draw, first: int, steps: int, size: int) -> Any:
    """A ``keras.utils.PyDataset`` of ``steps`` batches (views, targets).

    views: float32 (batch, size, size, 3) in [-1, 1], two neighbouring ones of each product: of two of its pictures
    where it has two, else two views of one. targets: int32 (batch,) by task (the number of classes where unknown),
    and ``product``. Batch i depends on ``draw`` and ``first + i`` alone.
    """
    keras = import_keras()
    corpus = draw.corpus
    targets = {task: corpus.targets(task) for task in TASKS}
    products = _products(corpus)
    mates: dict[int, list[int]] = {}
    for row in np.flatnonzero(draw.chances):
        mates.setdefault(int(products[row]), []).append(int(row))

    class JointBatches(keras.utils.PyDataset):  # type: ignore[name-defined]
        """See ``joint_batches``."""

        def __init__(self) -> None:
            super().__init__(workers=_WORKERS, use_multiprocessing=False, max_queue_size=3)

        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> tuple[Float32, dict[str, NDArray[np.int32]]]:
            rng = np.random.default_rng((draw.seed, first + index))
            rows: list[int] = []
            for row in rng.choice(len(draw.chances), draw.batch // 2, p=draw.chances):
                others = [mate for mate in mates[int(products[row])] if mate != row] or [int(row)]
                rows += [int(row), others[int(rng.integers(len(others)))]]
            views = np.stack([strong_row(draw, row, rng, size) for row in rows])
            chosen = {task: values[rows] for task, values in targets.items()}
            return scale_pixels(views), {**chosen, "product": products[rows]}

    return JointBatches()


def _products(corpus: Corpus) -> NDArray[np.int32]:
    """int32 (n,): a number for each row's product, whether or not its label is among the classes."""
    names = [entry.values[0] or "" for entry in corpus.entries]
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int32)
