"""Decoding in processes of its own: a crash or a hang costs one photo, and the service goes on.

Each decoder is taken by one caller at a time and waited for in the caller's own thread, so nothing here runs in the
background. A decoder that has died, or has decoded its share, is replaced when its place is next taken: a fork of a
process that has everything imported (``models.photo.decoder``), some milliseconds. Linux only.
"""

from __future__ import annotations

import hashlib
import queue
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, Literal, Protocol

from PIL import Image

from models.errors import (
    DeadlineExceeded,
    PhotoDamaged,
    PhotoEmpty,
    PhotoError,
    PhotoFormatUnsupported,
    PhotoTooLarge,
    PhotoUndecodable,
    UsageError,
)
from models.photo.formats import sniff_format
from models.photo.nursery import Decoder, DecoderLost, Nursery
from models.photo.reading import DEFAULT_LIMITS, PhotoLimits, check_bytes, open_upright, read_photo
from models.values import Advice, Deadline, Photo, UInt8

PHOTO_S: Final = 10.0
"""Longest that one photo may take: far more than any within the limits needs, also on a busy machine."""

PHOTOS_PER_PROCESS: Final = 500
"""Photos after which a decoder is replaced, so that whatever a decoding library leaks stays bounded."""

DecoderEnd = Literal["crashed", "timeout"]

_ERRORS: Final[dict[str, type[PhotoError]]] = {
    kind.code: kind
    for kind in (PhotoError, PhotoEmpty, PhotoTooLarge, PhotoFormatUnsupported, PhotoDamaged, PhotoUndecodable)
}


