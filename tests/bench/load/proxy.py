"""nginx before the service, with the configuration that ``deploy/`` ships."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.installation import ROOT
from tests.bench.load.place import Place

SHIPPED = ROOT / "deploy" / "nginx" / "pickture.conf"
_START_S = 10.0

_MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
worker_rlimit_nofile 4096;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {site};
}}
"""


class NoProxy(Exception):
    """There is no nginx here, or it refused the configuration; the message says which."""


def site_for(port: int, service_port: int) -> str:
    """The shipped configuration, for these ports on this machine, without TLS and without the limit on connections.

    Here all phones come from one address; there they do not.
    """
    text = SHIPPED.read_text("utf-8")
    text = re.sub(r"^\s*limit_conn .*;\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*(ssl_|http2 ).*;\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"listen \[::\]:\d+[^;]*;", "", text)
    text = re.sub(r"listen 443[^;]*;", f"listen 127.0.0.1:{port};", text)
    text = re.sub(r"server \{\n    listen 80;.*?\n\}\n", "", text, flags=re.DOTALL)
    return re.sub(r"server pickture:8000", f"server 127.0.0.1:{service_port}", text)


def write_configuration(folder: Path, port: int, service_port: int) -> None:
    """``nginx.conf`` and what it includes, with everything that nginx writes in this folder."""
    (folder / "site.conf").write_text(site_for(port, service_port))
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, site=folder / "site.conf"))


@contextmanager
def proxied(place: Place) -> Iterator[int]:
    """The port of an nginx before the service, until the block ends.

    :raise NoProxy: none can be had here.
    """
    program = shutil.which("nginx")
    if program is None:
        raise NoProxy("no nginx in PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pickture-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers run as another user
        write_configuration(folder, port, place.installation.port)
        command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            _wait(port, process, folder / "error.log")
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            told = log.read_text("utf-8")[-300:].strip() if log.is_file() else "it says nothing"
            raise NoProxy(f"nginx ended: {told}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise NoProxy("nginx does not listen")
