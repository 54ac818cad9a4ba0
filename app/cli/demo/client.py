"""What the shop's app does, over HTTP: open a session, search, pick, ask for recommendations."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from app.config import Settings
from models.errors import PicktureError

_START_TIMEOUT_S = 90.0
_REQUEST_TIMEOUT_S = 30.0


class DemoFailed(PicktureError):
    """The service did not do what the demonstration asked of it."""

    code = "demo_failed"


@contextmanager
def served(settings: Settings, log: Path) -> Iterator[str]:
    """Run ``python -m app serve`` on a free port until the block ends; yields its base URL once ready.

    :raise DemoFailed: it did not become ready; the message names its log.
    """
    port = _free_port()
    environment = {**os.environ, "PICKTURE_HOME": str(settings.home), "PICKTURE_PORT": str(port)}
    environment["PICKTURE_HOST"] = "127.0.0.1"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class ShopApp:
    """A phone with the shop's app. Each call raises ``DemoFailed`` with the service's own words on an error."""

    def __init__(self, url: str, app_key: str) -> None:
        self._url = url
        self._http = requests.Session()
        token = self._call("POST", "/v1/sessions", json={"app_key": app_key})["token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def search(self, photo: Path) -> dict[str, Any]:
        """The answer to one photo."""
        return self._call("POST", "/v1/search", files={"photo": (photo.name, photo.read_bytes(), "image/jpeg")})

    def pick(self, query_id: str, sku: str) -> None:
        """Tell which candidate it was."""
        self._call("POST", "/v1/feedback", json={"query_id": query_id, "outcome": "picked", "sku": sku})

    def recommend(self, **choices: Any) -> dict[str, Any]:
        """Products like a picked one, within the shopper's choices."""
        return self._call("POST", "/v1/recommendations", json=choices)

    def picture(self, path: str) -> bytes:
        """A product's thumbnail."""
        answer = self._http.get(self._url + path, timeout=_REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        return answer.content

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        answer = self._http.request(method, self._url + path, timeout=_REQUEST_TIMEOUT_S, **arguments)
        if answer.status_code >= 400:
            raise DemoFailed(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        result: dict[str, Any] = answer.json() if answer.content else {}
        return result


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if requests.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except (requests.ConnectionError, requests.Timeout):
            pass  # not listening yet, or too busy starting to answer
        time.sleep(0.25)
    raise DemoFailed(f"the service did not become ready within {_START_TIMEOUT_S:.0f} s; see {log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
