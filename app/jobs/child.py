"""``python -m app.jobs.child``: the process that does one job, started by the worker.

The worker writes one line, {"job_id", "kind", "payload"}, to standard input and keeps it open: its end means
that the worker is gone, and this process ends at once, so that no two ever work on one job for long. Reports
go to what was standard output; everything that is printed goes to standard error, which is the job's log.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import threading
from types import FrameType
from uuid import UUID

from psycopg2.extensions import TransactionRollbackError
from sqlalchemy.exc import InterfaceError, OperationalError

from app.config import Settings
from app.errors import DatabaseError, DatabaseUnavailable, StorageFull
from app.jobs.kinds import work_of
from app.jobs.reporting import Reporter
from app.wiring import build_container
from models.errors import PicktureError

log = logging.getLogger(__name__)

NICENESS = 10
"""Serving on the same machine goes first."""


def main() -> None:
    """Do the job; exit status 0 where the last line reported how it went, whatever that was."""
    # Half a surrogate pair, in the name of a file say, is then an escape of JSON; the worker knows what to do with it.
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGTERM, _leave)
    os.nice(NICENESS)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    order = json.loads(_first_line())
    threading.Thread(target=_end_with_worker, name="lifeline", daemon=True).start()
    _do(UUID(order["job_id"]), order["kind"], order["payload"], Reporter(reports))


def _do(job_id: UUID, kind: str, payload: dict[str, object], tell: Reporter) -> None:
    try:
        work = work_of(kind)
        container = build_container(Settings.from_env())
        try:
            outcome = work(container, job_id, payload, tell)
        finally:
            container.close()
        tell.done(outcome)
    except (OperationalError, InterfaceError, DatabaseUnavailable) as error:
        log.exception("the job did not get to its end")
        code, words = _database_failure(error)
        tell.failed(code, f"{words}: {error}", again=True)
    except DatabaseError as error:
        tell.failed(error.code, str(error), again=False)
    except PicktureError as error:
        tell.failed(error.code, str(error), again=False)
    except OSError as error:
        log.exception("the job did not get to its end")
        code = StorageFull.code if error.errno in (errno.ENOSPC, errno.EDQUOT) else "internal"
        tell.failed(code, f"{error.strerror or error} ({error.filename or 'no file named'})", again=False)
    except Exception as error:
        log.exception("the job did not get to its end")
        tell.failed("internal", f"{type(error).__name__}: {error}", again=False)


def _database_failure(error: Exception) -> tuple[str, str]:
    """Code and words for what the database did. A deadlock is its answer, not its silence."""
    if isinstance(error, OperationalError) and isinstance(error.orig, TransactionRollbackError):
        return DatabaseError.code, "the database gave this transaction up, as it and another waited for each other"
    return DatabaseUnavailable.code, "the database does not answer"


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM: unwind, so that temporary files go."""
    sys.exit(128 + number)


def _first_line() -> bytes:
    """Read unbuffered: the lifeline below must not hold a lock that the interpreter wants when it ends."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 1 << 20)
        if not chunk:
            sys.exit("the worker went away before it had given its order")
        line += chunk
    return line


def _end_with_worker() -> None:
    while os.read(0, 4096):
        pass
    # The worker made this process the head of a group: what it started goes with it.
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
