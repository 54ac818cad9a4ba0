"""Decoding in processes of its own: the same pixels, and a crash or a hang costs one photo."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from models.backbone.preprocessing import fit_input
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
from models.photo import PhotoLimits, open_upright, read_photo
from models.photo.pool import DecoderPool, DecodesHere
from models.values import Deadline
from tests.models.photo_files import encoded, png, quadrants, sample_files

WAIT_S = 60.0


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[DecoderPool]:
    """One pool for the tests that break nothing."""
    pool = DecoderPool(2)
    pool.start()
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def breakable() -> Iterator[tuple[DecoderPool, list[str]]]:
    """A pool of one, to be broken and to mend itself, and what it says of its processes."""
    ends: list[str] = []
    made = DecoderPool(1, photo_s=2.0, on_failure=ends.append)
    yield made, ends
    made.close()


@pytest.fixture
def pool(breakable: tuple[DecoderPool, list[str]]) -> DecoderPool:
    """The pool to be broken, whole."""
    made, ends = breakable
    made.read_photo(encoded(quadrants(), "JPEG"))
    ends.clear()
    return made


@pytest.fixture
def ends(pool: DecoderPool, breakable: tuple[DecoderPool, list[str]]) -> list[str]:
    """What the pool says of its processes during this test."""
    return breakable[1]


def nurseries() -> list[psutil.Process]:
    """The nurseries that this process has started, newest first."""
    found = [child for child in psutil.Process().children() if "models.photo.decoder" in " ".join(child.cmdline())]
    return sorted(found, key=lambda child: child.create_time(), reverse=True)


def decoders() -> list[psutil.Process]:
    """The decoders of the newest nursery."""
    return nurseries()[0].children()


def pids_below(nursery: int) -> list[int]:
    """Its decoders, found without looking at every process there is."""
    return [int(pid) for pid in Path(f"/proc/{nursery}/task/{nursery}/children").read_text().split()]


def gone(process: psutil.Process) -> bool:
    """Whether it has ended, once it may take a moment."""
    limit = time.monotonic() + WAIT_S
    try:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > limit:
                return False
            time.sleep(0.005)
    except psutil.NoSuchProcess:
        pass
    return True


@pytest.mark.parametrize("name", sorted(sample_files()))
def test_a_photo_is_the_same_as_decoded_here(shared_pool: DecoderPool, name: str) -> None:
    data = sample_files()[name]
    there, here = shared_pool.read_photo(data), read_photo(data)
    assert np.array_equal(there.pixels, here.pixels)
    assert there.pixels.dtype == np.uint8 and not there.pixels.flags.writeable
    assert (there.content_hash, there.format, there.advice) == (here.content_hash, here.format, here.advice)
    assert (there.source_width, there.source_height) == (here.source_width, here.source_height)
    assert np.array_equal(np.asarray(shared_pool.open_upright(data)), np.asarray(open_upright(data)))


@pytest.mark.parametrize("name", sorted(sample_files()))
def test_a_fitted_photo_is_what_the_network_would_make_of_it(shared_pool: DecoderPool, name: str) -> None:
    data = sample_files()[name]
    whole, fitted = read_photo(data), shared_pool.read_photo(data, fit=True)
    assert np.array_equal(fitted.pixels, fit_input(whole.pixels)) and not fitted.pixels.flags.writeable
    assert np.array_equal(fit_input(fitted.pixels), fitted.pixels)
    assert (fitted.advice, fitted.source_width, fitted.source_height) == (
        whole.advice,
        whole.source_width,
        whole.source_height,
    )
    assert shared_pool.read_photo(data, fit=True, with_advice=False).advice == ()


def test_a_limit_below_the_network_s_own_size_is_of_what_comes_alone(shared_pool: DecoderPool) -> None:
    data = encoded(quadrants(100, 80), "JPEG")
    small = PhotoLimits(max_pixels=10_000)
    assert np.array_equal(shared_pool.read_photo(data, small, fit=True).pixels, fit_input(read_photo(data).pixels))
    with pytest.raises(PhotoTooLarge):
        shared_pool.read_photo(encoded(quadrants(200, 80), "JPEG"), small, fit=True)


def test_limits_and_wishes_travel_along(shared_pool: DecoderPool) -> None:
    data = encoded(quadrants(2400, 1800), "JPEG")
    assert shared_pool.read_photo(data, PhotoLimits(decode_edge=2400)).pixels.shape == (1800, 2400, 3)
    dark = encoded(quadrants(400, 300).point(lambda value: value // 40), "PNG")
    assert [hint.code for hint in shared_pool.read_photo(dark).advice] == ["dark"]
    assert shared_pool.read_photo(dark, with_advice=False).advice == ()
    assert shared_pool.read_photo(dark, content_hash="ab" * 32).content_hash == "ab" * 32


@pytest.mark.parametrize(
    ("data", "limits", "kind"),
    [
        (b"", PhotoLimits(), PhotoEmpty),
        (b"GIF89a" + bytes(100), PhotoLimits(), PhotoFormatUnsupported),
        (encoded(quadrants(), "JPEG")[:700], PhotoLimits(), PhotoDamaged),
        (encoded(quadrants(), "PNG"), PhotoLimits(max_pixels=10), PhotoTooLarge),
        (encoded(quadrants(), "PNG"), PhotoLimits(max_bytes=10), PhotoTooLarge),
    ],
)
def test_a_bad_photo_is_refused_in_the_same_words(
    shared_pool: DecoderPool, data: bytes, limits: PhotoLimits, kind: type[PhotoError]
) -> None:
    with pytest.raises(kind) as here:
        read_photo(data, limits)
    with pytest.raises(kind) as there:
        shared_pool.read_photo(data, limits)
    assert str(there.value) == str(here.value)


def test_threads_wait_for_each_other(shared_pool: DecoderPool) -> None:
    files = list(sample_files().values())
    expected = [read_photo(data).pixels for data in files]
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(shared_pool.read_photo, files * 4))
    assert all(np.array_equal(photo.pixels, pixels) for photo, pixels in zip(got, expected * 4, strict=True))


def test_a_decoder_killed_between_photos_costs_nothing(pool: DecoderPool, ends: list[str]) -> None:
    [decoder] = decoders()
    decoder.kill()
    assert gone(decoder)
    assert pool.read_photo(encoded(quadrants(), "JPEG")).format == "jpeg"
    assert ends == ["crashed"]


def test_a_photo_that_kills_every_decoder_is_refused_and_the_next_one_is_not(
    pool: DecoderPool, ends: list[str]
) -> None:
    """Every decoder dies while it is at this photo, as if its decoder crashed."""
    stop, nursery = threading.Event(), nurseries()[0].pid

    def kill() -> None:
        while not stop.is_set():
            for decoder in pids_below(nursery):
                with suppress(ProcessLookupError):
                    os.kill(decoder, signal.SIGKILL)
            time.sleep(0.001)

    data = encoded(quadrants(3000, 2500), "PNG")
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        # So large that a decoder is killed before it can be done.
        with pytest.raises(PhotoUndecodable, match="crashed"):
            pool.read_photo(data)
    finally:
        stop.set()
        killer.join()
    assert ends == ["crashed", "crashed"]
    assert pool.read_photo(encoded(quadrants(), "JPEG")).format == "jpeg"


def test_a_decoder_that_hangs_is_ended_and_replaced(pool: DecoderPool, ends: list[str]) -> None:
    [decoder] = decoders()
    decoder.suspend()
    with pytest.raises(PhotoUndecodable, match="more than 2 s"):
        pool.read_photo(encoded(quadrants(), "JPEG"))
    assert gone(decoder)
    assert ends == ["timeout"]
    assert pool.read_photo(encoded(quadrants(), "JPEG")).format == "jpeg"


def test_a_deadline_ends_the_waiting_and_the_decoding(pool: DecoderPool) -> None:
    [decoder] = decoders()
    decoder.suspend()
    with pytest.raises(DeadlineExceeded):
        pool.read_photo(encoded(quadrants(), "JPEG"), deadline=Deadline.after(0.05))
    assert gone(decoder)
    with pytest.raises(DeadlineExceeded):
        pool.read_photo(encoded(quadrants(), "JPEG"), deadline=Deadline(time.monotonic() - 1))
    assert pool.read_photo(encoded(quadrants(), "JPEG"), deadline=Deadline.after(WAIT_S)).format == "jpeg"


def test_who_waits_for_a_busy_decoder_is_told_when_the_time_is_over(pool: DecoderPool) -> None:
    [decoder] = decoders()
    decoder.suspend()
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(pool.read_photo, encoded(quadrants(), "JPEG"))
        with pytest.raises(DeadlineExceeded):
            pool.read_photo(encoded(quadrants(), "JPEG"), deadline=Deadline.after(0.05))
        with pytest.raises(PhotoUndecodable):
            hanging.result(WAIT_S)


def test_a_dead_nursery_is_started_again(pool: DecoderPool) -> None:
    nursery, [decoder] = nurseries()[0], decoders()
    nursery.kill()
    decoder.kill()
    assert gone(nursery) and gone(decoder)
    assert pool.read_photo(encoded(quadrants(), "JPEG")).format == "jpeg"
    assert nurseries()[0].pid != nursery.pid


def test_a_stop_signal_for_the_whole_group_leaves_the_photos_in_work_to_be_decoded(pool: DecoderPool) -> None:
    for process in (nurseries()[0], *decoders()):
        for number in (signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
    assert pool.read_photo(encoded(quadrants(), "JPEG")).format == "jpeg"


def test_memory_is_bounded_and_core_files_are_off() -> None:
    pool = DecoderPool(1, max_pixels=1_000_000)
    try:
        pool.read_photo(encoded(quadrants(), "JPEG"))
        [decoder] = decoders()
        limit, _ = decoder.rlimit(psutil.RLIMIT_AS)
        assert decoder.memory_info().vms < limit < decoder.memory_info().vms + 2**30
        assert decoder.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert Path(f"/proc/{decoder.pid}/oom_score_adj").read_text().strip() == "1000"
        # A picture of 150 megapixels where one of 1 was to be expected: more than the process may have.
        with pytest.raises(PhotoTooLarge, match="memory"):
            pool.open_upright(png(15_000, 10_000, 8, 2, b"\x00" * 10), PhotoLimits(max_pixels=178_000_000))
        assert pool.read_photo(encoded(quadrants(), "JPEG")).format == "jpeg"
        assert decoder.is_running()
    finally:
        pool.close()


def test_a_decoder_is_replaced_after_its_share() -> None:
    pool = DecoderPool(1, photos_per_process=2)
    try:
        seen = []
        for _ in range(4):
            pool.read_photo(encoded(quadrants(), "JPEG"))
            seen.append([decoder.pid for decoder in decoders()])
        assert len({pid for pids in seen for pid in pids}) == 2
    finally:
        pool.close()


def test_closing_ends_every_process_and_leaves_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    pool = DecoderPool(3)
    pool.start()
    pool.read_photo(encoded(quadrants(), "JPEG"))
    processes = [nurseries()[0], *decoders()]
    assert len(processes) == 4
    pool.close()
    assert all(gone(process) for process in processes)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_in_this_process_the_answers_are_the_same() -> None:
    data = encoded(quadrants(), "JPEG")
    assert np.array_equal(DecodesHere().read_photo(data).pixels, read_photo(data).pixels)
    assert DecodesHere().open_upright(data).size == open_upright(data).size


@pytest.mark.parametrize("wrong", [{"size": 0}, {"photo_s": 0.0}, {"photos_per_process": 0}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected"):
        DecoderPool(**{"size": 1, **wrong})  # type: ignore[arg-type]
