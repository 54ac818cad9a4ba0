"""A worker whose heart beats fast: ``python -m tests.app.jobs.quick_worker``."""

from __future__ import annotations

import logging
import sys

from app.config import Settings
from app.jobs.worker import WorkerTimes, run_worker

TIMES = WorkerTimes(heartbeat_s=0.3, stalled_s=1.5, round_s=0.3)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    run_worker(Settings.from_env(), TIMES)
