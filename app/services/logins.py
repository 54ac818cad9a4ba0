"""Logins to the dashboard: an admin key, shown once in a browser, becomes a cookie that ends by itself.

The cookie's token is random and opens the dashboard alone: it is no bearer token of the API. A login ends when its key
is revoked, when nobody used it for a while, after ``LONGEST`` in any case, and when its holder says so.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from app.errors import Unauthorized
from app.services.access import Principal, digest
from app.store import access, logins
from app.store.database import transaction

LONGEST: Final = timedelta(hours=12)
"""How long a login lasts at most, however much it is used: a working day."""

_SECRET_BYTES: Final = 32
_SEEN_EVERY: Final = timedelta(minutes=1)
"""A login's use is written down no more often than this."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login that lives. key_name: what the key is called, where it is."""

    principal: Principal
    key_name: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewLogin:
    """A login just opened; the token is not stored anywhere and cannot be shown again."""

    token: str
    login: Login


class LoginService:
    """Opens, finds and ends logins. idle_minutes: how long one may lie unused."""

    def __init__(self, engine: Engine, idle_minutes: int) -> None:
        self._engine = engine
        self._idle = timedelta(minutes=idle_minutes)
        self._seen_every = min(_SEEN_EVERY, self._idle / 4)  # else a login of one minute would end while it is used

    def open(self, key: str) -> NewLogin:
        """Trade an admin key for a login.

        :raise Unauthorized: not a live admin key (unknown, revoked and app keys get the same answer).
        """
        wanted = digest(key)
        now = datetime.now(UTC)
        with transaction(self._engine) as session:
            found = access.live_key(session, wanted)
            if found is None or not hmac.compare_digest(found.key_sha256, wanted) or found.role != "admin":
                raise Unauthorized("the admin key is not valid")
            token = secrets.token_urlsafe(_SECRET_BYTES)
            logins.drop_ended(session, now, self._idle)
            logins.add_login(session, found.id, digest(token), now, now + LONGEST)
            access.mark_used(session, found.id, now)
        return NewLogin(token, Login(Principal("admin", found.id, None), found.name, now + LONGEST))

    def find(self, token: str, *, used: bool = True) -> Login | None:
        """The login of this token, or None where it has ended. used: by a person, and not by a page of its own accord.

        What a page asks for by itself must not keep a login alive in front of an empty chair.
        """
        wanted = digest(token)
        now = datetime.now(UTC)
        with transaction(self._engine) as session:
            found = logins.live_login(session, wanted, now, self._idle)
            if found is None:
                return None
            login, key = found
            if not hmac.compare_digest(login.token_sha256, wanted):
                return None
            if used and login.seen_at < now - self._seen_every:
                logins.mark_seen(session, login.id, now)
            return Login(Principal("admin", key.id, None), key.name, login.expires_at)

    def close(self, token: str) -> None:
        """End a login; nothing happens where it has ended."""
        with transaction(self._engine) as session:
            logins.drop_login(session, digest(token))
