"""``python -m app worker``: run jobs."""

from __future__ import annotations

import logging
import os
import signal
import threading

import click

from app.config import Settings
from app.jobs.worker import run_worker
from app.logs import to_standard_error


@click.command()
@click.option("--with-parent", is_flag=True, help="Stop when standard input ends; `serve` starts its worker so.")
def command(with_parent: bool) -> None:
    """Run jobs (imports, bottlenecks, trainings) that were asked for over HTTP, until SIGTERM.

    `serve` starts one by itself unless PICKTURE_START_WORKER is false. Any number may run, each with the same
    PICKTURE_HOME and database.
    """
    settings = Settings.from_env()
    to_standard_error(settings.log_level, settings.log_format)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # the worker says itself when the database is away
    if with_parent:
        threading.Thread(target=_stop_with_parent, name="lifeline", daemon=True).start()
    run_worker(settings)


def _stop_with_parent() -> None:
    while os.read(0, 4096):  # unbuffered: no lock that the interpreter would want when it ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)
