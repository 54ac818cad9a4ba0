"""The table of proposals; it belongs to ``app.store.tables`` and is apart from it for its length."""

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
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables import Base


class Proposal(Base):
    """What a text model thinks that a product lacks, for an administrator to accept or not.

    field: which column of the product; ``season`` is none, and an accepted one stays here. value: what is proposed;
    confidence: estimated probability 0..1 that it is right. model_version: of the text model.
    """

    __tablename__ = "proposals"
    __table_args__ = (
        CheckConstraint("field IN ('type', 'category', 'colour', 'season')", name="field"),
        CheckConstraint("state IN ('undecided', 'accepted', 'rejected')", name="state"),
        CheckConstraint("(state = 'undecided') = (decided_at IS NULL)", name="decided_at_when_decided"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence_range"),
        UniqueConstraint("product_id", "field"),
        Index("ix_proposals_state_confidence", "state", "confidence"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), nullable=False)
    field: Mapped[str] = mapped_column(Text, nullable=False)
    value: Mapped[str] = mapped_column(Text, nullable=False)
    confidence: Mapped[float] = mapped_column(REAL, nullable=False)
    model_version: Mapped[str] = mapped_column(Text, nullable=False)
    state: Mapped[str] = mapped_column(Text, nullable=False, server_default="undecided")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), nullable=False)
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
