"""Signed cursors: where a page of a listing ended, for clients to hand back but not to write themselves.

A cursor holds a position (the sort key of the last item, never an offset), the listing it belongs to and a
digest of the request it came from. Signed with HMAC-SHA-256 by itsdangerous under a secret that the
installation makes for itself and keeps in its database, so all its processes accept each other's cursors.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from app.errors import CursorInvalid
from app.store.database import transaction
from app.store.tables import Installation

SECRET_KEY = "cursor_secret"  # noqa: S105 - the name of the row, not the secret
MAX_CHARACTERS = 2000
"""A longer text is refused unread; ours stay far below."""

Position = Sequence[str | int | float | None]


class Cursors:
    """Writes and reads cursors. Threads may share one; the secret is read from the database on first use."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._secret: str | None = None

    def write(self, listing: str, request: Mapping[str, object], position: Position) -> str:
        """A cursor for URLs and JSON.

        listing: which list, e.g. ``products``. request: everything that decides what the list holds
        (filters, not the page size), JSON values. position: the last item's sort key, JSON values.
        """
        text: str = self._serializer(listing).dumps([_digest(request), list(position)])
        return text

    def read(self, listing: str, request: Mapping[str, object], cursor: str) -> list[object]:
        """The position in a cursor.

        :raise CursorInvalid: altered, cut off, of another listing or installation, or of another request.
        """
        if len(cursor) > MAX_CHARACTERS:
            raise CursorInvalid(f"a cursor of {len(cursor)} characters is not one of ours; start at the first page")
        try:
            digest, position = self._serializer(listing).loads(cursor)
        except (BadData, ValueError) as cause:
            raise CursorInvalid(
                "the cursor was altered or belongs to another list; send next_cursor as it came, "
                "or start at the first page"
            ) from cause
        if digest != _digest(request):
            raise CursorInvalid(
                "the cursor was made for other filters or another model; repeat the request it came from "
                "unchanged, or start at the first page"
            )
        found: list[object] = position
        return found

    def _serializer(self, listing: str) -> URLSafeSerializer:
        if self._secret is None:
            self._secret = _installation_secret(self._engine)
        return URLSafeSerializer(
            self._secret, salt=f"pickture.cursor.{listing}", signer_kwargs={"digest_method": hashlib.sha256}
        )


def _digest(request: Mapping[str, object]) -> str:
    canonical = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _installation_secret(engine: Engine) -> str:
    """Made once an installation: of several processes that start together, the first one's stays."""
    with transaction(engine) as session:
        session.execute(
            insert(Installation)
            .values(key=SECRET_KEY, value=secrets.token_urlsafe(32))
            .on_conflict_do_nothing(index_elements=[Installation.key])
        )
        secret = session.scalar(select(Installation.value).where(Installation.key == SECRET_KEY))
    return str(secret)
