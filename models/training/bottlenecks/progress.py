"""How far filling the cache has come, and a bar that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm


@dataclass(frozen=True, slots=True)
class FillProgress:
    """How far a run is. One image is one original or one variant.

    done: stored by now, of this and earlier runs; failed: cannot be had; total: all that were asked for.
    per_second: images of this run a second, 0 before the first.
    seconds_left: estimate, None before the first.
    """

    done: int
    failed: int
    total: int
    per_second: float
    seconds_left: float | None


ProgressCallback = Callable[[FillProgress], None]
"""Called after every stored batch. What it raises ends the run; what is stored stays."""


class TqdmProgress:
    """A progress bar on standard error with rate and time left; a context manager and a callback."""

    def __init__(self, label: str = "bottlenecks") -> None:
        self._bar: tqdm[Any] = tqdm(desc=label, unit="img", smoothing=0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def __call__(self, progress: FillProgress) -> None:
        """Show ``progress``. What was stored before counts as done, not towards the rate."""
        if self._bar.total is None:
            self._bar.total = progress.total
            self._bar.initial = progress.done
            self._bar.n = progress.done
            self._bar.refresh()
        if progress.failed:
            self._bar.set_postfix_str(f"{progress.failed} failed", refresh=False)
        self._bar.update(progress.done + progress.failed - self._bar.n)
