"""Spaces: one backbone's vector world each, with partitions of its own (``app.store.tables.Space``).

A partition can be filled and dropped without touching another space, and its HNSW index holds
vectors of one world only. https://arxiv.org/abs/1603.09320 explains M and efConstruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from app.store.tables import Bundle, Space
from models.errors import UsageError

HNSW_M = 16
"""Links a node of the graph keeps a layer; pgvector's default, ample for 256 dimensions."""

HNSW_EF_CONSTRUCTION = 128
"""Candidates looked at when a vector is linked in; twice pgvector's default, paid at insertion."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('pickture.spaces'))"


def vectors_table(space_id: int) -> str:
    """Name of the partition of ``reference_vectors`` that holds a space."""
    return f"reference_vectors_s{int(space_id)}"


def looks_table(space_id: int) -> str:
    """Name of the partition of ``product_looks`` that holds a space."""
    return f"product_looks_s{int(space_id)}"


def find_space(session: Session, identifier: str) -> int | None:
    """The id of a space, or None where no such space has been made."""
    return session.scalar(select(Space.id).where(Space.identifier == identifier))


def ensure_space(session: Session, identifier: str, description: Mapping[str, Any]) -> int:
    """The id of the space ``identifier``, made with its partitions and index where it does not exist yet.

    Idempotent; two callers at once make one space (the second waits for the first's transaction).
    The description of an existing space is left as it is: the identifier stands for it. Commit soon after:
    the next one to make a space waits for it.
    """
    found = find_space(session, identifier)
    if found is not None:
        return found
    session.execute(text(_LOCK))
    found = find_space(session, identifier)
    if found is not None:
        return found
    space = Space(identifier=identifier, description=dict(description))
    session.add(space)
    session.flush()
    _create_partitions(session, space.id)
    return space.id


def _create_partitions(session: Session, space_id: int) -> None:
    """Make the tables first and attach them then: searches in other spaces go on meanwhile.

    Attaching makes the parent's indexes and foreign keys; catalogue writes wait until the session commits.
    """
    vectors = vectors_table(space_id)
    for parent, partition in (("reference_vectors", vectors), ("product_looks", looks_table(space_id))):
        session.execute(text(f"CREATE TABLE {partition} (LIKE {parent} INCLUDING ALL)"))
        session.execute(text(f"ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES IN ({int(space_id)})"))
    session.execute(
        text(
            f"CREATE INDEX {vectors}_projected ON {vectors} USING hnsw (projected halfvec_l2_ops) "
            f"WITH (m = {HNSW_M}, ef_construction = {HNSW_EF_CONSTRUCTION})"
        )
    )


def drop_space(session: Session, space_id: int) -> None:
    """Delete a space with its vectors and looks; nothing happens where it does not exist.

    :raise UsageError: a bundle still needs it.
    """
    session.execute(text(_LOCK))
    versions = session.scalars(select(Bundle.version).where(Bundle.space_id == space_id)).all()
    if versions:
        raise UsageError(f"space {space_id} is needed by the model versions {', '.join(versions)}: delete them first")
    session.execute(text(f"DROP TABLE IF EXISTS {vectors_table(space_id)}"))
    session.execute(text(f"DROP TABLE IF EXISTS {looks_table(space_id)}"))
    session.execute(delete(Space).where(Space.id == space_id))