class Decodes(Protocol):
    """Turns the bytes of photos into pixels."""

    def read_photo(
        self,
        data: bytes,
        limits: PhotoLimits = DEFAULT_LIMITS,
        *,
        with_advice: bool = True,
        content_hash: str | None = None,
        fit: bool = False,
        deadline: Deadline | None = None,
    ) -> Photo:
        """As ``models.photo.read_photo``. :raise DeadlineExceeded: there was no answer by then."""
        ...

    def open_upright(self, data: bytes, limits: PhotoLimits = DEFAULT_LIMITS) -> Image.Image:
        """As ``models.photo.open_upright``."""
        ...

    def start(self) -> None:
        """Get ready, without waiting for it."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class DecodesHere:
    """Decodes in the process that asks. A decoder that crashes takes it along."""

    def read_photo(
        self,
        data: bytes,
        limits: PhotoLimits = DEFAULT_LIMITS,
        *,
        with_advice: bool = True,
        content_hash: str | None = None,
        fit: bool = False,
        deadline: Deadline | None = None,
    ) -> Photo:
        """See ``Decodes``; what has begun is not ended by the deadline."""
        return read_photo(data, limits, with_advice=with_advice, content_hash=content_hash, fit=fit)

    def open_upright(self, data: bytes, limits: PhotoLimits = DEFAULT_LIMITS) -> Image.Image:
        """See ``Decodes``."""
        return open_upright(data, limits)

    def start(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class DecoderPool:
    """Decodes in up to ``size`` processes. Any number of threads may call; further ones wait.

    size: at least 1. max_pixels: of the largest photo that will come; bounds each process's memory.
    photo_s: how long one photo may take. photos_per_process: photos after which a process is replaced.
    on_failure: told of every process that has died or was given up.
    Construction starts nothing.

    :raise UsageError: a number below 1, or another system than Linux.
    """

    def __init__(
        self,
        size: int,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
        *,
        photo_s: float = PHOTO_S,
        photos_per_process: int = PHOTOS_PER_PROCESS,
        on_failure: Callable[[DecoderEnd], None] = lambda end: None,
    ) -> None:
        if size < 1 or photos_per_process < 1 or photo_s <= 0:
            raise UsageError(
                f"size={size}, photos_per_process={photos_per_process}, photo_s={photo_s}; expected at least 1, "
                "at least 1, above 0"
            )
        if sys.platform != "linux":
            raise UsageError(f"decoders need Linux, this is {sys.platform}; set PICKTURE_DECODERS=0")
        self._size = size
        self._photo_s = photo_s
        self._share = photos_per_process
        self._on_failure = on_failure
        self._nursery = Nursery(max_pixels, photo_s)
        self._places: queue.LifoQueue[Decoder | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)

    def start(self) -> None:
        """Start every process that is not running, without waiting for it."""
        taken = [self._places.get() for _ in range(self._size)]
        for decoder in taken:
            self._places.put(decoder or self._nursery.fork())

    def close(self) -> None:
        """End the processes; waits for the photos in work."""
        for _ in range(self._size):
            decoder = self._places.get(timeout=self._photo_s + 1)
            if decoder is not None:
                decoder.close()
        self._nursery.close()

    def read_photo(
        self,
        data: bytes,
        limits: PhotoLimits = DEFAULT_LIMITS,
        *,
        with_advice: bool = True,
        content_hash: str | None = None,
        fit: bool = False,
        deadline: Deadline | None = None,
    ) -> Photo:
        """As ``models.photo.read_photo``, in another process.

        :raise PhotoUndecodable: two decoders crashed on it, or one did not come to an end.
        :raise DeadlineExceeded: there was no answer by then; the decoder that was at it has been ended.
        """
        content_hash = content_hash or hashlib.sha256(data).hexdigest()
        order = {"full_size": False, "with_advice": with_advice, "content_hash": content_hash, "fit": fit}
        facts, pixels = self._decode(order, data, limits, deadline)
        pixels.setflags(write=False)
        return Photo(
            pixels=pixels,
            content_hash=content_hash,
            format=str(facts["format"]),
            source_width=int(facts["source_width"]),
            source_height=int(facts["source_height"]),
            advice=tuple(Advice(code, message) for code, message in facts["advice"]),
        )

    def open_upright(self, data: bytes, limits: PhotoLimits = DEFAULT_LIMITS) -> Image.Image:
        """As ``models.photo.open_upright``, in another process.

        :raise PhotoUndecodable: two decoders crashed on it, or one did not come to an end.
        """
        _, pixels = self._decode({"full_size": True}, data, limits, None)
        return Image.fromarray(pixels)

    def _decode(
        self, order: dict[str, Any], data: bytes, limits: PhotoLimits, deadline: Deadline | None
    ) -> tuple[dict[str, Any], UInt8]:
        """What the decoder says of the photo, and its pixels, uint8 (height, width, 3)."""
        if deadline is not None and not deadline.left_s:
            raise _too_late()
        check_bytes(len(data), limits)
        sniff_format(data)
        order = {**order, "size_bytes": len(data), "limits": asdict(limits)}
        try:
            return self._decode_once(order, data, deadline)
        except DecoderLost:
            # Somebody may have ended it: the photo is to blame only if the next one dies as well.
            pass
        try:
            return self._decode_once(order, data, deadline)
        except DecoderLost:
            raise PhotoUndecodable(
                "The decoder crashed on this photo, twice. Take it again, or send it in another format."
            ) from None

    def _decode_once(
        self, order: dict[str, Any], data: bytes, deadline: Deadline | None
    ) -> tuple[dict[str, Any], UInt8]:
        try:
            decoder = self._places.get(timeout=None if deadline is None else deadline.left_s)
        except queue.Empty:
            raise _too_late() from None
        kept: Decoder | None = None
        try:
            decoder = decoder or self._nursery.fork()
            answer = decoder.decode(order, data, _sooner(self._photo_s, deadline))
            if decoder.photos < self._share:
                kept = decoder
        except DecoderLost:
            self._on_failure("crashed")
            raise
        except TimeoutError:
            assert decoder is not None
            decoder.kill()
            self._on_failure("timeout")
            if deadline is not None and not deadline.left_s:
                raise _too_late() from None
            raise PhotoUndecodable(
                f"Decoding this photo takes more than {self._photo_s:.0f} s. Take it again, or send it smaller."
            ) from None
        finally:
            if kept is None and decoder is not None:
                decoder.close()
            self._places.put(kept)
        if "error" in answer[0]:
            raise _ERRORS.get(str(answer[0]["error"]), PhotoUndecodable)(str(answer[0]["message"]))
        return answer


def _sooner(seconds: float, deadline: Deadline | None) -> float:
    return seconds if deadline is None else min(seconds, deadline.left_s)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("no decoder got to this photo in time; try again in a moment")
