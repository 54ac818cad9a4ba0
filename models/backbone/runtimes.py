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
from models.values import BOTTLENECK_SIZE, MAP_CELLS, Deadline, Float32, UInt8

MAX_BATCH: Final = 16
"""Inputs that go through the network at once: more gains nothing on a CPU and costs memory."""


def _expose_last_map(model: Any) -> bool:
    """Make the map that the network's mean is taken of its second output; the first stays bit for bit what it was.

    The files, and so the space, are those of a network that was prepared before anything was explained. One network
    with two outputs, instead of a second one for explanations, costs a copy of half a megabyte a photo where that
    would hold all weights twice.
    Returns whether there is such a map: the mean over rows and columns of (n, 2048, 8, 8).
    """
    mean = model.get_results()[0].input_value(0).get_node()
    if mean.get_type_name() != "ReduceMean":
        return False
    source = mean.input_value(0)
    shape = source.get_partial_shape()
    if [str(size) for size in shape][1:] != [str(BOTTLENECK_SIZE), str(MAP_CELLS), str(MAP_CELLS)]:
        return False
    model.add_outputs([source])
    return True


class OpenVinoBackbone:
    """Inception-v3 on OpenVINO, at float32 or as quantised. Safe to call from several threads.

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
            "INFERENCE_PRECISION_HINT": "f32",  # 8 bits are written into a network; what is not stays at float32
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            core = openvino.Core()
            model = core.read_model(str(network))
            self._gives_map = _expose_last_map(model)
            compiled = core.compile_model(model, "CPU", options)
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
        for rows, outputs in self._infer(pixels, deadline):
            pooled[rows] = outputs[0]
        return normalise(pooled)

    def extract_with_maps(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> tuple[Float32, Float32]:
        """See ``models.values.Backbone.extract_with_maps``; the same forward pass, and half a megabyte an input.

        :raise UsageError: an input of another shape or dtype.
        :raise DeadlineExceeded: ``streams`` other callers were at it all the time.
        :raise BackboneError: the network does not end in the mean of a map.
        """
        if not self._gives_map:
            raise BackboneError(
                "the prepared network does not end in the mean of a feature map, so nothing can be explained; "
                "prepare the backbone again with `make train-bottlenecks`"
            )
        pixels = stack_inputs(inputs)
        pooled = np.empty((len(pixels), BOTTLENECK_SIZE), np.float32)
        maps = np.empty((len(pixels), MAP_CELLS, MAP_CELLS, BOTTLENECK_SIZE), np.float32)
        for rows, outputs in self._infer(pixels, deadline):
            pooled[rows] = outputs[0]
            maps[rows] = np.moveaxis(outputs[1], 1, 3)
        return normalise(pooled), maps

    def _infer(self, pixels: UInt8, deadline: Deadline | None) -> Iterator[tuple[slice, Any]]:
        """(rows, the network's outputs for them), a batch after the other; the outputs are gone with the next."""
        if not len(pixels):
            return
        with self._request(deadline) as request:
            for start in range(0, len(pixels), MAX_BATCH):
                batch = pixels[start : start + MAX_BATCH]
                outputs = request.infer([batch], share_inputs=True, share_outputs=True)
                yield slice(start, start + len(batch)), outputs

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
