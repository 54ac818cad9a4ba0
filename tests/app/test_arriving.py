"""When a request is whole: lengths, chunks, and everything that is neither."""

from __future__ import annotations

import socket

import pytest

from app.arriving import Arriving, Received

HEAD = b"POST /v1/search HTTP/1.1\r\nHost: shop\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LONGEST = 1000


def arrived(data: bytes) -> Arriving:
    arriving = Arriving(None, 0.0, bytearray(data))
    arriving.find_head(LONGEST)
    return arriving


def whole_after(data: bytes) -> int | None:
    """How many bytes of ``data``, coming one by one, make a whole request; None where all of them do not."""
    arriving = Arriving(None, 0.0)
    for place, byte in enumerate(data, start=1):
        arriving.data.append(byte)
        if (arriving.head or arriving.find_head(LONGEST)) and arriving.is_whole(LONGEST):
            return place
    return None


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n",
        HEAD + b"Content-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\n\r\nhello",
        HEAD + b"content-length:\t12  \r\n\r\nhello\r\n\r\nyou",
        CHUNKED + b"0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"A;name=value\r\n0\r\n\r\n56789\r\n3 \r\nyou\r\n0;last\r\nX-Checksum: 1\r\nX-More: 2\r\n\r\n",
    ],
)
def test_a_request_is_whole_with_its_last_byte_and_not_before(request_bytes: bytes) -> None:
    assert whole_after(request_bytes) == len(request_bytes)
    assert whole_after(request_bytes + b"GET /next") == len(request_bytes)


@pytest.mark.parametrize(
    ("request_bytes", "left"),
    [
        (CHUNKED + b"nonsense\r\n", b""),
        (CHUNKED + b"5\r\nhello!!", b""),
        (CHUNKED + b"-5\r\n", b"hello"),
        (CHUNKED + b"fffffffff\r\n", b""),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", b"hello"),
        (HEAD + b"Content-Length: five\r\n\r\n", b"hello"),
    ],
)
def test_what_is_malformed_is_the_parsers_to_refuse_at_once(request_bytes: bytes, left: bytes) -> None:
    assert whole_after(request_bytes + left) == len(request_bytes)


def test_chunks_beyond_the_largest_body_are_not_waited_for() -> None:
    assert whole_after(CHUNKED + b"ffff\r\n" + b"x" * 1000) == len(CHUNKED) + LONGEST + 1


@pytest.mark.parametrize(
    ("head", "direct"),
    [
        (HEAD + b"Content-Length: 1000\r\n\r\n", False),
        (HEAD + b"Content-Length: 1001\r\n\r\n", True),
        (CHUNKED, False),
        (b"POST /v1/admin/imports?dry_run=true HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"POST /admin/imports HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"POST /v1/admin/importsandmore HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"POST /v1/admin/imports HTTP/1.1\r\nContent-Length: 20\r\n\r\n", False),
    ],
)
def test_bodies_larger_than_memory_go_to_a_thread_as_they_come(head: bytes, direct: bool) -> None:
    assert arrived(head).direct is direct


def test_what_has_come_is_read_before_the_socket_and_what_is_left_is_handed_back() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"later")
        received = Received(ours, bytearray(b"a" * 70_000 + b"body"))
        assert received.read(5) == b"aaaaa"
        assert received.read(69_995, read_ahead=70_000) == b"a" * 69_995
        received.hand_back()
        assert received.take_buffered() == b"body"
        assert received.read(3) == b"lat"
