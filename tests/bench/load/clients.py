"""Clients in processes of their own: so many at once, or so many requests a second whatever comes back.

Each process has threads, each request a connection: the next shopper is another phone. A client imports the standard
library alone, so that its share of the cores is what sending costs; it is measured.
"""

from __future__ import annotations

import http.client
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path

from tests.bench.judging import answer_fault, code_of
from tests.bench.load.photos import distinct_photo, read_all

_BOUNDARY = b"pickture-load-4d1b"
_TIMEOUT_S = 60.0
_START_S = 0.2
"""From the order to the first request, once all processes are ready."""

_NUMBERS_A_PROCESS = 2_500
NUMBERS_A_LOAD = 10_000
"""Photos' numbers that one load may use."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. at: ``time.monotonic`` of its start. seconds: until the answer was whole. status: 0 where none came.

    code: of a problem. fault: see ``judging.answer_fault``.
    """

    at: float
    seconds: float
    status: int
    code: str | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process does.

    paths: of the drawn photos. first: number of its first photo. clients: threads. rate: requests a second; None: each
    thread asks again as soon as it was answered.
    """

    port: int
    token: str
    paths: list[str]
    first: int
    clients: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients saw, and what they cost.

    seconds: from the first moment to the last answer. core_seconds: CPU time of all client processes meanwhile.
    skipped: requests of a rate that no thread was free for at their moment.
    """

    entries: tuple[Entry, ...]
    seconds: float
    core_seconds: float
    skipped: int = 0

    def answered(self, status: int = 200) -> list[Entry]:
        """Those answered so."""
        return [entry for entry in self.entries if entry.status == status]

    @property
    def rate(self) -> float:
        """Successful answers a second."""
        return len(self.answered()) / self.seconds


def run_load(
    place: tuple[int, str],
    paths: Sequence[Path],
    *,
    clients: int,
    seconds: float,
    processes: int = 1,
    rate: float | None = None,
    first: int = 0,
) -> Load:
    """Load the service; returns when the last answer has come.

    place: port and a session's token. clients: threads, over all processes. rate: requests a second over all
    processes; needs more clients than rate times the longest answer. first: number of the first photo; runs that are
    to send other photos than each other take numbers far apart.
    """
    port, token = place
    plans = [
        Plan(
            port=port,
            token=token,
            paths=[str(path) for path in paths],
            first=first + number * _NUMBERS_A_PROCESS,
            clients=clients // processes + (number < clients % processes),
            rate=None if rate is None else rate / processes,
        )
        for number in range(processes)
    ]
    with ExitStack() as stack:
        drivers = [stack.enter_context(_driver(plan)) for plan in plans]
        for driver in drivers:
            _line_of(driver)  # it is ready
        start_at = time.monotonic() + _START_S
        for driver in drivers:
            assert driver.stdin is not None
            driver.stdin.write(json.dumps([start_at, start_at + seconds]) + "\n")
            driver.stdin.flush()
        parts = [json.loads(_line_of(driver)) for driver in drivers]
    entries = sorted((Entry(*entry) for part in parts for entry in part["entries"]), key=lambda entry: entry.at)
    ended = max((entry.at + entry.seconds for entry in entries), default=start_at)
    return Load(
        tuple(entries),
        max(ended - start_at, seconds),
        sum(part["core_seconds"] for part in parts),
        sum(part["skipped"] for part in parts),
    )


@contextmanager
def _driver(plan: Plan) -> Iterator[subprocess.Popen[str]]:
    """A process that knows its plan; killed at the end, if it has not ended by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load.clients"],
        cwd=Path(__file__).resolve().parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(plan)) + "\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()


def _line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a process of clients ended with status {process.wait()}")
    return line


@dataclass(slots=True)
class _Work:
    """What the threads of a process share. start_at, until: ``time.monotonic``, one clock for all processes."""

    plan: Plan
    bases: list[bytes]
    start_at: float
    until: float
    entries: list[Entry] = field(default_factory=list)
    skipped: int = 0
    _taken: int = 0
    _slots: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_photo(self) -> bytes:
        """One that nobody has sent."""
        with self._lock:
            number = self.plan.first + self._taken
            self._taken += 1
        return distinct_photo(self.bases, number)

    def next_moment(self) -> float | None:
        """When the next request of the rate is due; None when the time is over. Moments long gone are skipped."""
        assert self.plan.rate is not None
        with self._lock:
            while True:
                due = self.start_at + self._slots / self.plan.rate
                self._slots += 1
                if due >= self.until:
                    return None
                if due >= time.monotonic() - 1 / self.plan.rate:
                    return due
                self.skipped += 1

    def note(self, entry: Entry) -> None:
        """Note a request."""
        with self._lock:
            self.entries.append(entry)


def _drive() -> None:
    """One process: its plan, the word that it is ready, the moments, the threads, and what they saw."""
    plan = Plan(**json.loads(sys.stdin.readline()))
    bases = read_all([Path(path) for path in plan.paths])
    print("ready", flush=True)
    start_at, until = json.loads(sys.stdin.readline())
    work = _Work(plan, bases, start_at, until)
    threads = [threading.Thread(target=_ask_on, args=(work,), daemon=True) for _ in range(plan.clients)]
    time.sleep(max(0.0, start_at - time.monotonic()))
    before = _core_seconds()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = _core_seconds() - before
    entries = [astuple(entry) for entry in work.entries]
    print(json.dumps({"entries": entries, "core_seconds": spent, "skipped": work.skipped}), flush=True)


def _core_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _ask_on(work: _Work) -> None:
    plan = work.plan
    while True:
        photo = work.next_photo()
        if plan.rate is not None:
            due = work.next_moment()
            if due is None:
                return
            time.sleep(max(0.0, due - time.monotonic()))
        elif time.monotonic() >= work.until:
            return
        work.note(search_once(plan.port, plan.token, photo))


def search_once(port: int, token: str, photo: bytes) -> Entry:
    """One search on a connection of its own."""
    body = b"".join(
        (
            b"--" + _BOUNDARY,
            b'\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n',
            photo,
            b"\r\n--" + _BOUNDARY + b"--\r\n",
        )
    )
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY.decode()}",
        "Connection": "close",
    }
    at, began = time.monotonic(), time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        # A service that refuses before it has read the body stops listening to it; its answer is there all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/v1/search", body, headers)
        answer = connection.getresponse()
        data = answer.read()
    except (http.client.HTTPException, OSError) as error:
        return Entry(at, time.perf_counter() - began, 0, None, f"no answer: {type(error).__name__}")
    finally:
        connection.close()
    seconds = time.perf_counter() - began
    lowered = {name.lower(): value for name, value in answer.getheaders()}
    code = code_of(data) if answer.status >= 400 else None
    return Entry(at, seconds, answer.status, code, answer_fault(answer.status, lowered, data))


if __name__ == "__main__":
    _drive()
