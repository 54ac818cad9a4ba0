"""Multipart bodies, byte for byte as they were sent."""

from __future__ import annotations

from io import BufferedIOBase
from typing import IO, Any, cast

from werkzeug.formparser import FormDataParser

_AROUND = len(b"\r\n--" + b"--\r\n")
"""What a delimiter has besides its boundary."""


class FormParser(FormDataParser):
    """werkzeug's, which reads 64 KiB at a time and, where such a piece ends just before the last byte of the closing
    delimiter, appends a carriage return to the file (werkzeug 3.1.9, its issue 3285): one photo in 65,536 is stored
    with a byte and under a hash that are not its own. It is given pieces that end before a delimiter or after it.
    """

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> Any:
        """As werkzeug's."""
        boundary = (options or {}).get("boundary", "")
        if mimetype == "multipart/form-data" and boundary:
            stream = cast(IO[bytes], WholeDelimiters(stream, len(boundary)))
        return super().parse(stream, mimetype, content_length, options)


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
