"""Shoppers who never stop, what they were answered, and what the service has acknowledged."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
import requests

from tests.bench.drawn import another
from tests.bench.installation import BenchFailed
from tests.bench.judging import answer_fault, code_of

_TIMEOUT_S = 60.0
_REST_S = 0.5
"""Between two requests of a shopper: the machine is to train as well."""

_SICK_REST_S = 0.5
"""After an error."""

_TRIES = 5
_WAIT_S = 3.0
"""Between two tries of a patient shopper."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and its answer.

    at: ``time.monotonic`` of its start. seconds: until the answer was whole. status: 0 where none came. code: of an
    error. fault: see ``answer_fault``. version: of the model that answered a search.
    """

    what: str
    at: float
    seconds: float
    status: int
    code: str | None
    fault: str | None
    version: str | None


@dataclass(slots=True)
class Journal:
    """Every request of every shopper. Threads share it."""

    entries: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: Asked) -> None:
        """Note a request."""
        with self._lock:
            self.entries.append(entry)

    def since(self, at: float) -> list[Asked]:
        """Requests that began at ``at`` or later."""
        with self._lock:
            return [entry for entry in self.entries if entry.at >= at]


def counted(entries: Sequence[Asked]) -> dict[str, int]:
    """How often which answer came: ``search 200``, ``search 503 database_unavailable``."""
    return dict(Counter(f"{e.what} {e.status or 'no answer'}{f' {e.code}' if e.code else ''}" for e in entries))


def faults(entries: Sequence[Asked]) -> list[str]:
    """What no app could make sense of, each kind once, with its number."""
    found = Counter(f"{entry.what}: {entry.fault}" for entry in entries if entry.fault is not None)
    return [f"{count} x {words}" for words, count in found.most_common()]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What answers of 2xx have promised to keep.

    photos: (sku, content hash) of the catalogue. picks: query id -> sku. kept: query id -> content hash.
    reviewed: query id -> sku that its photo was accepted as. tried: content hashes of photos that were sent for the
    catalogue, whatever the answer: their files may be there, which is promised to nobody.
    """

    photos: frozenset[tuple[str, str]]
    picks: dict[str, str]
    kept: dict[str, str]
    reviewed: dict[str, str] = field(default_factory=dict)
    tried: frozenset[str] = frozenset()


