"""What ``serve`` runs: gunicorn, and a worker beside it that is started again when it ends."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

log = logging.getLogger(__name__)

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
HEALTHY_S = 60.0
"""A worker that lived so long is started again without delay."""

STOP_S = 40.0
"""How long a worker may take to stop; ending a job's process takes ten seconds at most."""

_PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_PR_SET_PDEATHSIG = 1


def supervise(server: Sequence[str], worker: Sequence[str]) -> int:
    """Run both until ``server`` ends or a signal says so; returns the server's exit status.

    Signals that gunicorn understands are passed on to it. Should this process be killed, both children end: the
    worker because its standard input does, the server (on Linux) because the kernel tells it.
    """
    main = subprocess.Popen(server, preexec_fn=_end_with_parent)  # noqa: PLW1509  one thread, one system call
    keeper = WorkerKeeper(worker)
    for number in (*_PASSED_ON, *_ENDING):
        signal.signal(number, _passer(main, keeper))
    keeper.start()
    status = main.wait()
    keeper.stop()
    return status if status >= 0 else 128 - status


class WorkerKeeper:
    """Keeps one process alive from a thread of its own. Between two starts it waits, longer each time."""

    def __init__(self, command: Sequence[str], first_wait_s: float = FIRST_WAIT_S) -> None:
        self._command = list(command)
        self._first_wait_s = first_wait_s
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="worker-keeper", daemon=True)

    def start(self) -> None:
        """Start the process, and go on starting it."""
        self._thread.start()

    def tell_to_stop(self) -> None:
        """Ask the process to stop and start no other; returns at once, and may be called from a signal handler."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def stop(self) -> None:
        """``tell_to_stop``, and wait for it; what takes too long is killed."""
        self.tell_to_stop()
        process = self._process
        if process is not None:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(STOP_S)

    def _keep(self) -> None:
        wait_s = self._first_wait_s
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                what = f"the worker ended with status {self._run_once()}"
            except OSError as error:  # no memory or no process is left at this moment
                what = f"the worker cannot be started ({error})"
            if self._stopping.is_set():
                return
            if time.monotonic() - began >= HEALTHY_S:
                wait_s = self._first_wait_s
            log.warning("%s; the next one starts in %.0f s", what, wait_s)
            self._stopping.wait(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    def _run_once(self) -> int:
        """From start to end. :raise OSError: the system cannot start it."""
        with subprocess.Popen(self._command, stdin=subprocess.PIPE) as process:
            self._process = process
            if self._stopping.is_set():  # told between the last look and the start
                process.terminate()
            return process.wait()


def _passer(main: subprocess.Popen[bytes], keeper: WorkerKeeper) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        if number in _ENDING:
            keeper.tell_to_stop()
        if main.poll() is None:
            main.send_signal(number)

    return handle


def _end_with_parent() -> None:
    """In the server's process, before it becomes gunicorn: end when the parent does, however that ends."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
