"""The accidents: a worker killed, a database killed, a file system filled; and how the service comes back from each."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tests.bench.admin import Refused
from tests.bench.disk import free_mb, full
from tests.bench.installation import BenchFailed, Installation, wait_for
from tests.bench.judging import answer_fault, code_of
from tests.bench.town import PATIENCE_S, Accident, Town

BACK_S = 90.0
"""Within this the worker is back after whatever happened, or the promise is broken."""

ADMINISTRATOR = "an administrator's request"
"""How problems of what an administrator asked for begin."""

_FULL_S = 20.0
"""How long the file system stays full; and once more, with the database's log out of room as well."""

_LET_END = 0.35
"""Share of the kills after which the job is left to end before the next one."""

_LOG_STEP_BYTES = 2_000_000


def kill_worker(town: Town) -> Accident:
    """Kill -9 the worker at a random moment of a retraining."""
    job = town.into_retrain(town.draw.random())
    accident = Accident("worker killed", job["step"])
    before = town.place.newest_worker()
    worker = wait_for(town.place.job_worker, BACK_S, "a worker to kill")
    at_work = worker.children(recursive=True)
    began = time.monotonic()
    worker.kill()
    accident.worker_back_s = _until(began, lambda: True if town.place.newest_worker() > before else None)
    accident.resumed_s = _until(began, town.resumed)
    _judge_back(accident)
    left = [process.pid for process in psutil.wait_procs(at_work, timeout=5)[1]]
    accident.problems += [f"processes {left} of the killed worker's job still run"] if left else []
    town.check(accident, began)
    if town.draw.random() < _LET_END:
        _judge_end(accident, town.let_end())
    return accident


def kill_database(town: Town) -> Accident:
    """Kill -9 PostgreSQL's first process in the middle of a retraining."""
    job = town.into_retrain(town.draw.uniform(0.2, 0.8))
    accident = Accident("database killed", job["step"])
    killed = town.place.postmaster()
    began = time.monotonic()
    psutil.Process(killed).kill()
    _come_back(town, accident, began, killed)
    _judge_end(accident, town.let_end())
    accident.resumed_s = round(time.monotonic() - began, 1)
    town.check(accident, began)
    return accident


def fill_disk(town: Town) -> Accident:
    """Fill the state folder's file system in the middle of a retraining, hold it full, and free it again.

    In the second half the database is given so much to write that its own log runs out of room, as it would after
    hours: PostgreSQL then ends, and can only start again once there is room.
    """
    job = town.into_retrain(town.draw.uniform(0.1, 0.5))
    accident = Accident(f"file system full ({free_mb(town.place.home):.0f} MB free before)", job["step"])
    began = time.monotonic()
    told: list[str] = []
    with full(town.place.home):
        _add_until(town, began + _FULL_S, told)
        _exhaust_log(town.place)
        _add_until(town, began + 2 * _FULL_S, told)
    freed = time.monotonic()
    _come_back(town, accident, freed)
    job = town.let_end(may_fail=True)
    accident.resumed_s = round(time.monotonic() - freed, 1)
    if job["state"] == "failed":
        accident.step = f"{accident.step}; the job failed: {job['error']}"
    unclear = {f"{ADMINISTRATOR}: {words}" for words in told if not re.fullmatch("201|503 [a-z_]+", words)}
    accident.problems += sorted(unclear)
    # What failed for want of room must work when it is asked for again.
    town.into_retrain(0.0)
    _judge_end(accident, town.let_end())
    town.check(accident, began)
    accident.answers |= {f"{ADMINISTRATOR} {words}": told.count(words) for words in sorted(set(told))}
    return accident


def _come_back(town: Town, accident: Accident, began: float, killed: int | None = None) -> None:
    """Wait until the service is ready, on another server than the killed one, and a worker has been heard of since.

    :raise BenchFailed: the service never is.
    """

    def look() -> bool | None:
        try:
            return town.place.ready() if town.place.postmaster() != killed else None
        except BenchFailed:
            return None

    accident.ready_s = _until(began, look)
    if accident.ready_s is None:
        raise BenchFailed(f"{accident.what}: the service is not ready after {PATIENCE_S:.0f} s")
    with town.place.connection() as connection:
        now = connection.execute(text("SELECT now()")).scalar_one()
    accident.worker_back_s = _until(began, lambda: _heard_since(town.place, now))
    _judge_back(accident)


def _exhaust_log(place: Installation) -> None:
    """Write to the database's log until it has no room for more."""
    message = text("SELECT pg_logical_emit_message(true, 'chaos', repeat('x', :size))")
    # However it fails is how the service will find it.
    with suppress(SQLAlchemyError, BenchFailed), place.connection() as connection:
        while True:
            connection.execute(message, {"size": _LOG_STEP_BYTES})
            connection.commit()


def _add_until(town: Town, end: float, told: list[str]) -> None:
    """Add photos and accept picks, one a second, and note what was answered: a status and a code."""
    while time.monotonic() < end:
        for ask in (town.add_photos, town.review):
            try:
                ask(1)
            except Refused as refused:
                told.append(_words(refused))
            else:
                told.append("201")
        time.sleep(1.0)


def _words(refused: Refused) -> str:
    answer = refused.answer
    if answer is None:
        return str(refused)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    fault = answer_fault(answer.status_code, headers, answer.content)
    return fault or f"{answer.status_code} {code_of(answer.content)}"


def _heard_since(place: Installation, moment: Any) -> bool | None:
    """True where any worker has given a sign of life after that moment of the database's clock."""
    wanted = text("SELECT EXISTS (SELECT FROM procrastinate_workers WHERE last_heartbeat > :moment)")
    try:
        with place.connection() as connection:
            return bool(connection.execute(wanted, {"moment": moment}).scalar_one()) or None
    except (SQLAlchemyError, BenchFailed):
        return None


def _until(began: float, look: Callable[[], bool | None]) -> float | None:
    """Seconds from ``began`` until ``look`` saw it; None where it never did."""
    try:
        wait_for(look, PATIENCE_S, "")
    except BenchFailed:
        return None
    return round(time.monotonic() - began, 1)


def _judge_back(accident: Accident) -> None:
    if accident.worker_back_s is None or accident.worker_back_s > BACK_S:
        accident.problems.append(f"the worker was back after {accident.worker_back_s} s")


def _judge_end(accident: Accident, job: dict[str, Any]) -> None:
    if job["state"] != "succeeded":
        accident.problems.append(f"the retraining {job['state']}: {job['error']}")
