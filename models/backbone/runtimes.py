"""OpenVINO: the runtime that extracts and serves."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.backbone.openvino_loader import load_openvino
from models.backbone.preprocessing import normalise, stack_inputs
from models.backbone.projection import Projection
from models.backbone.space import Space
from models.errors import BackboneError, DeadlineExceeded, UsageError
from models.values import BOTTLENECK_SIZE, Deadline, Float32, UInt8

MAX_BATCH: Final = 16
"""Inputs that go through the network at once: more gains nothing on a CPU and costs memory."""


class OpenVinoBackbone:
    """Inception-v3 on OpenVINO at float32. Safe to call from several threads.

    Fulfils ``models.values.Backbone``.
    """

    def __init__(
        self, network: Path, space: Space, projection: Projection, *, threads: int = 0, streams: int = 1
    ) -> None:
        """Compile the network; takes about a second.

        network: the IR's ``.xml``, with its ``.bin`` beside it: uint8 (n, 299, 299, 3) -> (n, 2048).
        threads: CPU threads in all; 0 for every core this process may use.
        streams: calls that run side by side, sharing the threads; further callers wait their turn.
        :raise BackboneError: the files cannot be read or compiled.
        :raise UsageError: ``threads`` below 0 or ``streams`` below 1.
        """
        if threads < 0 or streams < 1:
            raise UsageError(f"threads={threads}, streams={streams}; expected threads >= 0 and streams >= 1")
        self._description = space
        self._projection = projection
        openvino = load_openvino()
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            compiled = openvino.Core().compile_model(str(network), "CPU", options)
            requests = [compiled.create_infer_request() for _ in range(streams)]
        except RuntimeError as error:
            raise BackboneError(
                f"OpenVINO cannot load {network}; prepare the backbone again with `make train-bottlenecks`"
            ) from error
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        for request in requests:
            self._idle.put(request)

    @property
    def space(self) -> str:
        """Identifier of the space its vectors belong to."""
        return self._description.identifier

    @property
    def weights(self) -> str:
        """``embedded``, ``imagenet``, ``file:NAME`` or ``random``."""
        return self._description.weights

    @property
    def description(self) -> Space:
        """All that the space is made of."""
        return self._description

    @property
    def projection(self) -> Projection:
        """The fixed projection of this backbone."""
        return self._projection

    def extract(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> Float32:
        """Normalised bottlenecks; see ``models.values.Backbone.extract``.

        inputs: n arrays uint8 (299, 299, 3), RGB; left untouched. n may be 0; more than ``MAX_BATCH``
            go through in several batches.
        :raise UsageError: an input of another shape or dtype.
        :raise DeadlineExceeded: ``streams`` other callers were at it all the time.
        """
        pixels = stack_inputs(inputs)
        pooled = np.empty((len(pixels), BOTTLENECK_SIZE), np.float32)
        if len(pixels):
            with self._request(deadline) as request:
                for start in range(0, len(pixels), MAX_BATCH):
                    batch = pixels[start : start + MAX_BATCH]
                    pooled[start : start + len(batch)] = request.infer([batch], share_inputs=True)[0]
        return normalise(pooled)

    @contextmanager
    def _request(self, deadline: Deadline | None) -> Iterator[Any]:
        try:
            request = self._idle.get(timeout=None if deadline is None else deadline.left_s)
        except queue.Empty:
            raise DeadlineExceeded("the network was busy all the time; try again in a moment") from None
        try:
            yield request
        finally:
            self._idle.put(request)
