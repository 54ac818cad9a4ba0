"""From bytes to what the network sees: the cache in front of decoder and network, and the deadline behind both."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest

from app.services.intake import BottleneckCache, Crop, Intake, Seen
from models.attributes import TypeGuess
from models.backbone.preprocessing import fit_input
from models.errors import DeadlineExceeded, PhotoFormatUnsupported
from models.photo import PhotoLimits, read_photo
from models.photo.pool import DecodesHere
from models.recognizer import Withdrawn, nothing_withdrawn
from models.values import Advice, Answer, ClassifierName, Deadline, Features, Float32, Photo
from tests.app.api.world import draw
from tests.contracts.fake_backbone import FakeBackbone

WHOLE = None
LATER = Deadline(float("inf"))
RED, BLUE = draw((200, 20, 20)), draw((20, 20, 200))


class Looking:
    """A recognizer that looks and cannot answer; counts how often."""

    version = "1"
    weights = "fake"

    def __init__(self, space: str = FakeBackbone.space) -> None:
        self.space = space
        self.backbone = FakeBackbone()

    def features(self, photo: Photo, deadline: Deadline | None = None) -> Features:
        if deadline is not None and not deadline.left_s:
            raise DeadlineExceeded("too late")
        return Features(self.backbone.extract([fit_input(photo.pixels)])[0], self.space)

    def answer(
        self,
        features: Features,
        advice: tuple[Advice, ...] = (),
        *,
        within: frozenset[str] | None = None,
        top_k: int = 5,
        withdrawn: Withdrawn = nothing_withdrawn,
    ) -> Answer:
        raise AssertionError("nobody asks")

    def guess_type(self, vectors: Float32) -> TypeGuess | None:
        raise AssertionError("nobody asks")

    def known_since(self, label: str) -> Mapping[ClassifierName, str | None]:
        raise AssertionError("nobody asks")


def intake(cache_bytes: int = 2**20, asked: list[bool] | None = None) -> Intake:
    heard = [] if asked is None else asked
    return Intake(DecodesHere(), PhotoLimits(), BottleneckCache(cache_bytes), heard.append)


def test_the_same_bytes_are_looked_at_once_and_give_the_same() -> None:
    asked: list[bool] = []
    looking, looks = Looking(), intake(asked=asked)
    first, again = (looks.look(RED, WHOLE, looking, LATER) for _ in range(2))
    assert looking.backbone.images == 1 and asked == [False, True]
    assert np.array_equal(first.seen.features.vector, again.seen.features.vector)
    assert first.seen.advice == again.seen.advice == read_photo(RED).advice
    assert first.content_hash == again.content_hash == read_photo(RED).content_hash
    assert first.network_ms > 0 and again.network_ms == 0.0
    assert first.decode_ms > 0 and again.decode_ms > 0


def test_hints_are_remembered_too() -> None:
    dark = draw((6, 6, 6), size=(60, 60))
    looks = intake()
    hints = [looks.look(dark, WHOLE, Looking(), LATER).seen.advice for _ in range(2)]
    assert hints[0] == hints[1] and "small" in {hint.code for hint in hints[0]}


def test_other_bytes_another_crop_or_another_space_are_looked_at_anew() -> None:
    looks, here, there = intake(), Looking(), Looking("another-space")
    whole = looks.look(RED, WHOLE, here, LATER)
    others = [
        looks.look(BLUE, WHOLE, here, LATER),
        looks.look(RED, Crop(0, 0, 0.5, 1), here, LATER),
        looks.look(RED, Crop(0, 0, 0.5, 0.5), here, LATER),
    ]
    assert here.backbone.images == 4
    assert all(np.abs(other.seen.features.vector - whole.seen.features.vector).max() > 0 for other in others)
    assert looks.look(RED, WHOLE, there, LATER).seen.features.space == "another-space"
    assert there.backbone.images == 1
    assert looks.look(RED, Crop(0, 0, 0.5, 1), here, LATER).network_ms == 0.0


def test_a_photo_that_cannot_be_used_is_refused_every_time() -> None:
    looks = intake()
    for _ in range(2):
        with pytest.raises(PhotoFormatUnsupported):
            looks.look(b"GIF89a" + bytes(100), WHOLE, Looking(), LATER)


def test_nothing_is_remembered_of_a_search_that_was_too_late() -> None:
    looks, looking = intake(), Looking()
    with pytest.raises(DeadlineExceeded):
        looks.look(RED, WHOLE, looking, Deadline(time.monotonic() - 1))
    assert looking.backbone.images == 0
    assert looks.look(RED, WHOLE, looking, LATER).network_ms > 0


def seen(number: int) -> Seen:
    return Seen(Features(np.full(2048, number, np.float32), "space"), ())


def test_the_cache_stays_within_its_bytes_and_forgets_what_was_used_longest_ago() -> None:
    cache = BottleneckCache(3 * (2048 * 4 + 1024))
    for number in range(3):
        cache.put(str(number), WHOLE, seen(number))
    full = cache.size_bytes
    assert full == 3 * (2048 * 4 + 1024)
    assert cache.get("0", WHOLE, "space") is not None
    cache.put("3", WHOLE, seen(3))
    cache.put("3", WHOLE, seen(3))
    assert cache.size_bytes == full
    assert cache.get("1", WHOLE, "space") is None
    found = [cache.get(name, WHOLE, "space") for name in "023"]
    assert [kept is not None and kept.features.vector[0] for kept in found] == [0, 2, 3]


def test_a_cache_of_no_bytes_remembers_nothing() -> None:
    cache = BottleneckCache(0)
    cache.put("0", WHOLE, seen(0))
    assert cache.get("0", WHOLE, "space") is None and cache.size_bytes == 0


def test_what_is_remembered_does_not_keep_a_whole_batch_in_memory() -> None:
    cache, batch = BottleneckCache(2**20), np.zeros((4, 2048), np.float32)
    cache.put("0", WHOLE, Seen(Features(batch[1], "space"), ()))
    kept = cache.get("0", WHOLE, "space")
    assert kept is not None and kept.features.vector.base is None
