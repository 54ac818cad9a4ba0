"""The load generator's own parts: photos that are never the same, fair judgement, and clients that keep their rate."""

from __future__ import annotations

import http.server
import io
import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.photo import read_photo
from tests.bench.load import judging
from tests.bench.load.altered import VERSIONS, altered
from tests.bench.load.clients import Entry, Load, run_load, search_once
from tests.bench.load.judging import Row
from tests.bench.load.photos import distinct_photo
from tests.bench.load.slow import SlowPlan, slow_uploads
from tests.models.photo_files import encoded, textured

PHOTO = encoded(textured(640, 480), "JPEG", quality=90)
HOME = Path(__file__).parent


# Photos


def test_altered_photos_differ_in_bytes_and_pixels_and_show_the_same() -> None:
    versions = [altered(PHOTO, number) for number in (0, 1, 9, 27, 28, 700, 728)]
    assert len(set(versions)) == len(versions)
    pixels = [np.asarray(Image.open(io.BytesIO(photo)).convert("RGB")).astype(int) for photo in versions]
    for place, one in enumerate(pixels):
        assert np.abs(one - pixels[0]).mean() < 16, "of hard noise at a high quality, where a step is large"
        assert all(np.abs(one - other).max() > 0 for other in pixels[place + 1 :])


def test_altered_photos_differ_at_the_scale_of_intake_too() -> None:
    large = encoded(textured(2400, 1800), "JPEG", quality=90)
    first, second = (read_photo(altered(large, number)) for number in (1, 2))
    assert first.content_hash != second.content_hash
    assert not np.array_equal(first.pixels, second.pixels)


def test_a_row_of_photos_repeats_no_bytes() -> None:
    bases = [PHOTO, encoded(textured(640, 480, 1), "JPEG")]
    numbers = (*range(12), 2 * VERSIONS, 2 * VERSIONS + 1)
    assert len({distinct_photo(bases, number) for number in numbers}) == len(numbers)


def test_what_is_no_jpeg_is_refused() -> None:
    with pytest.raises(ValueError, match="quantisation"):
        altered(encoded(textured(8, 8), "PNG"), 1)


# Judging


def entries(*pairs: tuple[int, float]) -> list[Entry]:
    codes = {200: None, 503: "overloaded", 429: "limit_exceeded", 500: "internal", 0: None}
    faults = {500: "500 internal", 0: "no answer: Timeout"}
    return [Entry(float(n), s, status, codes[status], faults.get(status)) for n, (status, s) in enumerate(pairs)]


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (judging.quantile(values, 0.5), judging.quantile(values, 0.99), judging.quantile(values, 1)) == (50, 99, 100)
    assert judging.quantile([3.0], 0.99) == 3.0
    assert math.isnan(judging.quantile([], 0.5))


def test_speeds_are_milliseconds_and_null_where_nothing_came() -> None:
    assert judging.speeds(entries((200, 0.1), (200, 0.3))) == {
        "requests": 2,
        "p50_ms": 100.0,
        "p90_ms": 300.0,
        "p99_ms": 300.0,
        "slowest_ms": 300.0,
    }
    assert judging.speeds([])["p99_ms"] is None


def test_a_full_house_excuses_429_and_503_and_nothing_else() -> None:
    assert judging.unfair(entries((200, 0.1), (503, 0.1), (429, 0.1))) == {}
    assert judging.unfair(entries((500, 0.1), (0, 1.0), (503, 0.1))) == {"500 internal": 1, "no answer: Timeout": 1}
    without = [Entry(0, 0.1, 503, "overloaded", "503 overloaded without Retry-After")]
    assert judging.unfair(without) == {"503 overloaded without Retry-After": 1}


def test_the_bound_is_what_network_decoding_and_clients_leave() -> None:
    assert judging.bound(4, 25.0, 0.0, 0.0) == pytest.approx(25.0)
    # 160 core-ms of network, 30 of decoding, 10 of the client: 200 of 4000.
    assert judging.bound(4, 25.0, 30.0, 10.0) == pytest.approx(20.0)


def test_the_table_has_a_line_each_and_says_what_was_missed() -> None:
    rows = [
        Row("a", "b", "1", "2", "<= 2", True),
        Row("a", "c", "3", "2", "<= 2", False),
        Row("d", "e", "-", "", "<= 2", None),
        Row("d", "f", "-", "", "", None),
    ]
    lines = judging.table(rows).splitlines()
    assert [line[:7].strip() for line in lines] == ["", "met", "MISSED", "not run", ""]
    assert [row.to_json()["met"] for row in rows] == [True, False, None, None]


# Clients


class Service(http.server.BaseHTTPRequestHandler):
    """Answers every other search, and refuses the others before it has read them."""

    bodies: list[int]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        refuse = len(self.bodies) % 2 == 1
        self.bodies.append(0)
        place = len(self.bodies) - 1
        if refuse:
            body = json.dumps({"status": 503, "code": "overloaded"}).encode()
            self.send_response(503)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Retry-After", "1")
        else:
            self.bodies[place] = len(self.rfile.read(int(self.headers["Content-Length"])))
            body = b"{}"
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.close_connection = True
        with suppress(OSError):  # a slow phone may have hung up
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def service() -> Iterator[tuple[int, list[int]]]:
    """Its port, and the sizes of the bodies it has read."""
    bodies: list[int] = []
    handler = type("Handler", (Service,), {"bodies": bodies})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, bodies
        server.shutdown()


def test_a_refusal_is_heard_although_nobody_read_the_photo(service: tuple[int, list[int]]) -> None:
    port, bodies = service
    first, second = (search_once(port, "t", PHOTO) for _ in range(2))
    assert (first.status, first.fault) == (200, None)
    assert bodies[0] > len(PHOTO)
    assert second.status in (503, 0)
    if second.status:
        assert (second.code, second.fault) == ("overloaded", None)


def test_nobody_there_is_an_entry_and_no_exception() -> None:
    entry = search_once(1, "t", PHOTO)
    assert (entry.status, entry.code) == (0, None) and entry.fault == "no answer: ConnectionRefusedError"


def test_clients_in_a_process_of_their_own_keep_their_rate_and_are_counted(
    service: tuple[int, list[int]], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    load = run_load((service[0], "t"), [tmp_path / "a.jpg"], clients=4, seconds=1.0, rate=20.0)
    assert isinstance(load, Load)
    assert 10 <= len(load.entries) + load.skipped <= 21
    assert load.entries == tuple(sorted(load.entries, key=lambda entry: entry.at))
    assert 0 < load.core_seconds < 10 and load.seconds >= 1.0
    assert len(set(service[1])) > 1


def test_slow_phones_send_piece_by_piece(service: tuple[int, list[int]]) -> None:
    plan = SlowPlan(service[0], "t", PHOTO, phones=3, upload_bytes=200_000, bytes_per_s=400_000)
    began = time.monotonic()
    with slow_uploads(plan) as told:
        while sum(size > 200_000 for size in service[1]) < 1 and time.monotonic() < began + 60:
            time.sleep(0.05)
    assert time.monotonic() - began >= 0.4, "half a second's worth at least"
    assert told["still sending"] == 3
    assert told.get("200", 0) >= 1
