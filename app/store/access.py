"""Rows of access keys and sessions. Only SHA-256 digests are stored, never a key or a token."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session as DbSession

from app.store.tables import AccessKey, Session

_PAGE_LOCK = "SELECT pg_advisory_xact_lock(hashtext('pickture.page_key'))"


def add_key(session: DbSession, role: str, name: str | None, prefix: str, key_sha256: str) -> AccessKey:
    """Insert a key; ``prefix`` is its public beginning, for people to tell keys apart."""
    row = AccessKey(role=role, name=name, prefix=prefix, key_sha256=key_sha256)
    session.add(row)
    session.flush()
    return row


def all_keys(session: DbSession) -> list[AccessKey]:
    """Every key, revoked ones too, oldest first."""
    return list(session.scalars(select(AccessKey).order_by(AccessKey.id)))


def live_key(session: DbSession, key_sha256: str) -> AccessKey | None:
    """The key with this digest, unless it has been revoked."""
    return session.scalars(
        select(AccessKey).where(AccessKey.key_sha256 == key_sha256, AccessKey.revoked_at.is_(None))
    ).one_or_none()


def page_key(session: DbSession, prefix: str) -> AccessKey | None:
    """The live app key with this public beginning.

    Where there is none, nobody else makes one until the transaction ends.

    For the key that the service makes for its own page; keys of apps begin otherwise.
    """
    wanted = (
        select(AccessKey)
        .where(AccessKey.role == "app", AccessKey.prefix == prefix, AccessKey.revoked_at.is_(None))
        .order_by(AccessKey.id)
        .limit(1)
    )
    found = session.scalars(wanted).one_or_none()
    if found is None:
        session.execute(text(_PAGE_LOCK))
        found = session.scalars(wanted).one_or_none()
    return found


def mark_used(session: DbSession, key_id: int, at: datetime) -> None:
    """Note when a key was last used."""
    session.execute(update(AccessKey).where(AccessKey.id == key_id).values(last_used_at=at))


def revoke_key(session: DbSession, key_id: int, at: datetime) -> bool:
    """Revoke a key and end its sessions; False where there is no such key.

    A second call changes nothing: the first time of revocation stays.
    """
    row = session.get(AccessKey, key_id)
    if row is None:
        return False
    row.revoked_at = row.revoked_at or at
    session.execute(delete(Session).where(Session.key_id == key_id))
    return True


def add_session(
    session: DbSession,
    key_id: int,
    token_sha256: str,
    address: str | None,
    expires_at: datetime,
    installation: UUID | None = None,
) -> int:
    """Insert a session and return its id."""
    row = Session(
        key_id=key_id, token_sha256=token_sha256, address=address, expires_at=expires_at, installation=installation
    )
    session.add(row)
    session.flush()
    return row.id


def live_session(session: DbSession, token_sha256: str, now: datetime) -> Session | None:
    """The session with this digest, unless it has expired."""
    return session.scalars(
        select(Session).where(Session.token_sha256 == token_sha256, Session.expires_at > now)
    ).one_or_none()


def drop_expired_sessions(session: DbSession, before: datetime, limit: int = 100) -> int:
    """Delete at most ``limit`` sessions that expired before ``before``; their queries stay, without an owner.

    Rows another transaction is deleting at this moment are left to it.
    """
    doomed = (
        select(Session.id)
        .where(Session.expires_at < before)
        .order_by(Session.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(session.scalars(doomed))
    if ids:
        session.execute(delete(Session).where(Session.id.in_(ids)))
    return len(ids)
