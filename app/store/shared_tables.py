"""The tables of the shared space; they belong to ``app.store.tables`` and are apart from it for its length."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables import Base

SHARED_SIZE = 256


class SharedSpaceRow(Base):
    """A trained version of the shared space; at most one is live. ``id`` names its partition.

    state: filling, while its products are placed; live; retired, kept for searches that began with it.
    space_id: of the bottlenecks its image encoder reads.
    """

    __tablename__ = "shared_spaces"
    __table_args__ = (
        CheckConstraint("state IN ('filling', 'live', 'retired')", name="state"),
        Index("uq_shared_spaces_live", "state", unique=True, postgresql_where=text("state = 'live'")),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    version: Mapped[str] = mapped_column(Text, nullable=False, unique=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id"), nullable=False)
    state: Mapped[str] = mapped_column(Text, nullable=False)
    manifest_sha256: Mapped[str] = mapped_column(String(64), nullable=False)
    metrics: Mapped[Any] = mapped_column(JSONB, nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), nullable=False)


class SharedVector(Base):
    """Where a product lies in a version: unit length, half precision; partitioned by version.

    digest: of what it was made from (words and photos), so that what changed since is found and nothing else is
    computed again. A product of which nothing is known in words or photos has no row.
    """

    __tablename__ = "shared_vectors"
    __table_args__ = (
        PrimaryKeyConstraint("product_id", "shared_id", name="pk_shared_vectors"),
        {"postgresql_partition_by": "LIST (shared_id)"},
    )

    shared_id: Mapped[int] = mapped_column(ForeignKey("shared_spaces.id"), nullable=False)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), nullable=False)
    place: Mapped[Any] = mapped_column(HALFVEC(SHARED_SIZE), nullable=False)
    digest: Mapped[str] = mapped_column(String(32), nullable=False)
