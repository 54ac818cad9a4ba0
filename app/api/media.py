"""GET /media/...: catalogue photos by unguessable, immutable addresses."""

from __future__ import annotations

from typing import Literal

from flask import Response, request
from pydantic import BaseModel, Field

from app.api.context import container
from app.api.resource import resource

api = resource("media", "/media", secured=False)

_FOREVER = "public, max-age=31536000, immutable"


class MediaPath(BaseModel):
    """Address of one rendition of a catalogue photo."""

    token: str = Field(min_length=16, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    rendition: Literal["200", "800"] = Field(description="Longest edge, pixels.")


@api.get(
    "/<token>/<rendition>.webp",
    responses={200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}}},
)
def media(path: MediaPath) -> Response:
    """One catalogue photo.

    The address comes from a product's `image_url`; it needs no token and never changes its content.
    """
    photo = container().pictures.thumbnail(path.token, path.rendition)
    response = Response(photo.data, mimetype="image/webp")
    response.headers["Cache-Control"] = _FOREVER
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.set_etag(photo.etag)
    response.make_conditional(request)
    return response
