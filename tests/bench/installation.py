"""An installation of its own for a measurement: a state folder, a real ``serve``, its processes and its database."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests
from sqlalchemy import URL, Engine, text

from app.store.database import make_engine
from app.store.embedded import DATABASE, PORT, EmbeddedServer

ROOT = Path(__file__).resolve().parents[2]
LOOK_S = 0.2
START_S = 600.0
"""How long a start may take: only what happens after it is measured, and the machine may have other work."""

Seen = TypeVar("Seen")


class BenchFailed(Exception):
    """The measurement cannot go on; the message says what was waited for."""


def wait_for(look: Callable[[], Seen | None], timeout_s: float, words: str) -> Seen:
    """Look until something comes.

    :raise BenchFailed: nothing came in time.
    """
    deadline = time.monotonic() + timeout_s
    while (seen := look()) is None:
        if time.monotonic() > deadline:
            raise BenchFailed(f"waited {timeout_s:.0f} s for {words}")
        time.sleep(LOOK_S)
    return seen


class Installation:
    """A state folder and the service on it.

    home: empty, or left by an earlier use. log: of the service, outside of ``home``, which may be full.
    settings: PICKTURE_* beside the folder and the port; those of the caller's environment are not passed on.
    """

    def __init__(self, home: Path, log: Path, settings: Mapping[str, str]) -> None:
        self.home = home
        self.log = log
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = dict(settings)
        self._process: psutil.Popen | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Of every command and of the service."""
        # Python's compiled modules are kept, as everywhere outside of such measurements.
        left_out = ("PICKTURE_", "PROM", "PYTHONDONTWRITEBYTECODE")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        place = {"PICKTURE_HOME": str(self.home), "PICKTURE_PORT": str(self.port), "PICKTURE_HOST": "127.0.0.1"}
        return {**inherited, **place, **self._settings}

    def run(self, *arguments: str) -> dict[str, Any]:
        """``python -m app ... --json``, to its end; returns what it printed.

        :raise BenchFailed: it failed; with its last words.
        """
        done = subprocess.run(
            [sys.executable, "-m", "app", *arguments, "--json"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchFailed(f"{' '.join(arguments)} failed: {done.stderr[-2000:]}")
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    @contextmanager
    def served(self) -> Iterator[None]:
        """``python -m app serve`` until the block ends; the database is stopped after it.

        :raise BenchFailed: it does not come to life.
        """
        with self.log.open("ab") as output:
            self._process = psutil.Popen(
                [sys.executable, "-m", "app", "serve"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                wait_for(self._alive, START_S, f"the service to answer; see {self.log}")
                yield
            finally:
                self._process.send_signal(signal.SIGTERM)
                try:
                    self._process.wait(60)
                except psutil.TimeoutExpired:
                    self._process.kill()
                self.run("db", "stop")

    def _alive(self) -> bool | None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise BenchFailed(f"the service ended with status {self._process.returncode}; see {self.log}")
        try:
            return requests.get(f"{self.url}/healthz", timeout=10).status_code == 200 or None
        except requests.RequestException:
            return None

    def ready(self) -> bool | None:
        """True where ``/readyz`` answers 200, else None."""
        try:
            return requests.get(f"{self.url}/readyz", timeout=30).status_code == 200 or None
        except requests.RequestException:
            return None

    def job_worker(self) -> psutil.Process | None:
        """The process that runs jobs."""
        return next((child for child in self._children() if "worker" in _words(child)), None)

    def web_processes(self) -> list[psutil.Process]:
        """gunicorn's workers, without the one that watches them."""
        for child in self._children():
            if "gunicorn" in _words(child):
                return list(child.children())
        return []

    def processes(self) -> list[psutil.Process]:
        """Every process of the service, the one that was started first; without the database."""
        assert self._process is not None
        return [self._process, *self._process.children(recursive=True)]

    def database_processes(self) -> list[psutil.Process]:
        """Every process of the database server."""
        first = psutil.Process(self.postmaster())
        return [first, *first.children(recursive=True)]

    def _children(self) -> list[psutil.Process]:
        assert self._process is not None
        return list(self._process.children())

    def postmaster(self) -> int:
        """Number of the database server's first process.

        :raise BenchFailed: none runs.
        """
        running = EmbeddedServer(self.home).running()
        if running is None:
            raise BenchFailed("the database does not run")
        return running.pid

    def database(self) -> Engine:
        """A connection of our own, which never starts a server that died: that is for the service to do.

        :raise BenchFailed: the database does not run.
        """
        running = EmbeddedServer(self.home).running()
        if running is None:
            raise BenchFailed("the database does not run")
        place = {"host": str(running.socket_folder), "port": str(PORT)}
        return make_engine(URL.create("postgresql+psycopg2", username=DATABASE, database=DATABASE, query=place))

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection for one question."""
        engine = self.database()
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def newest_worker(self) -> int:
        """Number under which the worker that came last has registered; 0 where none has."""
        with self.connection() as connection:
            return int(connection.execute(text("SELECT coalesce(max(id), 0) FROM procrastinate_workers")).scalar_one())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
