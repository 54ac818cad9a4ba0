"""gunicorn's configuration, read from the same settings as everything else.

Nothing heavy is imported here: this module runs in the parent, and TensorFlow and OpenVINO do not survive
a fork. The application is made in each worker (``preload_app`` is off), and the model is loaded there before
the worker takes its first connection: while one warms up, the others answer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from app.config import Settings
from app.logs import gunicorn_logging

MULTIPROCESS_SETTING = "PROMETHEUS_MULTIPROC_DIR"

_MEMORY = Path("/dev/shm")  # noqa: S108  below it a private folder

_settings = Settings.from_env()
_run = _settings.home / "run" / f"serve-{_settings.port}"


def _metrics_folder() -> Path:
    """Where the metrics lie: in memory, where the system offers that.

    Their files are mapped. On a disk that is full, the kernel ends whoever writes to a page without room (SIGBUS).
    """
    if not os.access(_MEMORY, os.W_OK):
        return _run / "metrics"
    return _MEMORY / f"pickture-{os.getuid()}-{hashlib.sha256(os.fsencode(_run)).hexdigest()[:16]}"


def _fresh_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


wsgi_app = "app.factory:served_app()"
bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
worker_class = "app.gunicorn_worker.BufferingWorker"
workers = _settings.workers
threads = _settings.threads
preload_app = False
timeout = 120
graceful_timeout = 30
keepalive = 5
backlog = 128
limit_request_line = 4094
limit_request_fields = 50
limit_request_field_size = 8190
control_socket_disable = True
errorlog = "-"
logconfig_dict = gunicorn_logging(_settings.log_level, _settings.log_format)
accesslog = None
"""No access log by default: addresses and what was searched for are nobody's business but the shopper's."""


def on_starting(server: Any) -> None:
    """Make the folders of this run; the workers inherit where the metrics lie."""
    temporary = _fresh_folder(_run / "tmp")
    server.cfg.set("tmp_upload_dir", str(temporary))
    server.cfg.set("worker_tmp_dir", str(temporary))
    os.environ["TMPDIR"] = str(temporary)
    os.environ[MULTIPROCESS_SETTING] = str(_fresh_folder(_metrics_folder()))


def on_exit(server: Any) -> None:
    """Give the memory of the metrics back, unless another server has taken over (USR2)."""
    if not server.reexec_pid:
        shutil.rmtree(_metrics_folder(), ignore_errors=True)


def post_worker_init(worker: Any) -> None:
    """Start decoders and model before this worker takes connections; later models are loaded beside the requests."""
    worker.wsgi.extensions["pickture"].start()


def child_exit(server: Any, worker: Any) -> None:
    """Take a dead worker's gauges out of the sums."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def worker_exit(server: Any, worker: Any) -> None:
    """Stop the watcher, end the decoders and give the database connections back."""
    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.extensions["pickture"].close()
