"""Catalogue photos by the token of their public address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Engine, select

from app.errors import MediaNotFound
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.tables import Image


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One rendition, WebP. etag: a strong validator of these bytes."""

    data: bytes
    etag: str


class PictureService:
    """Serves what catalogue rows refer to, and nothing else: kept query photos have no token."""

    def __init__(self, engine: Engine, media: MediaStore) -> None:
        self._engine = engine
        self._media = media

    def thumbnail(self, token: str, rendition: Literal["200", "800"]) -> Thumbnail:
        """The photo with this token. :raise MediaNotFound: no catalogue photo has it."""
        with transaction(self._engine) as session:
            content_hash = session.scalar(select(Image.content_hash).where(Image.token == token))
        if content_hash is None:
            raise MediaNotFound("no catalogue photo has this address")
        return Thumbnail(self._media.open(content_hash, rendition), f"{content_hash[:32]}-{rendition}")
