"""From an upload's bytes to what the network sees in them: decoded, cropped, its bottleneck taken or remembered."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from app.errors import RequestInvalid
from app.services.serving import Recognizes
from models.photo import PhotoLimits
from models.photo.pool import Decodes
from models.values import Advice, Deadline, Features, Float32, Photo

MIN_CROP_PIXELS = 32
"""Smallest edge a crop may leave of the decoded photo: less shows no product."""

_MAX_DECODE_EDGE = 3840
"""However small the crop, a photo is not decoded larger than this: about 12 megapixels."""

_ENTRY_BYTES = 1024
"""What an entry of the cache takes beside its vector: keys, objects, hints."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the upright photo, as fractions of its width and height.

    x, y: left and top edge in [0, 1). width, height: in (0, 1], within the photo.

    :raise RequestInvalid: outside these ranges, or reaching over the photo's edge.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        inside = (
            0 <= self.x < 1
            and 0 <= self.y < 1
            and 0 < self.width <= 1 - self.x + 1e-6
            and 0 < self.height <= 1 - self.y + 1e-6
        )
        if not inside:
            raise RequestInvalid.of(
                "crop",
                "expected x,y,w,h as fractions with 0 <= x, 0 <= y, w > 0, h > 0, x + w <= 1, y + h <= 1",
            )

    def sharpen(self, limits: PhotoLimits) -> PhotoLimits:
        """``limits`` that decode the photo large enough for the part to be as sharp as a whole photo is."""
        edge = limits.decode_edge / min(self.width, self.height)
        return replace(limits, decode_edge=round(min(edge, _MAX_DECODE_EDGE)))

    def apply(self, photo: Photo) -> Photo:
        """The part of ``photo``; hash, format, source size and advice stay those of the whole.

        :raise RequestInvalid: fewer than ``MIN_CROP_PIXELS`` pixels an edge are left.
        """
        rows, columns = photo.pixels.shape[:2]
        left, top = round(self.x * columns), round(self.y * rows)
        right, bottom = round((self.x + self.width) * columns), round((self.y + self.height) * rows)
        part = photo.pixels[top:bottom, left:right]
        if min(part.shape[:2]) < MIN_CROP_PIXELS:
            raise RequestInvalid.of(
                "crop",
                f"leaves {part.shape[1]} x {part.shape[0]} pixels; an edge needs at least {MIN_CROP_PIXELS}",
            )
        return replace(photo, pixels=np.ascontiguousarray(part))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What recognition goes on with. features: of the photo, or of its crop. advice: on the whole photo."""

    features: Features
    advice: tuple[Advice, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One photo looked at. decode_ms: until its pixels were there. network_ms: then until its bottleneck was; or 0.

    feature_map: float32 (8, 8, 2048), of the photo or its crop, where it was asked for.
    """

    content_hash: str
    seen: Seen
    decode_ms: float
    network_ms: float
    feature_map: Float32 | None = None


_Key = tuple[str, Crop | None, str]


class BottleneckCache:
    """What was seen in the photos that came last, by content, crop and space; never what was answered.

    A shopper who searches again in another category, or after a lost answer, sends the same bytes. In the memory of
    this process alone, at most ``max_bytes``; 0 remembers nothing. Any thread may call.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, Seen] = OrderedDict()
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """What is in use."""
        return self._bytes

    def get(self, content_hash: str, crop: Crop | None, space: str) -> Seen | None:
        """What was seen, or None."""
        key = (content_hash, crop, space)
        with self._lock:
            seen = self._entries.get(key)
            if seen is not None:
                self._entries.move_to_end(key)
        return seen

    def put(self, content_hash: str, crop: Crop | None, seen: Seen) -> None:
        """Remember it; what was used longest ago goes."""
        # Of its own: a row of a batch would keep the others' rows in memory too.
        features = replace(seen.features, vector=seen.features.vector.copy())
        key = (content_hash, crop, features.space)
        with self._lock:
            if key not in self._entries:
                self._bytes += _cost(features)
            self._entries[key] = replace(seen, features=features)
            self._entries.move_to_end(key)
            while self._bytes > self._max_bytes:
                _, gone = self._entries.popitem(last=False)
                self._bytes -= _cost(gone.features)


def _cost(features: Features) -> int:
    return features.vector.nbytes + _ENTRY_BYTES


class Intake:
    """Looks at photos. Any number of threads may call; decoder and network let them through in turns.

    limits: what a photo may cost. on_asked: told of every photo whether the cache knew it.
    """

    def __init__(
        self,
        decoder: Decodes,
        limits: PhotoLimits,
        cache: BottleneckCache,
        on_asked: Callable[[bool], None] = lambda hit: None,
    ) -> None:
        self._decoder = decoder
        self._limits = limits
        self._cache = cache
        self._on_asked = on_asked

    def look(
        self, data: bytes, crop: Crop | None, recognizer: Recognizes, deadline: Deadline, *, with_map: bool = False
    ) -> Look:
        """What ``recognizer``'s network sees in the photo, or in a part of it.

        with_map: the feature map too, for which the network runs whatever is remembered: a map takes half a megabyte.
        :raise PhotoError: the photo cannot be used. :raise RequestInvalid: the crop leaves too little of it.
        :raise DeadlineExceeded: there was no answer by then; what had not begun was not done.
        """
        started = time.perf_counter()
        content_hash = hashlib.sha256(data).hexdigest()
        if not with_map:
            seen = self._cache.get(content_hash, crop, recognizer.space)
            self._on_asked(seen is not None)
            if seen is not None:
                return Look(content_hash, seen, _ms_since(started), 0.0)
        limits = self._limits if crop is None else crop.sharpen(self._limits)
        # A whole photo comes fitted for the network: a tenth of the bytes to hand over.
        photo = self._decoder.read_photo(data, limits, content_hash=content_hash, fit=crop is None, deadline=deadline)
        if crop is not None:
            photo = crop.apply(photo)
        decoded = time.perf_counter()
        features, feature_map = (
            recognizer.look(photo, deadline) if with_map else (recognizer.features(photo, deadline), None)
        )
        seen = Seen(features, photo.advice)
        self._cache.put(content_hash, crop, seen)
        return Look(content_hash, seen, (decoded - started) * 1000.0, _ms_since(decoded), feature_map)


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000.0
