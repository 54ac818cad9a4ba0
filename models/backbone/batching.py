"""Callers of several threads share one network: nobody waits while it is idle, what has queued goes together.

No thread of its own does this, so none can die: a caller that finds a lane free runs the network itself, and when it is
done it hands the lane to the first of those who wait, who takes the next few along (flat combining: Hendler, Incze,
Shavit, Tzafrir, SPAA 2010). ``docs/decisions/0022-shared-batches.md`` has the measurements.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from models.backbone.preprocessing import check_inputs
from models.backbone.projection import Projection
from models.errors import DeadlineExceeded, NetworkBusy, UsageError
from models.values import INPUT_SIZE, Backbone, Deadline, Float32, UInt8

MAX_SHARED: Final = 4
"""Inputs that share a batch: more gain nothing on a CPU and make every one of them wait for the others."""

PLACES: Final = 64
"""Callers that may wait. Serving admits fewer searches than this; it bounds whoever else asks."""


class ProjectedBackbone(Backbone, Protocol):
    """A backbone with its space's fixed projection, as ``models.backbone.store.load_backbone`` gives it."""

    @property
    def projection(self) -> Projection:
        """The fixed projection of its space."""
        ...


@dataclass(slots=True, eq=False)
class _Turn:
    """One caller's inputs. ready: it has vectors, an error, or (``batch``) the lane, to run these turns."""

    inputs: Sequence[UInt8]
    deadline: Deadline | None
    ready: threading.Event = field(default_factory=threading.Event)
    batch: list[_Turn] | None = None
    with_maps: bool = False
    vectors: Float32 | None = None
    maps: Float32 | None = None
    error: BaseException | None = None


