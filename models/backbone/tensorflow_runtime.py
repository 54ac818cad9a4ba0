"""TensorFlow: the selectable second runtime, loaded by name (``models.backbone.store``) where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from models.backbone.network import build_network, load_keras, pool3_function, weighted_layers
from models.backbone.preprocessing import normalise, stack_inputs
from models.backbone.projection import Projection
from models.backbone.runtimes import MAX_BATCH
from models.backbone.space import Space
from models.backbone.weight_files import read_weights
from models.values import BOTTLENECK_SIZE, MAP_CELLS, Deadline, Float32, UInt8


class TensorFlowBackbone:
    """Inception-v3 on TensorFlow at float32. Safe to call from several threads.

    Fulfils ``models.values.Backbone``. Takes several seconds to start: importing TensorFlow, building the
    network, and tracing it at the first call.
    """

    def __init__(
        self, network: Path, space: Space, projection: Projection, *, threads: int = 0, streams: int = 1
    ) -> None:
        """Build the network and load the weights.

        network: a ``.weights.h5`` file.
        threads: threads within an operation, 0 for TensorFlow's choice. TensorFlow fixes this at its first
            use in a process; a later backbone with another number keeps the first.
        streams: accepted for the same signature; TensorFlow shares one pool among all callers.
        :raise WeightsMismatch: the file does not fit.
        """
        tensorflow, _ = load_keras()
        if threads > 0 and not tensorflow.config.threading.get_intra_op_parallelism_threads():
            with suppress(RuntimeError):  # already running: documented above
                tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        self._description = space
        self._projection = projection
        keras_network = build_network()
        layers = weighted_layers(keras_network)
        arrays = read_weights(network, [spec for spec, _ in layers])
        for (_, layer), values in zip(layers, arrays, strict=True):
            layer.set_weights(values)
        self._network = keras_network
        self._pool3 = pool3_function(keras_network)

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

        inputs: n arrays uint8 (299, 299, 3), RGB; left untouched. n may be 0. deadline: nobody waits here.
        :raise UsageError: an input of another shape or dtype.
        """
        pixels = stack_inputs(inputs)
        pooled = np.empty((len(pixels), BOTTLENECK_SIZE), np.float32)
        for start in range(0, len(pixels), MAX_BATCH):
            batch = pixels[start : start + MAX_BATCH]
            pooled[start : start + len(batch)] = self._pool3(batch).numpy()
        return normalise(pooled)

    def extract_with_maps(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> tuple[Float32, Float32]:
        """See ``models.values.Backbone.extract_with_maps``; traced anew at the first call. deadline: nobody waits.

        :raise UsageError: an input of another shape or dtype.
        """
        pixels = stack_inputs(inputs)
        pooled = np.empty((len(pixels), BOTTLENECK_SIZE), np.float32)
        maps = np.empty((len(pixels), MAP_CELLS, MAP_CELLS, BOTTLENECK_SIZE), np.float32)
        for start in range(0, len(pixels), MAX_BATCH):
            rows = slice(start, start + MAX_BATCH)
            outputs = self._with_maps(pixels[rows])
            pooled[rows], maps[rows] = (output.numpy() for output in outputs)
        return normalise(pooled), maps

    @cached_property
    def _with_maps(self) -> Any:
        _, keras = load_keras()
        pool = self._network.layers[-1]
        return pool3_function(keras.Model(self._network.inputs, [pool.output, pool.input]))
