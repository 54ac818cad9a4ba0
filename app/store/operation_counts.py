"""How many operations were asked for in the current minute, and by whom: counted for all processes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import DateTime, Integer, Text, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.store.tables import Base

_KEEP = "5 minutes"

# In the order of the subjects, so that two requests never wait for each other.
_COUNT = text("""
INSERT INTO operation_counts AS counted (minute, subject, used)
SELECT date_trunc('minute', now()), subject, :operations FROM unnest(CAST(:subjects AS text[])) AS subject
ORDER BY subject
ON CONFLICT (minute, subject) DO UPDATE SET used = counted.used + excluded.used
RETURNING counted.subject, counted.used,
          ceil(extract(epoch FROM counted.minute + interval '1 minute' - clock_timestamp()))::int AS left_s
""")
_FORGET = text(f"""
DELETE FROM operation_counts WHERE (minute, subject) IN (
    SELECT minute, subject FROM operation_counts WHERE minute < now() - interval '{_KEEP}'
    LIMIT 1000 FOR UPDATE SKIP LOCKED)
""")  # noqa: S608  a constant of ours


class OperationCount(Base):
    """A minute of one subject: an installation, a session or an address.

    The table is unlogged: after a crash of the database the counts begin anew, which costs nobody anything.
    """

    __tablename__ = "operation_counts"
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012  as SQLAlchemy wants it

    minute: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    used: Mapped[int] = mapped_column(Integer, nullable=False)


@dataclass(frozen=True, slots=True)
class Used:
    """What a subject has used of this minute, this request's included. left_s: seconds until the next one begins."""

    subject: str
    operations: int
    left_s: int


def count_operations(session: Session, subjects: Sequence[str], operations: int) -> list[Used]:
    """Add ``operations`` to each subject's minute; returns what each has used of it.

    subjects: distinct, at least one. operations: at least 1.
    """
    # What is lost in a crash is a minute's count: not worth waiting for the disk.
    session.execute(text("SET LOCAL synchronous_commit = off"))
    rows = session.execute(_COUNT, {"subjects": sorted(subjects), "operations": operations})
    used = [Used(subject, count, max(1, left_s)) for subject, count, left_s in rows]
    if any(one.operations == operations for one in used):  # somebody's first in this minute
        session.execute(_FORGET)
    return used
