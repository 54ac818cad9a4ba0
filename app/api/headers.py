"""What every response and request shares: the request's id, protective headers, CORS, body limits."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import IO
from uuid import uuid4

from flask import Flask, Request, Response, g, request
from flask_cors import CORS
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.forms import FormParser

JSON_BODY_BYTES = 64 * 1024
"""Largest JSON body; only photos, which are multipart, may be larger."""

_FORM_TEXT_BYTES = 512 * 1024
"""Largest text field, and largest form without files. werkzeug counts by it the bytes of a file it has not passed on
yet, too: a chunk of 64 KiB and what the chunk before left over, so anything near 64 KiB refuses photos at random."""
_FORM_PARTS = 16

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class InMemoryRequest(Request):
    """A request whose uploads stay in memory: a photo that nobody consented to keep never touches a disk.

    Memory is bounded by ``MAX_CONTENT_LENGTH`` times the searches admitted at once. Where a view has set
    ``spool_folder`` before it looks at the body (catalogues, not photos of shoppers), files go there instead.
    """

    form_data_parser_class = FormParser
    spool_folder: Path | None = None

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        if self.spool_folder is not None:
            return (self.spool_folder / f"part-{uuid4().hex}").open("x+b")  # the name that came decides nothing
        return BytesIO()


def init_app(app: Flask, max_upload_bytes: int, cors_origins: tuple[str, ...]) -> None:
    """Set the limits, the headers and, where origins are allowed, CORS."""
    app.request_class = InMemoryRequest
    app.config.update(
        MAX_CONTENT_LENGTH=max_upload_bytes,
        MAX_FORM_MEMORY_SIZE=_FORM_TEXT_BYTES,
        MAX_FORM_PARTS=_FORM_PARTS,
    )
    app.before_request(_name_request)
    app.before_request(_bound_json)
    app.after_request(_protect)
    if cors_origins:
        CORS(
            app,
            origins=list(cors_origins),
            methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["X-Request-Id", "Retry-After"],
            max_age=600,
        )


def _name_request() -> None:
    g.request_id = str(uuid4())


def _bound_json() -> None:
    if request.is_json:  # application/json and application/*+json: whatever a view would read as JSON
        request.max_content_length = JSON_BODY_BYTES
        # A body sent in chunks has no length to refuse it by, and werkzeug cuts it off at the limit.
        if request.content_length is None and len(request.get_data()) >= JSON_BODY_BYTES:
            raise RequestEntityTooLarge


def _protect(response: Response) -> Response:
    for name, value in _ALWAYS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Request-Id"] = g.request_id
    return response
