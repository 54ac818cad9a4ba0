"""The model that is served: which one, loaded and warm, and swapped when another is published."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from app.errors import NotReady, Overloaded
from app.services.withdrawn import WithdrawnLabels
from app.store.vectors import Project
from models.attributes import TypeGuess
from models.errors import BackboneError, BundleError, BundleNotFound, PicktureError
from models.recognizer import Withdrawn, nothing_withdrawn
from models.values import Advice, Answer, ClassifierName, Deadline, Features, Float32, Photo

log = logging.getLogger(__name__)

RETRY_S = 30.0
"""How long a version that could not be loaded is left alone while the one before it serves."""

CHECK_INTERVAL_S = 1.0
"""How old the knowledge of who is champion may get; a published model is served after about this long."""


class Recognizes(Protocol):
    """What serving needs of ``models.recognizer.Recognizer``."""

    @property
    def version(self) -> str: ...

    @property
    def weights(self) -> str: ...

    @property
    def space(self) -> str: ...

    def features(self, photo: Photo, deadline: Deadline | None = None) -> Features: ...

    def look(self, photo: Photo, deadline: Deadline | None = None) -> tuple[Features, Float32]: ...

    def answer(
        self,
        features: Features,
        advice: tuple[Advice, ...] = (),
        *,
        within: frozenset[str] | None = None,
        top_k: int = 5,
        withdrawn: Withdrawn = nothing_withdrawn,
        feature_map: Float32 | None = None,
    ) -> Answer: ...

    def guess_type(self, vectors: Float32) -> TypeGuess | None: ...

    def known_since(self, label: str) -> Mapping[ClassifierName, str | None]: ...


@dataclass(frozen=True, eq=False)
class Memory:
    """Where a model's k-NN memory is written. project: the space's fixed projection."""

    space_id: int
    project: Project


@dataclass(frozen=True, eq=False)
class Served:
    """A model in service. withdrawn: labels that it still knows and the catalogue no longer has."""

    recognizer: Recognizes
    withdrawn: WithdrawnLabels
    memory: Memory

    @property
    def labels(self) -> frozenset[str]:
        """What its trained classifiers (FCN, SVM) can name; k-NN knows today's catalogue."""
        return self.withdrawn.labels


@dataclass(frozen=True, slots=True)
class Refusal:
    """A champion that this process cannot serve. error: why. tried_at: monotonic seconds."""

    version: str
    error: PicktureError
    tried_at: float


