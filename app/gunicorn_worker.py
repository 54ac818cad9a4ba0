"""gunicorn's threaded worker, except that a request gets a thread only when all of it has come.

gunicorn's own gives a thread to every connection that has begun to speak: as many slow uploads as there are threads
hold up everybody else, health checks included. Here the loop that accepts connections also takes the requests in, into
memory, and keeps them to limits of time and memory; threads never wait for a client. ``docs/decisions`` 0023 says why
this is not left to a proxy alone. Tied to the pinned gunicorn: ``tests/app/api/test_slow_clients.py`` notices changes.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any, Final
from uuid import uuid4

from gunicorn.workers.gthread import TConn, ThreadWorker

from app.arriving import Arriving, Checked, Received
from app.config import Settings
from app.error_table import HTTP_CODES, row_for
from app.errors import Overloaded

HEAD_S: Final = 10.0
"""Longest that request line and headers may take from their first byte on."""

LINGER_S: Final = 5.0
"""How long a refused client's bytes are still taken and thrown away, so that it gets to read the answer."""

STALL_S: Final = 60
"""Longest that a thread waits for a client: to read an answer, or for the next part of a catalogue."""

_RECEIVE_BYTES: Final = 2**20
_WAKE_BYTES: Final = 2**18
"""A body wakes the loop when this much more of it has come: hundreds of slow ones cost next to nothing."""
_SWEEP_S: Final = 0.5

_EXPECTS = re.compile(rb"^expect:[ \t]*100-continue[ \t]*\r$", re.IGNORECASE | re.MULTILINE)


class BufferingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module. Needs plain HTTP/1.1: TLS and HTTP/2 are the proxy's."""

    def init_process(self) -> None:
        """Read the limits; runs in the worker's process."""
        settings = Settings.from_env()
        self.longest_body = settings.max_upload_bytes
        self.upload_s = float(settings.upload_seconds)
        self.memory_bytes = settings.upload_memory_bytes
        # Beyond this the parser refuses the head without reading on.
        self.longest_head = self.cfg.limit_request_line + self.cfg.limit_request_fields * (
            self.cfg.limit_request_field_size + 2
        )
        self.arriving: dict[Any, Arriving] = {}
        self.lingering: dict[Any, float] = {}
        self.held: dict[Any, int] = {}
        self.held_bytes = 0
        self.continued: set[Any] = set()
        self.direct: set[Any] = set()
        self.next_sweep = 0.0
        super().init_process()

    def set_accept_enabled(self, enabled: bool) -> None:
        """As gunicorn's; a worker that stops lets new clients be refused at once, instead of leaving them to wait."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()

    # Receiving

    def enqueue_req(self, conn: TConn) -> None:
        """Take the connection's next request in; a thread gets it when it is whole."""
        arriving = Arriving(conn, time.monotonic())
        if conn.parser is None:
            wait = struct.pack("ll", STALL_S, 0)
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                conn.sock.setsockopt(socket.SOL_SOCKET, option, wait)
        else:
            self._keep(arriving, conn.parser.unreader.take_buffered())
        conn.sock.setblocking(False)
        self.arriving[conn] = arriving
        self.poller.register(conn.sock, EVENT_READ, partial(self._receive, arriving))
        if arriving.data:
            self._advance(arriving)

    def _receive(self, arriving: Arriving, sock: socket.socket) -> None:
        try:
            data = sock.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._leave(arriving)
            self._drop(arriving.conn)
            return
        if not arriving.data:
            arriving.began = time.monotonic()
        self._keep(arriving, data)
        self._advance(arriving)

    def _keep(self, arriving: Arriving, data: bytes) -> None:
        arriving.data += data
        self.held[arriving.conn] = len(arriving.data)
        self.held_bytes += len(data)

    def _advance(self, arriving: Arriving) -> None:
        """Hand the request over if it is whole; otherwise see to it that more comes, within the limits."""
        conn = arriving.conn
        if not arriving.head:
            head = arriving.find_head(self.longest_body)
            if head is None:
                if len(arriving.data) > self.longest_head:
                    self._hand_over(arriving)
                return
            if not arriving.direct and not arriving.is_whole(self.longest_body) and _EXPECTS.search(head):
                self.continued.add(conn)
                with suppress(OSError):
                    conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if arriving.direct or arriving.is_whole(self.longest_body):
            self._hand_over(arriving)
            return
        if arriving.total is not None:
            _wake_after(conn.sock, min(arriving.total - len(arriving.data), _WAKE_BYTES))
        self._make_room()

    def _make_room(self) -> None:
        """Keep to the memory: whoever has been at it longest is the slowest, and goes."""
        while self.held_bytes > self.memory_bytes:
            slowest = next((arriving for arriving in self.arriving.values() if arriving.data), None)
            if slowest is None:
                return
            self._refuse(
                slowest,
                503,
                "more is being uploaded than there is memory for, and this upload is the slowest; try again",
            )

    def _hand_over(self, arriving: Arriving) -> None:
        """Give the request a thread; a search for which there is no place is refused before it costs one."""
        if arriving.is_search and self.wsgi.extensions["pickture"].admission.is_full:
            self.wsgi.extensions["pickture_metrics"].refused.inc()
            self._refuse(arriving, 503, "more searches are in work than the service admits; try again in a moment")
            return
        conn = arriving.conn
        self._leave(arriving)
        _wake_after(conn.sock, 1)
        conn.init()
        conn.parser.unreader = Received(conn.sock, arriving.data)
        conn.data_ready = True
        if arriving.direct:
            self.direct.add(conn)
        super().enqueue_req(conn)

    def _leave(self, arriving: Arriving) -> None:
        del self.arriving[arriving.conn]
        self.poller.unregister(arriving.conn.sock)

    # In a thread

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """As gunicorn's; a client that waited to be told to go on is not told twice."""
        if conn in self.continued:
            req._expected_100_continue = False
        req.body.reader = Checked(req.body.reader)
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: TConn, keepalive: Any) -> bool:
        # What a client still sends of a body that nobody wants is thrown away by the loop, not by a thread.
        if conn in self.direct:
            return False
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except OSError:  # the rest of the body is malformed: nobody knows where the next request begins
            return False

    # Ending

    def finish_request(self, conn: TConn, fs: Any) -> None:
        """After the answer: wait for the next request, or let the connection go."""
        self._release(conn)
        if not fs.cancelled() and fs.exception() is None and fs.result():
            conn.parser.unreader.hand_back()
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def _release(self, conn: TConn) -> None:
        self.held_bytes -= self.held.pop(conn, 0)
        self.continued.discard(conn)
        self.direct.discard(conn)

    def _refuse(self, arriving: Arriving, status: int, detail: str) -> None:
        self._leave(arriving)
        metrics = self.wsgi.extensions.get("pickture_metrics")
        if metrics is not None:  # the application never hears of it
            route = ("POST", "/v1/search") if arriving.is_search else ("other", "unmatched")
            metrics.requests.labels(*route, str(status)).inc()
        with suppress(OSError):
            arriving.conn.sock.send(_refusal(status, detail))
        self._release(arriving.conn)
        self._linger(arriving.conn)

    def _linger(self, conn: TConn) -> None:
        """Say that no more comes, and take what the client still sends for a while (RFC 9112, 9.6)."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            _wake_after(conn.sock, 1)
            self.poller.register(conn.sock, EVENT_READ, partial(self._discard, conn))
        except (OSError, ValueError, KeyError):
            self._drop(conn)
        else:
            self.lingering[conn] = time.monotonic() + (LINGER_S if self.alive else 1.0)

    def _discard(self, conn: TConn, sock: socket.socket) -> None:
        try:
            over = not sock.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            over = True
        if over:
            self._end_lingering(conn)

    def _end_lingering(self, conn: TConn) -> None:
        del self.lingering[conn]
        self.poller.unregister(conn.sock)
        self._drop(conn)

    def _drop(self, conn: TConn) -> None:
        self._release(conn)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Keep everybody to their time; gunicorn's loop calls this after every round."""
        super().murder_pending()
        now = time.monotonic()
        if now < self.next_sweep:
            return
        self.next_sweep = now + _SWEEP_S
        for arriving in list(self.arriving.values()):
            waited_s = now - arriving.began
            if not arriving.data:
                if waited_s > self.cfg.keepalive or not self.alive:
                    self._leave(arriving)
                    self._drop(arriving.conn)
            elif waited_s > (self.upload_s if arriving.head else HEAD_S):
                late = f"the request took longer than {self.upload_s:.0f} s to come, or its head than {HEAD_S:.0f} s"
                self._refuse(arriving, 408, late)
        for conn, until in list(self.lingering.items()):
            if now > until:
                self._end_lingering(conn)


def _wake_after(sock: socket.socket, count: int) -> None:
    """Call the socket readable when so many bytes have come, or the client has closed."""
    with suppress(OSError):  # a system that cannot do this wakes up more often
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)


def _refusal(status: int, detail: str) -> bytes:
    """A whole answer, with the body that every failure has. status: 408 or 503."""
    refused = row_for(Overloaded)
    code, title = (HTTP_CODES[status], "Request Timeout") if status == 408 else (Overloaded.code, refused.title)
    request_id = str(uuid4())
    problem = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "instance": f"urn:uuid:{request_id}",
    }
    body = json.dumps(problem).encode()
    reason = {408: "Request Timeout", 503: "Service Unavailable"}[status]
    lines = [
        f"HTTP/1.1 {status} {reason}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        f"X-Request-Id: {request_id}",
        f"Retry-After: {Overloaded.retry_after_s}",
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body
