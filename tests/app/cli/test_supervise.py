"""``serve`` keeps a worker alive beside gunicorn, and takes it along when it ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from app.cli.supervise import WorkerKeeper

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 60.0

_SUPERVISE = """
import sys
from app.cli.supervise import supervise
sys.exit(supervise(sys.argv[1:4], sys.argv[4:7]))
"""
# Each writes its number to a file and waits: the server for a signal, the worker for the end of its input too.
_SERVER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
signal.signal(signal.SIGHUP, lambda *_: open("hup", "w").close())
open("server", "w").write(str(os.getpid()))
while True: time.sleep(0.02)
"""
_WORKER = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (open("told", "w").close(), sys.exit(0)))
open("worker", "a").write(f"{os.getpid()}\\n")
sys.stdin.read()
"""


def until(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def supervised(tmp_path: Path) -> subprocess.Popen[bytes]:
    """The supervisor of a small server and a small worker, both at work."""
    command = [sys.executable, "-c", _SUPERVISE, *(sys.executable, "-c", _SERVER), *(sys.executable, "-c", _WORKER)]
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    until(lambda: (tmp_path / "server").exists() and workers(tmp_path), "both start")
    return process


def workers(folder: Path) -> list[int]:
    """Numbers of the worker processes so far."""
    file = folder / "worker"
    return [int(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []


def test_a_killed_worker_is_started_again_and_signals_reach_both(
    supervised: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    os.kill(workers(tmp_path)[0], signal.SIGKILL)
    until(lambda: len(workers(tmp_path)) == 2, "the next worker starts")
    supervised.send_signal(signal.SIGHUP)
    until((tmp_path / "hup").exists, "the server gets its signals")
    supervised.terminate()
    assert supervised.wait(DEADLINE_S) == 7, "the exit status is the server's"
    assert (tmp_path / "told").exists()
    assert not any(psutil.pid_exists(pid) for pid in workers(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the server")
def test_when_the_supervisor_is_killed_both_end(supervised: subprocess.Popen[bytes], tmp_path: Path) -> None:
    both = [psutil.Process(int((tmp_path / "server").read_text())), psutil.Process(workers(tmp_path)[0])]
    supervised.kill()
    supervised.wait()
    assert not psutil.wait_procs(both, timeout=DEADLINE_S)[1]


def test_a_worker_that_ends_at_once_is_started_less_and_less_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "starts"
    keeper = WorkerKeeper(["sh", "-c", f"echo x >> {file}; exit 3"], first_wait_s=0.05)
    keeper.start()
    until(lambda: file.exists() and len(file.read_text()) >= 6, "it is started again and again")
    keeper.stop()
    assert "ended with status 3" in caplog.messages[0]
    count = len(file.read_text())
    keeper.stop()
    assert len(file.read_text()) == count


def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    program, file = tmp_path / "worker.sh", tmp_path / "started"
    keeper = WorkerKeeper([str(program)], first_wait_s=0.05)
    keeper.start()
    until(lambda: len(caplog.messages) >= 2, "what happened is told, again and again")
    assert "the worker cannot be started" in caplog.messages[0] and "worker.sh" in caplog.messages[0]
    program.with_suffix(".new").write_text(f"#!/bin/sh\necho x >> {file}\n")
    program.with_suffix(".new").chmod(0o755)
    program.with_suffix(".new").rename(program)
    until(file.exists, "it is started once that is possible")
    keeper.stop()
