"""Checkpoints of backbone training: everything a stopped run needs to go on, in one file, replaced atomically."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import TrainingError


def save_state(path: Path, variables: list[Any], done: int) -> None:
    """Write the values of ``variables`` (Keras variables, in an order that does not change) and how far it got."""
    values = {f"v{place}": np.asarray(variable) for place, variable in enumerate(variables)}
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, done=np.int64(done), allow_pickle=False, **values)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_state(path: Path, variables: list[Any]) -> int:
    """Restore what ``save_state`` wrote; returns how far it had got, 0 where there is no file.

    :raise TrainingError: damaged, or of other variables.
    """
    if not path.exists():
        return 0
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = [stored[f"v{place}"] for place in range(len(variables))]
            done = int(stored["done"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingError(
            f"{path} is not a usable checkpoint ({error}); remove it to start this stage anew"
        ) from error
    for variable, value in zip(variables, found, strict=True):
        if tuple(variable.shape) != value.shape:
            raise TrainingError(
                f"{path} is of another run: a variable has {value.shape}, expected {tuple(variable.shape)}"
            )
    for variable, value in zip(variables, found, strict=True):
        variable.assign(value)
    return done
