"""The table of jobs; it belongs to ``app.store.tables`` and is apart from it for its length."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables import Base


class Job(Base):
    """A long task and how it goes; the queue (Procrastinate) holds only its id.

    exclusive: asked for and of a kind of which one at a time is let in; follow-ups of an import are not.
    queue_id: the queue's row for the present attempt. A worker whose number is another has lost the job, and
    writes nothing more. Its row in the queue is gone once the job has ended.
    progress: 0 to 1. step: what it does now, in words. error: {"code", "message"} of a failed job.
    row_errors: the first ones, each {"line", "sku", "field", "value", "reason"}; row_errors_total counts all.
    log_tail: the last lines that the job wrote.
    attempts: starts. interruptions: starts whose worker ended before them; crashes: whose own process did.
    request_sha256: of the request that came with ``idempotency_key``.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("kind IN ('import', 'bottlenecks', 'train', 'retrain', 'finetune', 'outbox')", name="kind"),
        CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
        CheckConstraint("progress BETWEEN 0 AND 1", name="progress_range"),
        CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name="finished_when_ended"
        ),
        Index("ix_jobs_created_at_id", "created_at", "id"),
        Index(
            "uq_jobs_exclusive",
            "exclusive",
            unique=True,
            postgresql_where=text("exclusive AND state IN ('queued', 'running')"),
        ),
        Index(
            "uq_jobs_follow_up",
            "kind",
            unique=True,
            postgresql_where=text(
                "NOT exclusive AND kind IN ('bottlenecks', 'outbox') AND state = 'queued' AND attempts = 0"
            ),
        ),
        Index(
            "uq_jobs_idempotency_key",
            "key_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, nullable=False)
    state: Mapped[str] = mapped_column(Text, nullable=False)
    exclusive: Mapped[bool] = mapped_column(Boolean, nullable=False)
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    key_id: Mapped[int | None] = mapped_column(ForeignKey("access_keys.id", ondelete="SET NULL"))
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    request_sha256: Mapped[str | None] = mapped_column(String(64))
    queue_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    payload: Mapped[Any] = mapped_column(JSONB, nullable=False)
    progress: Mapped[float] = mapped_column(REAL, nullable=False, server_default=text("0"))
    step: Mapped[str | None] = mapped_column(Text)
    result: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    error: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    row_errors: Mapped[Any] = mapped_column(JSONB, nullable=False, server_default=text("'[]'"))
    row_errors_total: Mapped[int] = mapped_column(Integer, nullable=False, server_default=text("0"))
    log_tail: Mapped[str] = mapped_column(Text, nullable=False, server_default=text("''"))
    cancel_requested: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("false"))
    attempts: Mapped[int] = mapped_column(Integer, nullable=False, server_default=text("0"))
    interruptions: Mapped[int] = mapped_column(Integer, nullable=False, server_default=text("0"))
    crashes: Mapped[int] = mapped_column(Integer, nullable=False, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), nullable=False)
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
