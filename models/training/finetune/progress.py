"""Progress in lines, so that a log of hours stays readable."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 30.0
"""A line at most this often."""


class Pace:
    """Tells how far a long piece of work is, and how long it will still take.

    what: of which things there are ``total``; done: how many of them an earlier run did.
    """

    def __init__(self, what: str, total: int, done: int, say: Callable[[str], None]) -> None:
        self._what, self._total, self._say = what, total, say
        self._first = done
        self._started = self._told = time.monotonic()

    def at(self, done: int) -> None:
        """``done`` of them are there now."""
        now = time.monotonic()
        if now - self._told < INTERVAL_S or done == self._first:
            return
        self._told = now
        left = (now - self._started) / (done - self._first) * (self._total - done)
        self._say(f"{self._what}: {done} of {self._total}, {duration(left)} left")

    def end(self, done: int) -> None:
        """All there is; says nothing where an earlier run had done it all."""
        if done > self._first:
            self._say(f"{self._what}: {done} of {self._total} in {duration(time.monotonic() - self._started)}")


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
