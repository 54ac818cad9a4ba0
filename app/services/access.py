"""Keys and sessions: who may call.

An app ships one public app key and trades it for a short-lived session token an installation
(``open_session``); an admin key is a secret and is itself the bearer token. Keys and tokens carry 256
random bits, so a plain SHA-256 is enough to store them by: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session as DbSession

from app.errors import KeyNotFound, Unauthorized
from app.store import access
from app.store.database import transaction
from app.store.tables import AccessKey
from models.errors import UsageError

Role = Literal["app", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
_SECRET_BYTES = 32
_PREFIX_CHARACTERS = 12
_PAGE_PREFIX = "shopper-page"
"""What the key of the service's own page begins with, in lists of keys; real ones begin with ``pk_``."""
_KEEP_EXPIRED = timedelta(days=7)
"""How long an expired session stays: its queries then still name their owner for the statistics."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. session_id: None for an admin key, which needs no session. installation: what the app calls its
    installation, where it says so; nobody can check it.
    """

    role: Role
    key_id: int
    session_id: int | None
    installation: UUID | None = None

    @property
    def is_admin(self) -> bool:
        """Whether an admin key was shown."""
        return self.role == "admin"

    def owns(self, session_id: int | None) -> bool:
        """Whether what belongs to ``session_id`` belongs to the caller; an admin owns everything."""
        return self.is_admin or (session_id is not None and session_id == self.session_id)


@dataclass(frozen=True, slots=True)
class SessionGrant:
    """A session just opened; the token is not stored anywhere and cannot be shown again."""

    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as listed. prefix: its first characters; the rest is known to its holder only."""

    id: int
    role: str
    name: str | None
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just created; ``key`` is shown this once."""

    info: KeyInfo
    key: str


def digest(secret: str) -> str:
    """SHA-256 of a key or token, 64 hex digits. Text that is not UTF-8 encodable hashes to something too."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class AccessService:
    """Creates, lists and revokes keys; opens sessions; tells who a bearer token belongs to."""

    def __init__(self, engine: Engine, session_minutes: int) -> None:
        self._engine = engine
        self._life = timedelta(minutes=session_minutes)

    def create_key(self, role: str, name: str | None = None) -> NewKey:
        """Create a key. :raise UsageError: the role is neither ``app`` nor ``admin``."""
        if role not in ROLES:
            raise UsageError(f"role is {role!r}; expected one of {', '.join(ROLES)}")
        key = f"pk_{role}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        with transaction(self._engine) as session:
            row = access.add_key(session, role, name, key[:_PREFIX_CHARACTERS], digest(key))
            return NewKey(_key_info(row), key)

    def list_keys(self) -> list[KeyInfo]:
        """Every key, revoked ones too, oldest first."""
        with transaction(self._engine) as session:
            return [_key_info(row) for row in access.all_keys(session)]

    def revoke_key(self, key_id: int) -> None:
        """Revoke a key and end its sessions at once; revoking again changes nothing.

        :raise KeyNotFound: there is no such key.
        """
        with transaction(self._engine) as session:
            if not access.revoke_key(session, key_id, datetime.now(UTC)):
                raise KeyNotFound(f"no key has id {key_id}; `python -m app keys list` shows them all")

    def open_session(self, app_key: str, address: str | None, installation: UUID | None = None) -> SessionGrant:
        """Trade an app key for a session token.

        address: of the caller. installation: what the app calls its installation; nobody can check it.

        :raise Unauthorized: not a live app key (unknown, revoked and admin keys get the same answer).
        """
        wanted = digest(app_key)
        with transaction(self._engine) as session:
            key = access.live_key(session, wanted)
            if key is None or not hmac.compare_digest(key.key_sha256, wanted) or key.role != "app":
                raise Unauthorized("the app key is not valid")
            return self._grant(session, key, address, installation)

    def open_page_session(self, address: str | None, installation: UUID) -> SessionGrant:
        """A session for the service's own page, under a key that nobody can show: its secret is thrown away.

        The key is made with the first session, and again after it was revoked (which ends the page's sessions).
        """
        with transaction(self._engine) as session:
            key = access.page_key(session, _PAGE_PREFIX)
            if key is None:
                nobodys = digest(secrets.token_urlsafe(_SECRET_BYTES))
                key = access.add_key(session, "app", "the service's own page", _PAGE_PREFIX, nobodys)
            return self._grant(session, key, address, installation)

    def _grant(
        self, session: DbSession, key: AccessKey, address: str | None, installation: UUID | None
    ) -> SessionGrant:
        now = datetime.now(UTC)
        token = f"ps_{secrets.token_urlsafe(_SECRET_BYTES)}"
        expires_at = now + self._life
        access.mark_used(session, key.id, now)
        access.drop_expired_sessions(session, now - _KEEP_EXPIRED)
        access.add_session(session, key.id, digest(token), address, expires_at, installation)
        return SessionGrant(token, expires_at)

    def authenticate(self, token: str) -> Principal:
        """Tell who a bearer token belongs to: a live session, or an admin key.

        :raise Unauthorized: neither; expired, revoked and unknown tokens get the same answer.
        """
        wanted = digest(token)
        now = datetime.now(UTC)
        with transaction(self._engine) as session:
            found = access.live_session(session, wanted, now)
            if found is not None and hmac.compare_digest(found.token_sha256, wanted):
                return Principal("app", found.key_id, found.id, found.installation)
            key = access.live_key(session, wanted)
            if key is not None and hmac.compare_digest(key.key_sha256, wanted) and key.role == "admin":
                return Principal("admin", key.id, None)
        raise Unauthorized("the bearer token is not valid; open a session with POST /v1/sessions")


def _key_info(row: AccessKey) -> KeyInfo:
    return KeyInfo(row.id, row.role, row.name, row.prefix, row.created_at, row.last_used_at, row.revoked_at)
