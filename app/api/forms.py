"""Forms: multipart bodies byte for byte as they were sent, others within the limit of text."""

from __future__ import annotations

from io import BufferedIOBase, BytesIO
from typing import IO, Any, cast

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

_AROUND = len(b"\r\n--" + b"--\r\n")
"""What a delimiter has besides its boundary."""


class FormParser(FormDataParser):
    """werkzeug's, which reads 64 KiB at a time and, where such a piece ends just before the last byte of the closing
    delimiter, appends a carriage return to the file (werkzeug 3.1.9, its issue 3285): one photo in 65,536 is stored
    with a byte and under a hash that are not its own. It is given pieces that end before a delimiter or after it.

    A form without files, which werkzeug reads whole and into forty times its size, may be as large as a text field.
    """

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> Any:
        """As werkzeug's. :raise RequestEntityTooLarge: also where a form without files is larger than a text field."""
        boundary = (options or {}).get("boundary", "")
        if mimetype == "multipart/form-data" and boundary:
            stream = cast(IO[bytes], WholeDelimiters(stream, len(boundary)))
        elif mimetype == "application/x-www-form-urlencoded" and self.max_form_memory_size is not None:
            stream = _at_most(stream, self.max_form_memory_size)
        return super().parse(stream, mimetype, content_length, options)


def _at_most(stream: IO[bytes], size_bytes: int) -> IO[bytes]:
    """All of the stream. :raise RequestEntityTooLarge: there is more of it."""
    data = b""
    while piece := stream.read(size_bytes + 1 - len(data)):
        data += piece
        if len(data) > size_bytes:
            raise RequestEntityTooLarge
    return BytesIO(data)


class WholeDelimiters(BufferedIOBase):
    """A stream whose pieces never end within a delimiter: the next one begins where the delimiter does."""

    def __init__(self, stream: IO[bytes], boundary_length: int) -> None:
        self._stream = stream
        self._longest = boundary_length + _AROUND
        self._held = b""

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """The next piece, at most ``size`` bytes where it is longer than a delimiter; empty at the end."""
        data = self._held
        self._held = b""
        wanted = -1 if size is None or size < 0 else max(size - len(data), self._longest)
        while piece := self._stream.read(wanted):
            data += piece
            cut = data.rfind(b"\r", max(0, len(data) - self._longest))
            if cut < 0:
                return data
            if cut > 0:
                self._held = data[cut:]
                return data[:cut]
        return data
