"""Spaces: one backbone's vector world each, with partitions of its own (``app.store.tables.Space``).

A partition can be filled and dropped without touching another space, and its HNSW index holds
vectors of one world only. https://arxiv.org/abs/1603.09320 explains M and efConstruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from app.errors import SpaceInUse
from app.store import outbox
from app.store.shared_tables import SharedSpaceRow
from app.store.tables import Bundle, Space

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


def reviewed_table(space_id: int) -> str:
    """Name of the partition of ``reviewed_vectors`` that holds a space."""
    return f"reviewed_vectors_s{int(space_id)}"


def find_space(session: Session, identifier: str) -> int | None:
    """The id of a space, or None where no such space has been made, or it was dropped."""
    return session.scalar(select(Space.id).where(Space.identifier == identifier, Space.dropped_at.is_(None)))


def ensure_space(session: Session, identifier: str, description: Mapping[str, Any]) -> int:
    """The id of the space ``identifier``, made with its partitions and index where it does not exist yet.

    Idempotent; two callers at once make one space (the second waits for the first's transaction).
    One that was dropped is made anew, empty. The description of an existing space is left as it is: the identifier
    stands for it. Commit soon after: the next one to make a space waits for it.
    """
    found = find_space(session, identifier)
    if found is not None:
        return found
    session.execute(text(_LOCK))
    found = find_space(session, identifier)
    if found is not None:
        return found
    space = session.scalar(select(Space).where(Space.identifier == identifier))
    if space is None:
        space = Space(identifier=identifier, description=dict(description))
        session.add(space)
    space.dropped_at = None
    session.flush()
    _create_partitions(session, space.id)
    return space.id


def _create_partitions(session: Session, space_id: int) -> None:
    """Make the tables first and attach them then: searches in other spaces go on meanwhile.

    Attaching makes the parent's indexes and foreign keys; catalogue writes wait until the session commits.
    """
    vectors, reviewed = vectors_table(space_id), reviewed_table(space_id)
    made = {"reference_vectors": vectors, "reviewed_vectors": reviewed, "product_looks": looks_table(space_id)}
    for parent, partition in made.items():
        session.execute(text(f"CREATE TABLE {partition} (LIKE {parent} INCLUDING ALL)"))
        session.execute(text(f"ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES IN ({int(space_id)})"))
    for partition in (vectors, reviewed):
        session.execute(
            text(
                f"CREATE INDEX {partition}_projected ON {partition} USING hnsw (projected halfvec_l2_ops) "
                f"WITH (m = {HNSW_M}, ef_construction = {HNSW_EF_CONSTRUCTION})"
            )
        )


def drop_space(session: Session, space_id: int) -> None:
    """Delete a space's vectors, looks, partitions and outbox; nothing happens where it does not exist.

    The space's row stays, marked, while model versions name it; they can be served again only after ``ensure_space``.

    :raise SpaceInUse: it is served, or a rollback would serve it, or words are searched by its photos.
    """
    session.execute(text(_LOCK))
    outbox.own_outbox(session)
    space = session.get(Space, space_id, populate_existing=True)
    if space is None:
        return
    versions = session.scalars(select(Bundle.version).where(Bundle.space_id == space_id).order_by(Bundle.version)).all()
    needed = sorted(set(versions) & outbox.kept_versions(session))
    if needed:
        raise SpaceInUse(
            f"space {space.identifier} is needed by the model versions {', '.join(needed)}: one is served, or would be "
            "served by a rollback; promote others first"
        )
    _drop_shared(session, space)
    for table in (vectors_table(space_id), reviewed_table(space_id), looks_table(space_id)):
        session.execute(text(f"DROP TABLE IF EXISTS {table}"))
    outbox.forget_space(session, space_id)
    if versions:
        space.preparing, space.dropped_at = False, datetime.now(UTC)
    else:
        session.execute(delete(Space).where(Space.id == space_id))
    session.flush()


def shared_table(shared_id: int) -> str:
    """Name of the partition of ``shared_vectors`` that holds a version of the shared space of words and photos."""
    return f"shared_vectors_v{int(shared_id)}"


def remove_shared(session: Session, row: SharedSpaceRow) -> None:
    """Delete a version of the shared space with its partition."""
    session.execute(text(f"DROP TABLE IF EXISTS {shared_table(row.id)}"))
    session.delete(row)
    session.flush()


def _drop_shared(session: Session, space: Space) -> None:
    """Remove versions of the shared space that read this space and are no longer in service."""
    for row in session.scalars(select(SharedSpaceRow).where(SharedSpaceRow.space_id == space.id)).all():
        if row.state == "live":
            raise SpaceInUse(
                f"words are searched in the shared space {row.version}, which reads photos of space "
                f"{space.identifier}: run `python -m app text train` with the weights that are to stay first"
            )
        remove_shared(session, row)
