"""The shop that is loaded: the demonstration's products, imported and trained once, kept for the next run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests

from app.cli.demo.shop import demo_products, write_catalogue
from app.config import Settings
from tests.bench.admin import Admin
from tests.bench.installation import ROOT, START_S, BenchFailed, Installation, wait_for
from tests.bench.load.clients import NUMBERS_A_LOAD, Load, run_load
from tests.bench.load.judging import Row, speeds
from tests.bench.load.photos import Size, cached_photos

Measured = TypeVar("Measured")

CURRENCY = "EUR"
SEARCH_PLACES_KEPT_FREE = 2
_TRAIN = ("train", "--without-variants")
_SHORT_S, _LONG_S = 8.0, 20.0
_CROWD = 16
_CROWD_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The bare network and bare decoding around a measurement: the mean of just before and just after it.

    batch_1_ms: one image on all cores. images_a_second: the best cell of the grid. decode_ms, decode_core_ms: a photo.
    """

    batch_1_ms: float
    images_a_second: float
    decode_ms: float
    decode_core_ms: float

    @classmethod
    def between(cls, before: Mapping[str, float], after: Mapping[str, float]) -> Yardstick:
        """Of two measurements by ``bare.beside``."""
        return cls(**{name: round((before[name] + after[name]) / 2, 2) for name in before})


