"""Whatever a multipart body's length, its parts come out as they went in; forms without files have a limit."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser, MultiPartParser

from app.api.forms import FormParser, WholeDelimiters

PIECE = MultiPartParser().buffer_size
"""What werkzeug reads at once."""

BOUNDARY = "0123456789abcdef0123456789abcdef"


def multipart(photo: bytes) -> bytes:
    """A field, the photo, another field."""
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="before"\r\n\r\n1\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    ).encode() + (
        photo
        + f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="after"\r\n\r\n2\r\n--{BOUNDARY}--\r\n'.encode()
    )


def in_memory(*_: object, **__: object) -> io.BytesIO:
    """Where a file goes."""
    return io.BytesIO()


def lengths() -> Iterator[int]:
    """Of photos, such that a piece ends at every byte of what comes before and after them."""
    around = len(multipart(b""))
    yield from range(PIECE - around - 8, PIECE + 8)


def parsed(body: bytes, parser: FormDataParser) -> tuple[bytes, dict[str, str]]:
    _, form, files = parser.parse(io.BytesIO(body), "multipart/form-data", len(body), {"boundary": BOUNDARY})
    return files["photo"].read(), form.to_dict()


@pytest.mark.parametrize("ending", [b"\xff\xd9", b"\r", b"\n", b"\r\n", b"\r\n--", b"\r\r\r"])
def test_parts_are_whole_wherever_the_pieces_end(ending: bytes) -> None:
    noise = random.Random(3).randbytes(2 * PIECE)
    for length in lengths():
        photo = noise[: length - len(ending)] + ending
        assert parsed(multipart(photo), FormParser(in_memory)) == (photo, {"before": "1", "after": "2"}), length


def test_a_last_part_is_whole_too() -> None:
    noise = random.Random(4).randbytes(2 * PIECE)
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'.encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    for length in range(PIECE - len(head) - len(tail) - 8, PIECE + 8):
        photo = noise[:length]
        assert parsed(head + photo + tail, FormParser(in_memory)) == (photo, {}), length


class Slowly(io.BytesIO):
    """A body that comes a few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7 if size is None or size < 0 else min(size, 7))


def test_a_form_without_files_is_as_large_as_a_text_at_most() -> None:
    def form(body: bytes) -> dict[str, str]:
        parser = FormParser(in_memory, max_form_memory_size=100)
        # Its length is not known where it comes in chunks.
        return dict(parser.parse(Slowly(body), "application/x-www-form-urlencoded", None)[1])

    assert form(b"a=" + b"x" * 98) == {"a": "x" * 98}
    assert form(b"") == {}
    with pytest.raises(RequestEntityTooLarge):
        form(b"a=" + b"x" * 99)


def test_pieces_are_what_was_sent_and_none_is_empty_before_the_end() -> None:
    sent = b"a\r" * 400 + b"\r\n--x--\r\n" * 30 + b"b" * 500 + b"\r"
    for size in (1, 2, 7, 64, 1000, -1):
        stream = WholeDelimiters(io.BytesIO(sent), 1)
        pieces = list(iter(lambda: stream.read(size), b""))  # noqa: B023
        assert b"".join(pieces) == sent
        assert stream.read(size) == b""
