"""What can be chosen about fine-tuning, and what each choice means."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from models.errors import UsageError
from models.values import INPUT_SIZE

Depth = Literal["last", "last-two", "all"]
"""Which Inception blocks are trained: mixed10; mixed9 and mixed10; everything."""

DEPTHS: Final[tuple[Depth, ...]] = get_args(Depth)
LEAST_INPUT_SIZE: Final = 75
"""Pixels; below it Inception-v3's unpadded convolutions have nothing left to look at."""

LEARNING_RATES: Final[dict[Depth, float]] = {"last": 3e-4, "last-two": 2e-4, "all": 1e-4}
"""Peak of the schedule where none is given: the more is trained, the more there is to spoil."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """How to fine-tune.

    depth: see ``Depth``.
    photos_share: share of each label's train photos that is used, in (0, 1]; one photo a label at least. A
        smaller share's photos are among a larger one's.
    epochs: at most; one epoch shows as many views as there are photos. patience: epochs without a better
        validation loss before it stops; 0 never stops early.
    views: augmented views a photo that are computed once for ``last`` and ``last-two``; ``all`` makes new ones
        each time.
    input_size: edge of the views trained on, pixels. Photos are always judged at 299, as they are served.
    learning_rate: peak of the schedule (linear warm-up over the first tenth, then a cosine to 0); None for the
        depth's own.
    batch_size: views a step. label_smoothing, weight_decay: of the loss and of AdamW.
    seed: of everything drawn.
    """

    depth: Depth = "last"
    photos_share: float = 1.0
    epochs: int = 12
    patience: int = 4
    views: int = 8
    input_size: int = INPUT_SIZE
    learning_rate: float | None = None
    batch_size: int = 32
    label_smoothing: float = 0.1
    weight_decay: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        """:raise UsageError: a value outside its range; the message names it."""
        rate = self.peak_rate if self.depth in DEPTHS else 1.0
        ranges = (
            (self.depth in DEPTHS, "depth", self.depth, " or ".join(DEPTHS)),
            (0 < self.photos_share <= 1, "photos_share", self.photos_share, "above 0, at most 1"),
            (self.epochs >= 1, "epochs", self.epochs, "at least 1"),
            (self.patience >= 0, "patience", self.patience, "at least 0"),
            (self.views >= 1, "views", self.views, "at least 1"),
            (LEAST_INPUT_SIZE <= self.input_size <= 600, "input_size", self.input_size, f"{LEAST_INPUT_SIZE} to 600"),
            (0 < rate <= 1, "learning_rate", rate, "above 0, at most 1"),
            (self.batch_size >= 1, "batch_size", self.batch_size, "at least 1"),
            (0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 to below 1"),
            (self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0"),
        )
        for fits, name, came, expected in ranges:
            if not fits:
                raise UsageError(f"fine-tuning with {name} {came!r} came; expected {expected}")

    @property
    def peak_rate(self) -> float:
        """The learning rate at the peak of the schedule."""
        return LEARNING_RATES[self.depth] if self.learning_rate is None else self.learning_rate

    def to_json(self) -> dict[str, Any]:
        """Every choice by name, as it takes effect."""
        return {**asdict(self), "learning_rate": self.peak_rate}


def check_name(name: str) -> str:
    """A name that may become a file's.

    :raise UsageError: not 1 to 64 letters, digits, ``.``, ``_``, ``-``, a letter or digit first.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for weights: 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first")
    return name
