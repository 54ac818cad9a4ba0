"""What a retraining decided about a text model: ``decision.json`` in the version's folder.

It is written before the version is put to use, so that an attempt that is begun again finds what was decided and only
does it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from app.store.json_files import write_json
from models.errors import BundleDamaged

DECISION_FILE: Final = "decision.json"


@dataclass(frozen=True, slots=True)
class Decision:
    """reason: in words. champion: the version it was compared with, None where none was in use. comparison: plain
    values, as ``models.training.replacing`` gives them; None where nothing was compared.
    """

    decision: Literal["promoted", "refused"]
    reason: str
    champion: str | None = None
    comparison: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def write_decision(folder: Path, decision: Decision) -> None:
    """Record it in one rename."""
    write_json(folder / DECISION_FILE, decision.to_json())


def read_decision(folder: Path) -> Decision | None:
    """What was decided; None where nobody was asked. :raise BundleDamaged: the file is unreadable."""
    path = folder / DECISION_FILE
    try:
        told = json.loads(path.read_text("utf-8"))
        return Decision(told["decision"], str(told["reason"]), told["champion"], told["comparison"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleDamaged(f"{path} is unreadable ({error}); remove it") from error
