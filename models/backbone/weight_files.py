"""Reading Inception-v3 weights from Keras' HDF5 files, layer by layer, with errors people can act on.

Two layouts exist: the older one of ``*_notop.h5`` (``layer_names`` attribute, layers by position) and
that of Keras 3's ``.weights.h5`` (``layers/<name>/vars/<n>``). Both are plain numbers; nothing in them
is executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.backbone.network import LayerSpec
from models.errors import WeightsMismatch
from models.values import Float32

LayerArrays = list[list[Float32]]
"""One list of arrays a layer, in the order of the specification."""


def read_weights(path: Path, specs: Sequence[LayerSpec]) -> LayerArrays:
    """The weights in ``path``, checked against ``specs``.

    path: a Keras HDF5 file in either layout.
    specs: the layers expected, in network order.
    Returns float32 arrays, one list a layer.
    :raise WeightsMismatch: not HDF5, another layout, or other layers, shapes or non-finite values; the
        message names the first layer that differs.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "layer_names" in file.attrs:
                return _read_by_position(path, file, specs)
            if "layers" in file:
                return _read_by_name(path, file["layers"], specs)
            keys = ", ".join(sorted(file)[:5]) or "nothing"
    except OSError as error:
        raise WeightsMismatch(f"{path} is not a readable HDF5 file; expected Keras weights") from error
    raise WeightsMismatch(
        f"{path} holds {keys}; expected the layout of a Keras *_notop.h5 or .weights.h5 file of Inception-v3"
    )


def write_weights(network: Any, path: Path) -> None:
    """Write the network's weights in Keras' ``.weights.h5`` layout (the name must end so)."""
    network.save_weights(str(path))


def hash_weights(specs: Sequence[LayerSpec], arrays: LayerArrays) -> str:
    """SHA-256 (64 hex digits) of the values themselves: the same weights in either layout hash alike."""
    digest = hashlib.sha256()
    for spec, values in zip(specs, arrays, strict=True):
        for value in values:
            digest.update(f"{spec.name}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value, dtype="<f4").tobytes())
    return digest.hexdigest()


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _read_by_position(path: Path, file: Any, specs: Sequence[LayerSpec]) -> LayerArrays:
    stored: list[tuple[str, list[str]]] = []
    for raw in file.attrs["layer_names"]:
        name = _text(raw)
        if name not in file:
            raise WeightsMismatch(f"{path} lists layer {name} but does not hold it: the file is damaged")
        weights = [_text(weight) for weight in file[name].attrs.get("weight_names", ())]
        if weights:
            stored.append((name, weights))
    found: LayerArrays = []
    for place, spec in enumerate(specs):
        if place >= len(stored):
            raise WeightsMismatch(
                f"{path} ends after {len(stored)} layers with weights; layer {place + 1} of {len(specs)} "
                f"({spec.name}) is missing: is it an Inception-v3 file?"
            )
        name, weights = stored[place]
        found.append(_checked(path, f"{name} (here {spec.name})", [file[name].get(w) for w in weights], spec))
    if len(stored) > len(specs):
        raise WeightsMismatch(
            f"{path} has {len(stored)} layers with weights, expected {len(specs)}; the first one too many is "
            f"{stored[len(specs)][0]}: a file without top (*_notop.h5) is needed"
        )
    return found


def _read_by_name(path: Path, layers: Any, specs: Sequence[LayerSpec]) -> LayerArrays:
    found: LayerArrays = []
    for spec in specs:
        group = layers.get(f"{spec.name}/vars")
        if group is None:
            raise WeightsMismatch(f"{path} lacks layer {spec.name} (of {len(specs)}): is it an Inception-v3 file?")
        values = [group.get(str(index)) for index in range(len(group))]
        found.append(_checked(path, spec.name, values, spec))
    expected = {spec.name for spec in specs}
    extra = sorted(name for name in layers if name not in expected and len(layers[name].get("vars", ())))
    if extra:
        raise WeightsMismatch(
            f"{path} has layers unknown to Inception-v3 without top, first {extra[0]}: give one without top"
        )
    return found


def _checked(path: Path, name: str, values: list[Any], spec: LayerSpec) -> list[Float32]:
    shapes = tuple(tuple(getattr(value, "shape", ())) for value in values)
    if shapes != spec.shapes:
        raise WeightsMismatch(f"{path}: layer {name} has shapes {shapes}, expected {spec.shapes}")
    arrays = [np.asarray(value[...], dtype=np.float32) for value in values]
    if not all(np.isfinite(array).all() for array in arrays):
        raise WeightsMismatch(f"{path}: layer {name} holds NaN or infinity")
    return arrays
