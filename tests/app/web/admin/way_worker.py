"""A worker whose trainings are small: ``python -m tests.app.web.admin.way_worker``; each job runs this module too.

Everything is as it is in a shop, except that the verdict learns the far world from four pictures instead of hundreds.
"""

from __future__ import annotations

import logging
import sys

from app.config import Settings
from app.jobs import child, process
from app.jobs.kinds import Work, work_of
from app.jobs.worker import run_worker
from tests.app.jobs.quick_worker import TIMES


def small_work_of(kind: str) -> Work:
    """The work of a kind, with less to draw."""
    if kind in ("train", "retrain"):
        from app.jobs import training

        training.FAR_FOREIGN_PHOTOS = 4  # type: ignore[misc]
    return work_of(kind)


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        process.CHILD = __spec__.name  # type: ignore[misc]
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        run_worker(Settings.from_env(), TIMES)
    else:
        child.work_of = small_work_of
        child.main()
