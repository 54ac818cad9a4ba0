"""A request on its way into the service: what has come of it, whether that is all, and reading it from memory.

What a head says is only looked at here to know when to stop waiting; gunicorn's parser, which reads it after that, is
the one that judges.
"""

from __future__ import annotations

import errno
import re
import socket
from dataclasses import dataclass, field
from typing import Any, Final

from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import SocketUnreader

_PIECE_BYTES: Final = 2**16
"""What the parsers are given at once: what they ask for, so that they push nothing back and copy nothing twice."""

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,15})[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
_CODED = re.compile(rb"^transfer-encoding:", re.IGNORECASE | re.MULTILINE)
_CATALOGUE = re.compile(rb"POST (?:/v1)?/admin/imports[ ?]")
"""The routes whose bodies may be larger than memory; who may not send them is refused before they are read."""
_SEARCH = re.compile(rb"POST /v1/search[ ?]")
_FROM_A_PAGE = re.compile(rb"^origin:", re.IGNORECASE | re.MULTILINE)


class Received(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """What has come of a request, read as if it lay in the socket; behind it the socket."""

    def __init__(self, sock: socket.socket, data: bytes | bytearray) -> None:
        super().__init__(sock)
        self._data = memoryview(data)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next piece; memory is given back with the last."""
        if not self._data:
            piece: bytes = super().chunk(size_hint)
            return piece
        size = min(max(size_hint or 0, self.mxchunk), _PIECE_BYTES)
        taken = bytes(self._data[:size])
        self._data = self._data[size:] if size < len(self._data) else memoryview(b"")
        return taken

    def hand_back(self) -> None:
        """Put what nobody has read (the next request, sent ahead) where gunicorn looks for it."""
        self.buf.seek(0, 2)
        self.buf.write(self._data)
        self._data = memoryview(b"")


class Checked:
    """A body's reader whose complaints are what a web framework expects of a stream: 400, not a fault of ours."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def read(self, size: int) -> bytes:
        """As the reader's. :raise OSError: chunks or trailers are malformed."""
        try:
            data: bytes = self._reader.read(size)
        except ParseException as error:
            raise OSError(errno.EBADMSG, f"malformed request body: {error}") from error
        return data


@dataclass(slots=True, eq=False)
class Arriving:
    """A request on its way in. began: monotonic seconds of its first byte, or of waiting for it.

    total: bytes of head and body once the head is there; None where the body comes in chunks.
    chunk_at: where the next chunk's size stands. direct: the body need not be waited for. is_search: a search, and not
    a web page's, to which only the application can tell that it may read the answer (CORS).
    """

    conn: Any
    began: float
    data: bytearray = field(default_factory=bytearray)
    head: int = 0
    total: int | None = None
    chunk_at: int = 0
    direct: bool = False
    is_search: bool = False

    def find_head(self, longest_body: int) -> bytes | None:
        """The head, once all of it is there, after noting what it says of the body."""
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return None
        self.head = self.chunk_at = end + 4
        head = bytes(self.data[: self.head])
        lengths = _LENGTH.findall(head)
        self.is_search = _SEARCH.match(head) is not None and _FROM_A_PAGE.search(head) is None
        if _CODED.search(head):
            self.direct = _CATALOGUE.match(head) is not None
        else:
            # Several lengths, or a strange one, are the parser's to refuse.
            self.total = self.head + (int(lengths[0]) if len(lengths) == 1 else 0)
            self.direct = self.total - self.head > longest_body
        return head

    def is_whole(self, longest_body: int) -> bool:
        """Whether nothing more need come: for an answer, or for a refusal."""
        if self.total is not None:
            return len(self.data) >= self.total
        return len(self.data) - self.head > longest_body or self._last_chunk_came()

    def _last_chunk_came(self) -> bool:
        """RFC 9112, 7.1. What is malformed counts as whole: the parser refuses it without reading further."""
        while (end := self.data.find(b"\r\n", self.chunk_at)) >= 0:
            size = re.fullmatch(rb"([0-9a-fA-F]{1,8})[ \t]*(;.*)?", self.data[self.chunk_at : end], re.DOTALL)
            if size is None:
                return True
            length = int(size[1], 16)
            if length == 0:
                return self.data.find(b"\r\n\r\n", end) >= 0
            behind = end + 2 + length + 2
            if behind > len(self.data):
                return False
            if self.data[behind - 2 : behind] != b"\r\n":
                return True
            self.chunk_at = behind
        return len(self.data) - self.chunk_at > _PIECE_BYTES
