"""What the inner parts of a search tell of themselves, whoever listens: the metrics of the application do.

Services and what they are built of are made before the application is; they are given a ``Relay`` and talk to it from
their first moment, and the application attaches what listens.
"""

from __future__ import annotations

from typing import Literal, Protocol

DecoderEnd = Literal["crashed", "timeout"]


class Observer(Protocol):
    """Whoever listens. Called from any thread, often; must be quick and must not raise."""

    def batched(self, photos: int, seconds: float) -> None:
        """The network has run once on so many photos, for so long."""

    def waiting(self, photos: int) -> None:
        """So many photos wait for the network now."""

    def decoder_failed(self, end: DecoderEnd) -> None:
        """A process that decodes photos has died or was given up, and is replaced."""

    def cache_asked(self, hit: bool) -> None:
        """The cache of bottlenecks was asked for a photo's."""


class Relay:
    """Passes on to the observer that is attached; until then to nobody. Fulfils ``Observer``."""

    def __init__(self) -> None:
        self._observer: Observer | None = None

    def attach(self, observer: Observer) -> None:
        """Pass on to this one from now on."""
        self._observer = observer

    def batched(self, photos: int, seconds: float) -> None:
        """See ``Observer``."""
        if self._observer is not None:
            self._observer.batched(photos, seconds)

    def waiting(self, photos: int) -> None:
        """See ``Observer``."""
        if self._observer is not None:
            self._observer.waiting(photos)

    def decoder_failed(self, end: DecoderEnd) -> None:
        """See ``Observer``."""
        if self._observer is not None:
            self._observer.decoder_failed(end)

    def cache_asked(self, hit: bool) -> None:
        """See ``Observer``."""
        if self._observer is not None:
            self._observer.cache_asked(hit)
