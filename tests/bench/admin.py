"""What an administrator does over HTTP, for the measurements."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import requests

from tests.bench.installation import BenchFailed, Installation, wait_for

TIMEOUT_S = 120.0
ENDED = ("succeeded", "failed", "cancelled")


class Refused(Exception):
    """An answer of 400 or above, or none at all (status 0). answer: as it came."""

    def __init__(self, words: str, answer: requests.Response | None) -> None:
        super().__init__(words)
        self.answer = answer


class Admin:
    """An administrator with a key; opens a connection a request, as a phone on the move would."""

    def __init__(self, place: Installation, key: str) -> None:
        self.place = place
        self.key = key
        self._headers = {"Authorization": f"Bearer {key}", "Connection": "close"}

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """The answer's JSON. :raise Refused: it was an error, or none came."""
        headers = {**self._headers, **arguments.pop("headers", {})}
        try:
            answer = requests.request(method, self.place.url + path, headers=headers, timeout=TIMEOUT_S, **arguments)
        except requests.RequestException as error:
            raise Refused(f"{method} {path}: {error}", None) from error
        if answer.status_code >= 400:
            raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:300]}", answer)
        return answer.json() if answer.content else None

    def patiently(self, method: str, path: str, timeout_s: float = TIMEOUT_S, **arguments: Any) -> Any:
        """As ``call``, again and again while the service says 503.

        :raise Refused: another error. :raise BenchFailed: it goes on and on.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self.call(method, path, **arguments)
            except Refused as refused:
                if refused.answer is not None and refused.answer.status_code != 503:
                    raise
                if time.monotonic() > deadline:
                    raise BenchFailed(f"for {timeout_s:.0f} s: {refused}") from refused
            time.sleep(0.5)

    def put_product(self, sku: str, **columns: Any) -> None:
        """Create a product."""
        self.call("PUT", f"/v1/admin/products/{sku}", json=columns, headers={"If-None-Match": "*"})

    def add_photos(self, sku: str, photos: list[bytes]) -> list[str]:
        """Add photos of a product; returns the content hashes that were new."""
        files = [("photo", (f"{place}.jpg", photo, "image/jpeg")) for place, photo in enumerate(photos)]
        added: list[str] = self.call("POST", f"/v1/admin/products/{sku}/images", files=files)["added"]
        return added

    def delete_product(self, sku: str) -> None:
        """Delete a product."""
        self.call("DELETE", f"/v1/admin/products/{sku}")

    def retrain(self, **how: Any) -> str:
        """Ask for a retraining; returns the job's id. However often it has to be asked for, it is one job."""
        key = {"Idempotency-Key": str(uuid4())}
        return str(self.patiently("POST", "/v1/admin/retrain", json=how, headers=key)["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """A job, once the service can tell."""
        shown: dict[str, Any] = self.patiently("GET", f"/v1/admin/jobs/{job_id}")
        return shown

    def ended(self, job_id: str, timeout_s: float = 3600.0) -> dict[str, Any]:
        """A job, once it has ended."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] in ENDED else None

        return wait_for(look, timeout_s, f"the end of job {job_id}")

    def succeeded(self, job_id: str, timeout_s: float = 3600.0) -> dict[str, Any]:
        """The result of a job. :raise BenchFailed: it did not succeed."""
        job = self.ended(job_id, timeout_s)
        if job["state"] != "succeeded":
            raise BenchFailed(f"job {job_id} ({job['kind']}) {job['state']}: {job['error']}; {job['log'][-5:]}")
        result: dict[str, Any] = job["result"]
        return result

    def models(self) -> list[dict[str, Any]]:
        """Every version."""
        found: list[dict[str, Any]] = self.patiently("GET", "/v1/admin/models")["models"]
        return found

    def champion(self) -> str:
        """The version that is served. :raise BenchFailed: none is."""
        for model in self.models():
            if model["state"] == "champion":
                return str(model["version"])
        raise BenchFailed("no version is the champion")

    def promote(self, version: str) -> None:
        """Serve a version."""
        self.patiently("POST", f"/v1/admin/models/{version}/promote")
