"""Real gunicorn processes over real HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.app.api.gunicorn_app import SPACE_SETTING
from tests.app.api.world import Shop

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 60.0


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(command: list[str], settings: dict[str, str], home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A service process from its start until it is told to stop: its address, and the process."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PICKTURE_", "PROMETHEUS_"))},
        "PICKTURE_HOME": str(home),
        "PICKTURE_PORT": str(port),
        **settings,
    }
    with (home / "service.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)


def chunks(kind: str) -> Iterator[bytes]:
    """A body of 4 MiB without a length."""
    if kind.startswith("multipart"):
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    for _ in range(64):
        yield b"x" * 65536


def wait_for(url: str, status: int, process: subprocess.Popen[str], home: Path) -> requests.Response:
    """Ask until this status comes."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = requests.get(url, timeout=DEADLINE_S)
        except requests.RequestException:
            answer = None
        if answer is not None and answer.status_code == status:
            return answer
        time.sleep(0.1)
    pytest.fail(f"{url} did not answer {status}:\n{(home / 'service.log').read_text()}")


def test_two_workers_answer_searches_at_once_and_stop_cleanly(
    shop: Shop, service_database_url: str, tmp_path: Path
) -> None:
    command = ["-m", "gunicorn", "--config", "python:app.gunicorn_conf", "tests.app.api.gunicorn_app:make()"]
    settings = {
        "PICKTURE_DATABASE_URL": service_database_url,
        "PICKTURE_WORKERS": "2",
        "PICKTURE_THREADS": "10",
        "PICKTURE_MAX_UPLOAD_BYTES": str(2 * 2**20),
        SPACE_SETTING: str(shop.space_id),
    }
    with running(command, settings, tmp_path) as (url, process):
        wait_for(f"{url}/readyz", 200, process, tmp_path)
        token = requests.post(f"{url}/v1/sessions", json={"app_key": shop.app_key}, timeout=30).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}

        def ask(number: int) -> str:
            sku = ("milk-1", "milk-2", "yoghurt", "shoe", "cap")[number % 5]
            answer = requests.post(f"{url}/v1/search", files={"photo": shop.photos[sku]}, headers=bearer, timeout=30)
            if answer.status_code == 503:
                return str(answer.json()["code"])
            assert answer.status_code == 200, answer.text
            found = answer.json()["candidates"][0]["product"]["sku"]
            return "right" if found == sku else f"{found} for {sku}"

        with ThreadPoolExecutor(8) as pool:
            outcomes = Counter(pool.map(ask, range(40)))
        assert outcomes == {"right": 40}

        for path, kind in (("sessions", "application/json"), ("search", "multipart/form-data; boundary=x")):
            refused = requests.post(
                f"{url}/v1/{path}", data=chunks(kind), headers={"Content-Type": kind, **bearer}, timeout=30
            )
            assert refused.status_code == 413, path

        text = requests.get(f"{url}/metrics", timeout=30).text
        assert 'pickture_searches_total{verdict="known"} 40.0' in text
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    log = (tmp_path / "service.log").read_text()
    assert log.count("Booting worker with pid") == 2
    assert "Traceback" not in log
    assert not list((tmp_path / "run").rglob("tmp/*"))


def test_serve_says_where_it_is_and_why_it_is_not_ready(shop: Shop, service_database_url: str, tmp_path: Path) -> None:
    with running(["-m", "app", "serve"], {"PICKTURE_DATABASE_URL": service_database_url}, tmp_path) as (
        url,
        process,
    ):
        wait_for(f"{url}/healthz", 200, process, tmp_path)
        answer = wait_for(f"{url}/readyz", 503, process, tmp_path)
        assert answer.json()["code"] == "bundle_not_found"
        assert requests.get(f"{url}/docs", timeout=30).status_code == 200
        log = (tmp_path / "service.log").read_text()
        assert f"Pickture answers at {url}" in log
        assert "PICKTURE_HOST=0.0.0.0" in log
