"""Which model versions a photo was used for, by the split that each bundle keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.bundles import BundleStore
from app.store.tables import Bundle
from models.bundle import HOLD_OUT, read_roles
from models.errors import SplitError

Use = Literal["trained", "held_out", "not_known"]


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
    found = ((version, state, _use(bundles.path_for(version), content_hash)) for version, state in rows)
    return tuple(TaughtModel(version, state, use) for version, state, use in found if use is not None)


def _use(folder: Path, content_hash: str) -> Use | None:
    try:
        role = read_roles(folder, naming=content_hash).get(content_hash)
    except SplitError:
        return "not_known"
    if role is None:
        return None
    return "held_out" if role == HOLD_OUT else "trained"
