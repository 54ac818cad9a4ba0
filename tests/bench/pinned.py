"""A connection to one particular process of the service: gunicorn's workers share a port, and one accepts each."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import requests

from tests.bench.installation import BenchFailed, Installation

_TRIES = 400
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Pinned:
    """An answer of that process. at: ``time.monotonic`` of its start."""

    at: float
    seconds: float
    status: int
    body: Any


class Line:
    """Requests that one process answers. Not for several threads.

    The kernel tells whose connection it is; the service closes an idle one after seconds, so it may be made anew for
    each request, as often as it takes to meet that process.
    """

    def __init__(self, place: Installation, pid: int, headers: Mapping[str, str]) -> None:
        self.pid = pid
        self._port = place.port
        self._headers = dict(headers)
        self._process = psutil.Process(pid)
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> Pinned:
        """GET a path."""
        return self._send(requests.Request("GET", f"http://127.0.0.1:{self._port}{path}"))

    def search(self, photo: bytes) -> Pinned:
        """Search with a photo."""
        wanted = requests.Request(
            "POST", f"http://127.0.0.1:{self._port}/v1/search", files={"photo": ("a.jpg", photo, "image/jpeg")}
        )
        return self._send(wanted)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, wanted: requests.Request) -> Pinned:
        made = wanted.prepare()
        headers = {**made.headers, **self._headers}
        self._reach()
        assert self._connection is not None
        at, began = time.monotonic(), time.perf_counter()
        self._connection.request(str(made.method), made.path_url, made.body, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        return Pinned(at, time.perf_counter() - began, answer.status, json.loads(body) if body else None)

    def _reach(self) -> None:
        """Have a connection that the process has accepted and that is still open.

        :raise BenchFailed: it never accepts one.
        """
        if self._connection is not None and self._ask_alive(self._connection):
            return
        others = []
        try:
            for _ in range(_TRIES):
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
                if self._ask_alive(connection) and self._is_ours(connection):
                    self._connection = connection
                    return
                others.append(connection)  # kept open: who has many takes fewer of the next
        finally:
            for connection in others:
                connection.close()
        raise BenchFailed(f"process {self.pid} accepted none of {_TRIES} connections")

    @staticmethod
    def _ask_alive(connection: http.client.HTTPConnection) -> bool:
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
        except (http.client.HTTPException, OSError):
            connection.close()
            return False
        return answer.status == 200

    def _is_ours(self, connection: http.client.HTTPConnection) -> bool:
        port = connection.sock.getsockname()[1]
        return any(c.raddr and c.raddr.port == port for c in self._process.net_connections("tcp"))


def lines(place: Installation, bearer: str) -> list[Line]:
    """A line to each process of the service. bearer: a session's token or an admin key."""
    headers = {"Authorization": f"Bearer {bearer}"}
    return [Line(place, process.pid, headers) for process in place.web_processes()]
