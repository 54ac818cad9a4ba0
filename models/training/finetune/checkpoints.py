"""What a run remembers, so that it can be interrupted between two epochs and go on.

FOLDER/best-<epoch>.npz   what training had changed by the best epoch
FOLDER/last.npz           the same after the last finished epoch, the optimizer's state, the history

``last.npz`` names the best file it goes with; its rename is the moment an epoch counts.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.errors import TrainingError
from models.training.identity import differing
from models.values import Float32

_LAST: Final = "last.npz"


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch. loss: of training, with augmentation and smoothing. validation_loss, validation_top1: NaN without
    validation photos. seconds: wall time."""

    loss: float
    validation_loss: float
    validation_top1: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """After an epoch.

    history: one entry an epoch. best: number of the best epoch, 1-based, 0 before the first.
    trained, optimizer: see ``learner.Learner``.
    """

    history: tuple[EpochResult, ...] = ()
    best: int = 0
    trained: Sequence[Float32] = ()
    optimizer: Sequence[Any] = field(default=())


class Checkpoints:
    """The checkpoints of one run in ``folder``, which exists.

    identity: what the run depends on; checkpoints of another run are refused. remedy: what the operator can do then,
    besides removing the folder.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], remedy: str) -> None:
        self._folder, self._remedy = folder, remedy
        self._identity = json.dumps(identity, sort_keys=True)

    def save(self, checkpoint: Checkpoint) -> None:
        """Make ``checkpoint`` the one to go on from; its values are the best where its last epoch is."""
        epoch = len(checkpoint.history)
        if checkpoint.best == epoch:
            _write(self._best(epoch), {f"trained_{i}": value for i, value in enumerate(checkpoint.trained)})
        history = json.dumps([asdict(result) for result in checkpoint.history])
        arrays: dict[str, Any] = {
            "about": np.array([self._identity, history, str(checkpoint.best)], dtype=np.str_),
            **{f"trained_{i}": value for i, value in enumerate(checkpoint.trained)},
            **{f"optimizer_{i}": value for i, value in enumerate(checkpoint.optimizer)},
        }
        _write(self._folder / _LAST, arrays)
        for old in self._folder.glob("best-*.npz"):
            if old != self._best(checkpoint.best):
                old.unlink()

    def load(self) -> Checkpoint:
        """The last one saved; an empty one where there is none.

        :raise TrainingError: of a run with other settings, photos or weights, or damaged.
        """
        path = self._folder / _LAST
        if not path.is_file():
            return Checkpoint()
        stored = self._read(path)
        identity, history, best = (str(text) for text in stored.pop("about"))
        if identity != self._identity:
            difference = differing(json.loads(identity), json.loads(self._identity))
            raise TrainingError(
                f"{self._folder} holds a run that began otherwise ({difference}): {self._remedy}, or remove the folder "
                "to begin anew"
            )
        return Checkpoint(
            tuple(EpochResult(**entry) for entry in json.loads(history)),
            int(best),
            _series(stored, "trained"),
            _series(stored, "optimizer"),
        )

    def best_values(self, best: int) -> list[Float32]:
        """What training had changed by epoch ``best``."""
        return _series(self._read(self._best(best)), "trained")

    def _best(self, epoch: int) -> Path:
        return self._folder / f"best-{epoch}.npz"

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise TrainingError(f"{path} is damaged ({error}); remove {self._folder} to begin anew") from error


def _series(stored: Mapping[str, Any], name: str) -> list[Any]:
    count = sum(key.startswith(f"{name}_") for key in stored)
    return [stored[f"{name}_{i}"] for i in range(count)]


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
