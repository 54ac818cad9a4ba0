"""A prepared backbone whose network is a handful of OpenVINO operations: made in a second, without TensorFlow."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.backbone.openvino_loader import load_openvino
from models.backbone.prepare import _FILES, _observe
from models.backbone.preprocessing import PREPROCESSING
from models.backbone.projection import Projection
from models.backbone.space import Space
from models.backbone.store import (
    KERAS_FILE,
    PROJECTION_FILE,
    SPACE_FILE,
    SourceRecord,
    backbones_folder,
    find_backbone,
    write_manifest,
    write_record,
    write_seen,
)
from models.backbone.weights import resolve_weights
from models.values import BOTTLENECK_SIZE, MAP_CELLS

_CELL = 12
_CELLS = 299 // _CELL


def _whole_cells() -> NDArray[np.float32]:
    """(1, 2048, 8, 8): each feature lies in one cell of the last map, so large that the mean gives it back."""
    rows, columns = np.divmod(np.arange(BOTTLENECK_SIZE) % _CELLS**2, _CELLS)
    places = np.zeros((1, BOTTLENECK_SIZE, MAP_CELLS, MAP_CELLS), np.float32)
    places[0, np.arange(BOTTLENECK_SIZE), rows * MAP_CELLS // _CELLS, columns * MAP_CELLS // _CELLS] = MAP_CELLS**2
    return places


def say_seen(home: Path, seen: frozenset[str]) -> None:
    """From now on the backbone prepared for ``embedded`` was trained on the photos of these content hashes."""
    folder = find_backbone("embedded", home).folder
    write_seen(folder, seen)
    write_manifest(folder, _FILES)


def prepare_tiny_backbone(home: Path) -> str:
    """Have ``embedded`` prepared under ``home`` as averages of 24 x 24 cells; returns its space."""
    import openvino
    from openvino import opset13 as ops

    load_openvino()
    pixels = ops.parameter([-1, 299, 299, 3], np.uint8)
    planes = ops.transpose(ops.convert(pixels, "f32"), np.array([0, 3, 1, 2]))
    cells = ops.avg_pool(planes, [_CELL, _CELL], [0, 0], [0, 0], [_CELL, _CELL], True)
    flat = ops.reshape(cells, np.array([0, -1]), True)
    missing = BOTTLENECK_SIZE - 3 * _CELLS * _CELLS
    features = ops.pad(flat, np.array([0, 0]), np.array([0, missing]), "constant", arg_pad_value=np.float32(0))
    spread = ops.multiply(ops.reshape(features, np.array([0, 0, 1, 1]), True), _whole_cells())
    pooled = ops.reduce_mean(spread, np.array([2, 3]))
    projection = Projection.random_orthogonal()
    space = Space(
        weights_sha256=hashlib.sha256(b"tiny").hexdigest(),
        preprocessing=PREPROCESSING,
        projection_sha256=projection.sha256,
        weights="embedded",
    )
    folder = backbones_folder(home) / space.identifier
    folder.mkdir(parents=True)
    openvino.save_model(openvino.Model([pooled], [pixels], "tiny"), folder / "network.xml", compress_to_fp16=False)
    (folder / KERAS_FILE).write_bytes(b"for a runtime these tests do not use")
    projection.save(folder / PROJECTION_FILE)
    write_seen(folder, frozenset())
    (folder / SPACE_FILE).write_text(space.to_json(), "utf-8")
    write_manifest(folder, _FILES)
    source = resolve_weights("embedded", home)
    write_record(home, source, SourceRecord(space.identifier, *_observe(source)))
    return space.identifier