class SharedBackbone:
    """A backbone that takes callers of several threads together. Fulfils ``models.values.Backbone``.

    Inputs of one call stay together. A call with more than ``max_shared`` goes alone.
    """

    def __init__(
        self,
        backbone: ProjectedBackbone,
        *,
        lanes: int = 1,
        max_shared: int = MAX_SHARED,
        places: int = PLACES,
        on_batch: Callable[[int, float], None] = lambda photos, seconds: None,
        on_waiting: Callable[[int], None] = lambda photos: None,
    ) -> None:
        """Share ``backbone``.

        lanes: batches that run side by side; at least 1. max_shared: inputs a batch, at least 1.
        places: callers that may wait, at least 0.
        on_batch: told of every batch that has run: its inputs, and how long it took. on_waiting: told how many callers
            wait whenever that changes. Both are called from any thread, and must be quick.
        :raise UsageError: a number below these.
        """
        if lanes < 1 or max_shared < 1 or places < 0:
            raise UsageError(
                f"lanes={lanes}, max_shared={max_shared}, places={places}; expected at least 1, at least 1, at least 0"
            )
        self._backbone = backbone
        self._max_shared = max_shared
        self._places = places
        self._on_batch = on_batch
        self._on_waiting = on_waiting
        self._lock = threading.Lock()
        self._free = lanes
        self._waiting: deque[_Turn] = deque()

    @property
    def space(self) -> str:
        """Identifier of the space its vectors belong to."""
        return self._backbone.space

    @property
    def weights(self) -> str:
        """Where the weights come from, for people."""
        return self._backbone.weights

    @property
    def projection(self) -> Projection:
        """The fixed projection of this backbone."""
        return self._backbone.projection

    @property
    def waiting(self) -> int:
        """Callers that wait for their turn at this moment."""
        return len(self._waiting)

    def warm_up(self) -> None:
        """Run the network once for each size of batch that it shares, so that no request pays for its first one."""
        grey = np.full((INPUT_SIZE, INPUT_SIZE, 3), 127, np.uint8)
        for size in range(1, self._max_shared + 1):
            self._backbone.extract([grey] * size)

    def extract(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> Float32:
        """Normalised bottlenecks; see ``models.values.Backbone.extract``.

        Inputs whose deadline passes before their turn are not computed. What the network raises reaches every caller
        of that batch.
        :raise UsageError: an input of another shape or dtype; it harms no other caller.
        :raise NetworkBusy: ``places`` callers wait already.
        :raise DeadlineExceeded: there was no answer by then.
        """
        check_inputs(inputs)
        if not inputs:
            return self._backbone.extract(inputs)
        turn = self._served(_Turn(inputs, deadline))
        assert turn.vectors is not None
        return turn.vectors

    def extract_with_maps(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> tuple[Float32, Float32]:
        """See ``models.values.Backbone.extract_with_maps``; such a call goes alone. Raises as ``extract``."""
        check_inputs(inputs)
        if not inputs:
            return self._backbone.extract_with_maps(inputs)
        turn = self._served(_Turn(inputs, deadline, with_maps=True))
        assert turn.vectors is not None and turn.maps is not None
        return turn.vectors, turn.maps

    def _served(self, turn: _Turn) -> _Turn:
        """Wait for the turn, running the network where the lane comes with it; raises what befell it."""
        deadline = turn.deadline
        self._take_or_queue(turn)
        if turn.batch is None and not turn.ready.wait(None if deadline is None else deadline.left_s):
            self._give_up(turn)
        batch, turn.batch = turn.batch, None  # no cycle that would keep the inputs until the collector comes
        if batch is not None:
            self._run(batch)
        if turn.error is not None:
            raise turn.error
        return turn

    def _take_or_queue(self, turn: _Turn) -> None:
        """A free lane at once, or a place among those who wait; while a lane is free, nobody does."""
        with self._lock:
            if self._free:
                self._free -= 1
                turn.batch = [turn]
            elif len(self._waiting) < self._places:
                self._waiting.append(turn)
                self._on_waiting(len(self._waiting))
            else:
                raise NetworkBusy(f"{self._places} photos wait for the network already; try again in a moment")

    def _give_up(self, turn: _Turn) -> None:
        """Leave the queue, unless the turn has come in the very last moment. :raise DeadlineExceeded:"""
        with self._lock:
            if turn.ready.is_set():
                return
            if turn in self._waiting:
                self._waiting.remove(turn)
                self._on_waiting(len(self._waiting))
        raise _too_late()

    def _run(self, batch: list[_Turn]) -> None:
        """Run the network for these turns, the first of which is the caller's own, and pass the lane on."""
        inputs = [pixels for turn in batch for pixels in turn.inputs]
        try:
            started = time.perf_counter()
            if batch[0].with_maps:
                vectors, batch[0].maps = self._backbone.extract_with_maps(inputs)
            else:
                vectors = self._backbone.extract(inputs)
            self._on_batch(len(inputs), time.perf_counter() - started)
        except BaseException as error:  # noqa: BLE001  every caller of the batch raises it in its own thread
            for turn in batch:
                turn.error = error
        else:
            first = 0
            for turn in batch:
                turn.vectors = vectors[first : first + len(turn.inputs)]
                first += len(turn.inputs)
        finally:
            self._pass_on()
            for turn in batch:
                turn.ready.set()

    def _pass_on(self) -> None:
        """Give the lane to those who wait, or leave it free."""
        with self._lock:
            batch = self._gather()
            if batch:
                self._on_waiting(len(self._waiting))
                batch[0].batch = batch
                batch[0].ready.set()
            else:
                self._free += 1

    def _gather(self) -> list[_Turn]:
        """The next batch, in the order they came, without those whose time is over. The caller holds the lock."""
        batch: list[_Turn] = []
        count = 0
        while self._waiting:
            turn = self._waiting[0]
            if turn.deadline is not None and not turn.deadline.left_s:
                turn.error = _too_late()
                turn.ready.set()
            elif batch and (turn.with_maps or batch[0].with_maps or count + len(turn.inputs) > self._max_shared):
                break
            else:
                batch.append(turn)
                count += len(turn.inputs)
            self._waiting.popleft()
        return batch


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the network did not get to this photo in time; try again in a moment")