@dataclass(eq=False)
class Place:
    """The installation, and what several scenarios need, measured once in a run.

    quick: shorter measurements, for trying the measurement itself.
    """

    home: Path
    out: Path
    workers: int
    quick: bool
    say: Callable[[str], None]
    settings: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    _known: dict[str, Any] = field(default_factory=dict)
    _numbers: int = 0
    _keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings |= {
            "PICKTURE_WORKERS": str(self.workers),
            "PICKTURE_CURRENCY": CURRENCY,
            "PICKTURE_SESSION_MINUTES": "1440",
            # Every client of the measurement comes from one address.
            "PICKTURE_LIMIT_PER_INSTALLATION": "0",
            "PICKTURE_LIMIT_PER_ADDRESS": "0",
        }
        self.installation = Installation(self.home, self.out / "load-service.log", self.settings)

    # The shop

    def prepare(self, versions: int = 1) -> None:
        """Have the shop and so many trained versions of today's network, and keys of this run."""
        run = self.installation.run
        catalogue = self.home.parent / "load-catalogue"
        if not catalogue.is_dir():
            self.say("drawing the demonstration's products")
            write_catalogue(catalogue.with_suffix(".part"), demo_products()[0], CURRENCY)
            catalogue.with_suffix(".part").rename(catalogue)
        run("db", "upgrade")
        run("catalog", "import", str(catalogue))
        self.say("bottlenecks of the shop's photos")
        space = run("bottlenecks", "--originals-only")["space"]
        while True:
            listed = run("models", "list")["versions"]
            mine = [version for version in listed if version["fits"] and version["space"] == space]
            if len(mine) >= versions:
                break
            self.say(f"training version {len(mine) + 1} of {versions}")
            run(*_TRAIN)
        run("models", "promote", mine[0]["version"])
        self._known["versions"] = [version["version"] for version in mine]
        self._known["xml"] = self.home / "backbones" / space / "network.xml"
        self._keys = {role: run("keys", "create", "--role", role)["key"] for role in ("app", "admin")}

    @property
    def versions(self) -> list[str]:
        """The trained versions, newest first."""
        listed: list[str] = self._known["versions"]
        return listed

    @property
    def app_key(self) -> str:
        """The app's key."""
        return self._keys["app"]

    @property
    def admin(self) -> Admin:
        """An administrator."""
        return Admin(self.installation, self._keys["admin"])

    @contextmanager
    def served(self) -> Iterator[None]:
        """The service, ready, until the block ends."""
        with self.installation.served():
            wait_for(self.installation.ready, START_S, "the service to be ready")
            yield

    def token(self) -> str:
        """Of a session just opened."""
        opened = requests.post(f"{self.installation.url}/v1/sessions", json={"app_key": self.app_key}, timeout=60)
        opened.raise_for_status()
        return str(opened.json()["token"])

    # Yardsticks and what is compared with, once a run

    def photos(self, size: Size) -> list[Path]:
        """The drawn photos of a size."""
        return self._once(f"photos {size}", lambda: cached_photos(self.out / "photos", size))

    def network(self) -> dict[str, Any]:
        """See ``bare.network``."""
        return self._once("network", lambda: self._alone("network", [self._known["xml"]]))

    def decode(self, size: Size) -> dict[str, Any]:
        """See ``bare.decode``."""
        return self._once(f"decode {size}", lambda: self._alone("decode", self.photos(size)))

    def naive(self, paths: Sequence[Path]) -> dict[str, Any]:
        """See ``bare.naive``."""
        return self._once("naive", lambda: self._alone("naive", paths))

    def single(self, size: Size) -> dict[str, Any]:
        """Milliseconds of one client; the service runs."""
        return self._once(f"single {size}", lambda: speeds(self.load(size, clients=1).answered()))

    def crowd(self, size: Size, seconds: float | None = None) -> Load:
        """16 clients who never stop; the service runs."""
        return self.load(size, clients=_CROWD, processes=_CROWD_PROCESSES, seconds=seconds)

    def around(self, size: Size, measure: Callable[[], Measured]) -> tuple[Measured, Yardstick]:
        """What ``measure`` finds, and the yardsticks around it; the service is idle while they are taken."""
        best = self.network()["best"]
        cell = [str(best[name]) for name in ("batch", "streams", "threads")]
        given = [self._known["xml"], *cell, *self.photos(size)]
        before = self._alone("beside", given)
        found = measure()
        return found, Yardstick.between(before, self._alone("beside", given))

    def load(
        self,
        size: Size,
        *,
        clients: int,
        processes: int = 1,
        seconds: float | None = None,
        rate: float | None = None,
        port: int | None = None,
    ) -> Load:
        """Load the service, with photos that no load before has sent. port: of a proxy before it."""
        first = self._numbers
        self._numbers += NUMBERS_A_LOAD
        what = f"{clients} clients" if rate is None else f"{rate:.0f} searches a second"
        seconds = seconds or self.long_s
        self.say(f"{what} for {seconds:.0f} s, {size} photos")
        place = (port or self.installation.port, self.token())
        paths = self.photos(size)
        return run_load(place, paths, clients=clients, processes=processes, seconds=seconds, rate=rate, first=first)

    @property
    def long_s(self) -> float:
        """How long a load lasts that nothing else says of."""
        return _SHORT_S if self.quick else _LONG_S

    @property
    def queue_length(self) -> int:
        """Searches that the service lets in at once, all processes together."""
        threads = int(self.settings.get("PICKTURE_THREADS", Settings.model_fields["threads"].default))
        return self.workers * max(1, threads - SEARCH_PLACES_KEPT_FREE)

    def measure_yardsticks(self, sizes: Sequence[Size]) -> None:
        """Measure the network and decoding now, while the service does not run, and say what came."""
        self.say("the bare network: batch x streams x threads")
        found, best = self.network(), self.network()["best"]
        self.say(
            f"batch 1: {found['batch_1']['p50_ms']} ms; best {best['images_a_second']} images a second "
            f"(batch {best['batch']}, {best['streams']} streams, {best['threads']} threads)"
        )
        for size in sizes:
            self.photos(size)
            decoded = self.decode(size)
            self.say(
                f"decoding {size} ({decoded['bytes'] / 1e6:.2f} MB): Pillow reduced {decoded['pillow']['p50_ms']} ms, "
                f"whole {decoded['full']['p50_ms']} ms, intake {decoded['intake']['p50_ms']} ms"
            )

    def known(self) -> dict[str, Any]:
        """Everything measured once, as plain values."""
        return {name: value for name, value in self._known.items() if isinstance(value, dict)}

    def _once(self, name: str, measure: Callable[[], Any]) -> Any:
        if name not in self._known:
            self._known[name] = measure()
        return self._known[name]

    def _alone(self, what: str, paths: Sequence[Path | str]) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.load.bare", what, *map(str, paths)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchFailed(f"the yardstick {what} failed: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def seconds_to_ready(place: Place) -> float:
    """Start the service on a stopped database; seconds from just before its start to the first 200 of ``/readyz``."""
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                if requests.get(f"{place.installation.url}/readyz", timeout=10).status_code == 200:
                    seen.append(time.monotonic())
                    return
            except requests.RequestException:
                pass
            time.sleep(0.02)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    # Not the moment that the system notes for a process: the boot that it counts from is known to the second only.
    started = time.monotonic()
    try:
        with place.installation.served():
            wait_for(lambda: seen or None, START_S, "the service to be ready")
    finally:
        over.set()
        watcher.join()
    return seen[0] - started


def memory_mb(processes: Sequence[psutil.Process]) -> float:
    """PSS of these processes, megabytes; one that has ended has none."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


def fresh_home(parent: Path, name: str) -> Path:
    """An empty state folder."""
    home = parent / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return home


Scenario = Callable[[Place], Mapping[str, Any]]