class ServedModel:
    """Keeps one model ready and notices when another version becomes champion.

    A request takes ``current()`` once and keeps it to its end, so a swap never changes model or space under a
    request; the old one goes when its last request does. A version that cannot be loaded is logged once, and tried
    again every ``RETRY_S`` (its backbone may be on its way to this machine); meanwhile the one before stays in service.

    champion: the published version, or None. load: makes a version ready to answer, warm.
    """

    def __init__(
        self,
        champion: Callable[[], str | None],
        load: Callable[[str], Served],
        interval_s: float = CHECK_INTERVAL_S,
    ) -> None:
        self._champion = champion
        self._load = load
        self._interval_s = interval_s
        self._busy = threading.Lock()
        self._served: Served | None = None
        self._refused: Refusal | None = None
        self._refusal_listeners: list[Callable[[Refusal | None], None]] = []
        self._served_listeners: list[Callable[[Served], None]] = []
        self._checked_at = float("-inf")
        self._watcher: threading.Thread | None = None
        self._stop = threading.Event()

    def current(self) -> Served:
        """The model to answer with, after looking for one where the last look is too old and nobody else does: there is
        none yet, or no thread watches.

        :raise BundleNotFound: nothing has been published.
        :raise BundleError, BackboneError: the published version cannot be served, and none was before it.
        :raise NotReady: another thread is loading the first model at this moment.
        """
        looks_itself = self._served is None or self._watcher is None
        if looks_itself and self._is_due() and self._busy.acquire(blocking=False):
            try:
                if self._is_due():
                    self._refresh()
            finally:
                self._busy.release()
        served = self._served
        if served is not None:
            return served
        if self._busy.locked():
            raise NotReady("the model is being loaded; it takes some seconds")
        if self._refused is not None:
            raise self._refused.error
        raise BundleNotFound("no model has been published; run `python -m app train` (make train)")

    def serving(self) -> Served | None:
        """As ``current``, but None where there is no published model.

        :raise BundleError, BackboneError, NotReady: there is one, and it cannot be served now.
        """
        try:
            return self.current()
        except BundleNotFound:
            return None

    def renewed(self) -> Served | None:
        """As ``serving``, after looking for a newer version now and loading it, however long that takes."""
        with self._busy:
            self._refresh()
        return self.serving()

    @property
    def refused(self) -> Refusal | None:
        """The champion, where this process cannot serve it; None where it serves it, or knows of none."""
        return self._refused

    def on_refusal(self, listener: Callable[[Refusal | None], None]) -> None:
        """Tell ``listener`` what ``refused`` is, now and whenever it changes."""
        self._refusal_listeners.append(listener)
        listener(self._refused)

    def on_served(self, listener: Callable[[Served], None]) -> None:
        """Tell ``listener`` which model is in service: now, where one is, and whenever another comes."""
        self._served_listeners.append(listener)
        if self._served is not None:
            listener(self._served)

    def now(self) -> Served | None:
        """The model in service, or None where there is none, for whatever reason; ``current`` tells it."""
        try:
            return self.current()
        except (BundleError, BackboneError, NotReady):
            return None

    def watch(self) -> None:
        """Look for a model now, in this thread, and from then on in one of its own.

        What keeps the first model from being served is logged; ``current`` tells callers of it.
        """
        if self._watcher is None:
            self._look()
            self._watcher = threading.Thread(target=self._watch, name="served-model", daemon=True)
            self._watcher.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s / 2):
            self._look()

    def _look(self) -> None:
        try:
            with self._busy:
                self._refresh()
        except PicktureError as error:
            log.warning("cannot look for the published model: %s", error)
        except Exception:
            log.exception("looking for the published model failed")

    def _is_due(self) -> bool:
        return time.monotonic() - self._checked_at >= self._interval_s

    def _refresh(self) -> None:
        """Look who is champion, and load it if it is not the one in service. The caller holds ``_busy``."""
        wanted = self._champion()
        self._checked_at = time.monotonic()
        if wanted is None:
            return
        if self._served is not None and self._served.recognizer.version == wanted:
            self._note(None)
            return
        if self._served is not None and self._is_left_alone(wanted):
            return
        started = time.monotonic()
        try:
            served = self._served = self._load(wanted)
        except PicktureError as error:
            if self._refused is None or self._refused.version != wanted:
                log.error("model %s cannot be served: %s", wanted, error)
            self._note(Refusal(wanted, error, time.monotonic()))
        else:
            self._note(None)
            for listener in self._served_listeners:
                listener(served)
            log.info("serving model %s, loaded in %.1f s", wanted, time.monotonic() - started)
        self._checked_at = time.monotonic()

    def _is_left_alone(self, version: str) -> bool:
        refused = self._refused
        return refused is not None and refused.version == version and time.monotonic() - refused.tried_at < RETRY_S

    def _note(self, refused: Refusal | None) -> None:
        if refused is None and self._refused is None:
            return
        self._refused = refused
        for listener in self._refusal_listeners:
            listener(refused)


class Admission:
    """Counts the searches in work and refuses those beyond ``places``, before their bodies are read."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        """Whether a search that came at this moment would be refused."""
        return self._taken >= self.places

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Take a place for the length of the block. :raise Overloaded: none is free."""
        with self._lock:
            if self.is_full:
                raise Overloaded(f"{self.places} searches are already in work; try again in a moment")
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1
