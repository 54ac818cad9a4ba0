"""The folder of a pretraining run: for one process at a time, and for one run.

FOLDER/identity.json   everything the result depends on: another input is refused, not mistaken for this one
FOLDER/run.lock        held while a process is at work
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from models.backbone.locking import exclusive
from models.errors import TrainingError
from models.training.identity import differing

IDENTITY_FILE: Final = "identity.json"
_LOCK: Final = "run.lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have ``folder``, which is made where it is missing, to oneself.

    :raise TrainingError: another process is at work in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder / _LOCK, wait=False))
        except BlockingIOError as error:
            raise TrainingError(
                f"a run is at work in {folder}; wait for it, or give this one another folder"
            ) from error
        yield


def require_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    """Let only the run whose checkpoints ``folder`` holds go on there; without a checkpoint it has not begun.

    identity: what the run depends on, plain JSON values.
    :raise TrainingError: the folder holds a run that depends on something else (the first difference is named), or one
        that does not say on what.
    """
    if not any(folder.glob("*.npz")):
        return
    path = folder / IDENTITY_FILE
    if not path.exists():
        raise TrainingError(
            f"{folder} holds checkpoints without {IDENTITY_FILE}, as versions before this one left them: nobody can "
            "say what they were made from; give this run another folder, or remove that one"
        )
    try:
        before: Any = json.loads(path.read_text("utf-8"))
        if not isinstance(before, dict):
            raise ValueError(f"{type(before).__name__} came, expected an object")
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} is damaged ({error}); remove {folder} to begin anew") from error
    now = _as_stored(identity)
    if before != now:
        raise TrainingError(
            f"{folder} holds a run that began otherwise ({differing(before, now)}): give this one another folder "
            "(--out), or remove that one to begin anew"
        )


def keep_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write down what the run in ``folder`` depends on."""
    temporary = folder / f"{IDENTITY_FILE}.tmp"
    temporary.write_text(json.dumps(_as_stored(identity), indent=1) + "\n", "utf-8")
    temporary.replace(folder / IDENTITY_FILE)


def _as_stored(identity: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON (tuples become lists)."""
    stored: dict[str, Any] = json.loads(json.dumps(identity, sort_keys=True))
    return stored