class Ledger:
    """Collects what was acknowledged. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._photos: set[tuple[str, str]] = set()
        self._picks: dict[str, str] = {}
        self._kept: dict[str, str] = {}
        self._reviewed: dict[str, str] = {}
        self._tried: set[str] = set()

    def photo(self, sku: str, content_hash: str) -> None:
        """A photo of a product was taken."""
        with self._lock:
            self._photos.add((sku, content_hash))

    def try_photo(self, photo: bytes) -> None:
        """A photo is about to be sent for the catalogue."""
        with self._lock:
            self._tried.add(hashlib.sha256(photo).hexdigest())

    def review(self, query_id: str, sku: str) -> None:
        """A pick's photo was accepted as one of a product."""
        with self._lock:
            self._reviewed[query_id] = sku

    def kept(self, query_id: str, content_hash: str) -> None:
        """A search's photo was kept."""
        with self._lock:
            self._kept[query_id] = content_hash

    def pick(self, query_id: str, sku: str) -> None:
        """A pick was taken."""
        with self._lock:
            self._picks[query_id] = sku

    def now(self) -> Acknowledged:
        """All of it up to now."""
        with self._lock:
            picks, kept, reviewed = dict(self._picks), dict(self._kept), dict(self._reviewed)
            return Acknowledged(frozenset(self._photos), picks, kept, reviewed, frozenset(self._tried))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status 0 where nothing did. body: of a success, as JSON."""

    status: int
    body: Any


class Phone:
    """A phone with the app: a session of its own, a connection a request; everything goes into the journal.

    address: what a proxy before the service would say of where it is; None says nothing.
    :raise requests.RequestException: no session could be opened.
    """

    def __init__(self, url: str, app_key: str, journal: Journal, address: str | None = None) -> None:
        self._url = url
        self._journal = journal
        self._headers = {"Connection": "close"}
        if address is not None:
            self._headers["X-Forwarded-For"] = address
        wanted = {"app_key": app_key, "installation_id": str(uuid4())}
        opened = requests.post(f"{url}/v1/sessions", json=wanted, headers=self._headers, timeout=_TIMEOUT_S)
        opened.raise_for_status()
        self._headers["Authorization"] = f"Bearer {opened.json()['token']}"

    def search(self, photo: bytes, *, keep: bool = False) -> Answer:
        """Search with a photo. keep: the shopper consents to its being kept."""
        form = {"keep_photo": "true"} if keep else {}
        return self._ask(
            "kept search" if keep else "search", "/v1/search", files={"photo": ("a.jpg", photo)}, data=form
        )

    def search_patiently(self, photo: bytes, *, keep: bool = False) -> dict[str, Any]:
        """As ``search``, some times over where the service is full or gone for a moment; what it found.

        :raise BenchFailed: it did not answer.
        """
        for _ in range(_TRIES):
            found = self.search(photo, keep=keep)
            if found.status == 200:
                body: dict[str, Any] = found.body
                return body
            if found.status not in (0, 503):
                break
            time.sleep(_WAIT_S)
        raise BenchFailed(f"a search was answered {found.status}")

    def pick(self, query_id: str, sku: str) -> Answer:
        """Say which product it was."""
        said = {"query_id": query_id, "outcome": "picked", "sku": sku}
        return self._ask("pick", "/v1/feedback", json=said)

    def _ask(self, what: str, path: str, **arguments: Any) -> Answer:
        at, began = time.monotonic(), time.perf_counter()
        try:
            answer = requests.post(self._url + path, headers=self._headers, timeout=_TIMEOUT_S, **arguments)
        except requests.RequestException as error:
            seconds = time.perf_counter() - began
            self._journal.add(Asked(what, at, seconds, 0, None, f"no answer: {type(error).__name__}", None))
            return Answer(0, None)
        seconds = time.perf_counter() - began
        headers = {name.lower(): value for name, value in answer.headers.items()}
        fault = answer_fault(answer.status_code, headers, answer.content)
        body = answer.json() if answer.status_code < 400 else None
        version = body.get("model_version") if isinstance(body, dict) else None
        code = code_of(answer.content) if answer.status_code >= 400 else None
        self._journal.add(Asked(what, at, seconds, answer.status_code, code, fault, version))
        return Answer(answer.status_code, body)


class Shopper(threading.Thread):
    """Searches until told to stop; every other photo is kept with consent, and picked where it was answered.

    photos: drawn ones, and the sku each shows. consents: False keeps and picks nothing.
    """

    def __init__(
        self, phone: Phone, photos: Sequence[tuple[bytes, str]], ledger: Ledger, seed: int, *, consents: bool = True
    ) -> None:
        super().__init__(name=f"shopper-{seed}", daemon=True)
        self._phone = phone
        self._photos = photos
        self._ledger = ledger
        self._consents = consents
        self._rng = np.random.default_rng(seed)
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Until ``stop``."""
        turn = 0
        while not self._stop_asked.is_set():
            turn += 1
            photo, sku = self._photos[int(self._rng.integers(len(self._photos)))]
            is_well = (
                self._with_consent(photo, sku)
                if self._consents and turn % 2
                else self._phone.search(photo).status == 200
            )
            self._stop_asked.wait(_REST_S if is_well else _SICK_REST_S)

    def stop(self) -> None:
        """Stop after the request under way, and wait for that."""
        self._stop_asked.set()
        self.join()

    def _with_consent(self, photo: bytes, sku: str) -> bool:
        mine = another(photo, self._rng)
        found = self._phone.search(mine, keep=True)
        if found.status != 200:
            return False
        query_id = found.body["query_id"]
        self._ledger.kept(query_id, hashlib.sha256(mine).hexdigest())
        picked = self._phone.pick(query_id, sku)
        if picked.status != 200:
            return False
        self._ledger.pick(query_id, sku)
        return True
