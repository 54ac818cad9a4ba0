"""Real gunicorn processes over real HTTP."""

from __future__ import annotations

import json
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

import psutil
import pytest
import requests
from sqlalchemy import Engine, text

from tests.app.api.admin_world import scene
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


def live_product(url: str, bearer: dict[str, str], admin: dict[str, str]) -> None:
    """Add a product, find it by another photo in whichever worker answers, delete it, and find it no more."""
    place = f"{url}/v1/admin/products/live"
    assert requests.put(place, json={"name": "Live"}, headers=admin, timeout=30).status_code == 201
    photos = [("photo", (f"{shift}.jpg", scene(7, shift))) for shift in (0, 6)]
    added = requests.post(f"{place}/images", files=photos, headers=admin, timeout=30)
    assert added.status_code == 201, added.text

    def first(_: int) -> str:
        answer = requests.post(f"{url}/v1/search", files={"photo": scene(7, 3)}, headers=bearer, timeout=30)
        label: str = answer.json()["candidates"][0]["label"]
        return label

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(first, range(16))) == {"live"}
        assert requests.delete(place, headers=admin, timeout=30).status_code == 204
        assert "live" not in set(pool.map(first, range(16)))


def metric_files(server: psutil.Process) -> list[Path]:
    """The files of metrics that the workers of a server have mapped."""
    regions = [region for worker in server.children() for region in worker.memory_maps()]
    return [Path(region.path) for region in regions if region.path.endswith(".db")]


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

        live_product(url, bearer, {"Authorization": f"Bearer {shop.admin_key}"})

        for path, kind in (("sessions", "application/json"), ("search", "multipart/form-data; boundary=x")):
            refused = requests.post(
                f"{url}/v1/{path}", data=chunks(kind), headers={"Content-Type": kind, **bearer}, timeout=30
            )
            assert refused.status_code == 413, path

        text = requests.get(f"{url}/metrics", timeout=30).text
        assert 'pickture_searches_total{verdict="known"} 72.0' in text
        mapped = metric_files(psutil.Process(process.pid))
        assert mapped
        assert not any(path.is_relative_to(tmp_path) for path in mapped), "a full state folder must not end a worker"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    log = (tmp_path / "service.log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]  # whichever process wrote them
    audited = [line for line in lines if "audit" in line]
    assert [(line["action"].split()[0], line["status"]) for line in audited] == [
        ("PUT", 201),
        ("POST", 201),
        ("DELETE", 204),
    ]
    told = [line.get("message", "") for line in lines]
    assert sum(message.startswith("Booting worker with pid") for message in told) == 2
    assert any(message.startswith("Listening at") for message in told), "gunicorn's first process too"
    assert "Traceback" not in log
    assert not list((tmp_path / "run").rglob("tmp/*"))
    assert not any(path.parent.exists() for path in mapped)


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; empty for one that has ended, reaped or not."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_serve_says_where_it_is_and_why_it_is_not_ready(
    shop: Shop, service_engine: Engine, service_database_url: str, tmp_path: Path
) -> None:
    def newest() -> int:
        """The number of the worker that registered last."""
        with service_engine.connect() as connection:
            return int(connection.execute(text("SELECT coalesce(max(id), 0) FROM procrastinate_workers")).scalar_one())

    before = newest()
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
        bearer = {"Authorization": f"Bearer {shop.admin_key}"}

        def worker_after(number: int) -> psutil.Process:
            """The worker, once one has registered after that number."""
            deadline = time.monotonic() + DEADLINE_S
            while time.monotonic() < deadline:
                found = [child for child in psutil.Process(process.pid).children() if "worker" in words_of(child)]
                if found and newest() > number:
                    return found[0]
                time.sleep(0.1)
            pytest.fail((tmp_path / "service.log").read_text())

        worker = worker_after(before)
        assert requests.get(f"{url}/v1/admin/jobs", headers=bearer, timeout=30).json()["workers"] >= 1
        registered = newest()
        worker.kill()
        assert worker_after(registered).pid != worker.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    log = (tmp_path / "service.log").read_text()
    told = [json.loads(line) for line in log.splitlines() if line.startswith('{"at"')]
    assert any(line.get("route") == "/docs" and len(line["request_id"]) == 36 for line in told)
    assert "the worker ended with status -9" in log
    assert "the worker has stopped" in log
    assert "Traceback" not in log


def test_serve_without_a_worker_is_gunicorn_itself(shop: Shop, service_database_url: str, tmp_path: Path) -> None:
    settings = {"PICKTURE_DATABASE_URL": service_database_url, "PICKTURE_START_WORKER": "false"}
    with running(["-m", "app", "serve"], settings, tmp_path) as (url, process):
        wait_for(f"{url}/healthz", 200, process, tmp_path)
        assert "gunicorn" in psutil.Process(process.pid).cmdline()
        assert not [child for child in psutil.Process(process.pid).children() if "worker" in words_of(child)]
