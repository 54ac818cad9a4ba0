"""The town that accidents happen to: the installation, its administrator, its shoppers, and a retraining under way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from tests.bench import checks
from tests.bench.admin import ENDED, Admin, Refused
from tests.bench.installation import LOOK_S, BenchFailed, Installation, wait_for
from tests.bench.shoppers import Journal, Ledger, Phone, Shopper, counted, faults

FOLDS = 2
"""Of each retraining's cross-validation: what comes of it is not measured here."""

_REVIEWED = 3
"""Picks accepted before each retraining, so that reviewed photos are among what it must not lose."""

PATIENCE_S = 600.0
"""How long an accident's end is waited for, so that a broken promise still gets its figure."""


@dataclass(slots=True)
class Accident:
    """One accident and what followed.

    step: of the job when it happened. worker_back_s: until a worker had said so in the database; resumed_s: until the
    job went on, or had ended. ready_s: until the service was ready again; None where it never was not asked.
    looked: whether what must hold was looked at. problems: promises broken. answers: what shoppers were told from the
    accident to its end. Seconds from the accident, or, of the file system, from the moment it was freed.
    """

    what: str
    step: str | None = None
    worker_back_s: float | None = None
    resumed_s: float | None = None
    ready_s: float | None = None
    answers: dict[str, int] = field(default_factory=dict)
    looked: bool = False
    problems: list[str] = field(default_factory=list)


class Town:
    """The installation with its administrator and its shoppers, and the retraining that is always under way.

    photos: that the administrator adds, (sku, photo), endlessly. seed: of every moment.
    """

    def __init__(
        self, place: Installation, admin: Admin, app_key: str, photos: Callable[[], tuple[str, bytes]], seed: int
    ) -> None:
        self.place = place
        self.admin = admin
        self.journal = Journal()
        self.ledger = Ledger()
        self.draw = random.Random(seed)
        self.retrain_s = 0.0
        self.retrains: list[dict[str, Any]] = []
        self._app_key = app_key
        self._photos = photos
        self._job: str | None = None
        self._attempts = 0
        self._shoppers: list[Shopper] = []

    def open_shop(self, photos: Sequence[tuple[bytes, str]], shoppers: int) -> None:
        """Let shoppers in."""
        for number in range(shoppers):
            phone = Phone(self.place.url, self._app_key, self.journal)
            self._shoppers.append(Shopper(phone, photos, self.ledger, number))
        for shopper in self._shoppers:
            shopper.start()

    def close_shop(self) -> None:
        """Send them home."""
        for shopper in self._shoppers:
            shopper.stop()

    def add_photos(self, count: int) -> None:
        """Add photos to the catalogue, and note those that were acknowledged. :raise Refused: one was not taken."""
        for _ in range(count):
            sku, photo = self._photos()
            self.ledger.try_photo(photo)
            for content_hash in self.admin.add_photos(sku, [photo]):
                self.ledger.photo(sku, content_hash)

    def review(self, count: int) -> None:
        """Accept some of the picks that wait, and note those that were acknowledged.

        What the limits of the review forbid is discarded. :raise Refused: the service could not do it.
        """
        waiting = self.admin.call("GET", "/v1/admin/review", params={"state": "undecided", "limit": count})
        for item in waiting["items"]:
            sku = item["pick"]["sku"]
            try:
                self.admin.call("POST", f"/v1/admin/review/{item['id']}", json={"action": "accept"})
            except Refused as refused:
                if refused.answer is None or refused.answer.status_code != 409:
                    raise
                self.admin.call("POST", f"/v1/admin/review/{item['id']}", json={"action": "discard"})
            else:
                self.ledger.review(item["id"], sku)

    def measure_retrain(self) -> None:
        """Retrain once in peace; its length is what the moments of the kills are drawn from."""
        self._ask()
        job = self.admin.ended(self.job_id())
        self._ended(job)
        if job["state"] != "succeeded":
            raise BenchFailed(f"a retraining in peace {job['state']}: {job['error']}; {job['log'][-5:]}")
        self.retrain_s = _seconds(job)

    @property
    def is_busy(self) -> bool:
        """Whether a retraining is under way."""
        return self._job is not None

    def job_id(self) -> str:
        """The retraining under way. :raise BenchFailed: none is."""
        if self._job is None:
            raise BenchFailed("no retraining is under way")
        return self._job

    def into_retrain(self, share: float) -> dict[str, Any]:
        """Wait until an attempt at a retraining has run for a share of its length; asks for one where none is.

        Where it ends before, the next one is taken. Returns the job at that moment.
        """
        while True:
            if self._job is None:
                self._ask()
            job = wait_for(self._attempt_runs, PATIENCE_S, "an attempt at the retraining to begin")
            until = time.monotonic() + share * self.retrain_s
            while job["state"] == "running" and time.monotonic() < until:
                time.sleep(LOOK_S)
                job = self.admin.job(self.job_id())
            if job["state"] == "running":
                self._attempts = job["attempts"]
                return job
            self._ended(job)

    def resumed(self) -> bool | None:
        """True once the retraining has begun again, or ended; else None."""
        try:
            job = self.admin.call("GET", f"/v1/admin/jobs/{self.job_id()}")
        except Refused:
            return None
        return True if job["attempts"] > self._attempts or job["state"] in ENDED else None

    def let_end(self, *, may_fail: bool = False) -> dict[str, Any]:
        """Wait for the end of the retraining under way. may_fail: what happened to it excuses that."""
        job = self.admin.ended(self.job_id())
        self._ended(job, may_fail=may_fail)
        return job

    def _ask(self) -> None:
        self.add_photos(self.draw.randint(1, 3))
        self.review(_REVIEWED)
        self._job = self.admin.retrain(folds=FOLDS)
        self._attempts = 0

    def _attempt_runs(self) -> dict[str, Any] | None:
        job = self.admin.job(self.job_id())
        return (
            job if job["state"] in ENDED or (job["state"] == "running" and job["attempts"] > self._attempts) else None
        )

    def _ended(self, job: dict[str, Any], *, may_fail: bool = False) -> None:
        result = job["result"] or {}
        self.retrains.append(
            {
                "state": job["state"],
                "attempts": job["attempts"],
                "error": job["error"],
                "may_fail": may_fail,
                "decision": result.get("decision"),
                "bottlenecks": result.get("bottlenecks"),
            }
        )
        self._job = None

    def check(self, accident: Accident, began: float) -> None:
        """What must hold after every accident; what does not joins its problems."""
        said = self.ledger.now()
        entries = self.journal.since(began)
        accident.answers = counted(entries)
        accident.problems += faults(entries)
        files = checks.media_files(self.place.home)
        try:
            facts = checks.facts_of(self.place)
        except (SQLAlchemyError, BenchFailed) as error:
            accident.problems.append(f"the database does not answer: {error}")
            return
        accident.looked = True
        fault = checks.champion_fault(self.place.home, facts)
        accident.problems += [] if fault is None else [f"champion: {fault}"]
        accident.problems += checks.half_bundles(self.place.home, facts)
        accident.problems += checks.losses(said, facts)
        accident.problems += checks.media_faults(self.place.home, facts)
        accident.problems += checks.strays(files, said, facts)


def _seconds(job: dict[str, Any]) -> float:
    begun, ended = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return (ended - begun).total_seconds()
