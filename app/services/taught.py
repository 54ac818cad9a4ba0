"""Which model versions a photo was used for, by the split that each bundle keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.bundles import BundleStore
from app.store.tables import Bundle

Use = Literal["trained", "held_out", "not_known"]

SPLIT = "split.json"
_HELD_OUT = "hold_out"


@dataclass(frozen=True, slots=True)
class TaughtModel:
    """A version and what it used a photo for.

    use: ``trained`` on it; ``held_out``, measured on it and nothing else; ``not_known`` where the version's folder no
    longer tells.
    """

    version: str
    state: str
    use: Use


def models_taught(
    session: Session, bundles: BundleStore, content_hash: str, since: datetime
) -> tuple[TaughtModel, ...]:
    """The versions made since then that used a photo, newest first; those that did not are left out."""
    rows = session.execute(
        select(Bundle.version, Bundle.state).where(Bundle.created_at >= since).order_by(Bundle.created_at.desc())
    )
    found = ((version, state, _use(bundles.path_for(version) / SPLIT, content_hash)) for version, state in rows)
    return tuple(TaughtModel(version, state, use) for version, state, use in found if use is not None)


def _use(split: Path, content_hash: str) -> Use | None:
    try:
        data = split.read_bytes()
        if content_hash.encode() not in data:  # reading it all as JSON takes a second where photos are many
            return None
        role = json.loads(data)["photos"][content_hash][0]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return "not_known"
    return "held_out" if role == _HELD_OUT else "trained"
