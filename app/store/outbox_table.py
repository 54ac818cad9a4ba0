"""The table of what spaces lack; it belongs to ``app.store.tables`` and is apart from it for its length."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables import Base


class OutboxPhoto(Base):
    """A photo that a space lacks: a reference photo (``image_id``) or a reviewed one (``reviewed_id``).

    Written in the transaction that brings the photo, gone in the one that brings its vector, or with the photo
    itself (foreign keys; the unique keys begin with the photo, so that a deletion finds its rows).
    tried_at, error: when computing the vector failed last, and why; None where it has not.
    """

    __tablename__ = "space_outbox"
    __table_args__ = (
        CheckConstraint("num_nonnulls(image_id, reviewed_id) = 1", name="one_photo"),
        UniqueConstraint("image_id", "space_id"),
        UniqueConstraint("reviewed_id", "space_id"),
        Index("ix_space_outbox_space_id_id", "space_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False)
    image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    reviewed_id: Mapped[int | None] = mapped_column(ForeignKey("reviewed_photos.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), nullable=False)
    tried_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    error: Mapped[str | None] = mapped_column(Text)
