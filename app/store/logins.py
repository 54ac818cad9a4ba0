"""Rows of logins to the dashboard. Only SHA-256 digests of their tokens are stored."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, String, delete, func, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.store.tables import AccessKey, Base


class AdminLogin(Base):
    """A browser in which someone has shown an admin key; it ends with the key.

    seen_at: when it was last used, to the minute. expires_at: when it ends, used or not.
    """

    __tablename__ = "admin_logins"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("access_keys.id", ondelete="CASCADE"), nullable=False, index=True)
    token_sha256: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), nullable=False)
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False)


def add_login(session: Session, key_id: int, token_sha256: str, now: datetime, expires_at: datetime) -> None:
    """Insert a login, used now."""
    session.add(AdminLogin(key_id=key_id, token_sha256=token_sha256, seen_at=now, expires_at=expires_at))
    session.flush()


def live_login(
    session: Session, token_sha256: str, now: datetime, idle: timedelta
) -> tuple[AdminLogin, AccessKey] | None:
    """The login with this digest and its key; None where it has ended, lay idle, or its key was revoked."""
    found = session.execute(
        select(AdminLogin, AccessKey)
        .join(AccessKey, AccessKey.id == AdminLogin.key_id)
        .where(
            AdminLogin.token_sha256 == token_sha256,
            AdminLogin.expires_at > now,
            AdminLogin.seen_at > now - idle,
            AccessKey.revoked_at.is_(None),
            AccessKey.role == "admin",
        )
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def mark_seen(session: Session, login_id: int, now: datetime) -> None:
    """Note that a login was used."""
    session.execute(update(AdminLogin).where(AdminLogin.id == login_id).values(seen_at=now))


def drop_login(session: Session, token_sha256: str) -> None:
    """End a login; nothing happens where there is none."""
    session.execute(delete(AdminLogin).where(AdminLogin.token_sha256 == token_sha256))


def drop_ended(session: Session, now: datetime, idle: timedelta) -> None:
    """Delete the logins that have ended by themselves."""
    session.execute(delete(AdminLogin).where(or_(AdminLogin.expires_at <= now, AdminLogin.seen_at <= now - idle)))
