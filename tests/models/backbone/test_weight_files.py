"""Reading Keras' two layouts, with a toy network of three layers; no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from models.backbone.network import LayerSpec
from models.backbone.weight_files import LayerArrays, hash_weights, read_weights
from models.errors import WeightsMismatch

SPECS = [
    LayerSpec("conv2d", ((3, 3, 3, 4),)),
    LayerSpec("batch_normalization", ((4,), (4,), (4,))),
    LayerSpec("conv2d_1", ((1, 1, 4, 2),)),
]


def toy_arrays(seed: int = 0) -> LayerArrays:
    generator = np.random.default_rng(seed)
    return [[generator.random(shape, dtype=np.float32) for shape in spec.shapes] for spec in SPECS]


def write_by_position(path: Path, arrays: LayerArrays, names: list[str]) -> Path:
    """The layout of ``*_notop.h5``; layers without weights lie between, as in real files."""
    with h5py.File(path, "w") as file:
        listed: list[str] = []
        for name, values in zip(names, arrays, strict=True):
            listed += [name, f"relu_after_{name}"]
            group = file.create_group(name)
            weight_names = [f"{name}/w{number}:0" for number in range(len(values))]
            group.attrs["weight_names"] = [weight.encode() for weight in weight_names]
            for weight, value in zip(weight_names, values, strict=True):
                group[weight] = value
            file.create_group(f"relu_after_{name}").attrs["weight_names"] = np.array([], dtype="S1")
        file.attrs["layer_names"] = [name.encode() for name in listed]
    return path


def write_by_name(path: Path, arrays: LayerArrays, extra: str | None = None) -> Path:
    """The layout of Keras 3's ``.weights.h5``."""
    with h5py.File(path, "w") as file:
        file.create_group("layers/activation/vars")
        for spec, values in zip(SPECS, arrays, strict=True):
            for number, value in enumerate(values):
                file[f"layers/{spec.name}/vars/{number}"] = value
        if extra:
            file[f"layers/{extra}/vars/0"] = np.zeros(3)
    return path


def assert_same(found: LayerArrays, expected: LayerArrays) -> None:
    for one, other in zip(found, expected, strict=True):
        assert [a.dtype for a in one] == [np.float32] * len(other)
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_both_layouts_give_the_same_arrays_and_hash(tmp_path: Path) -> None:
    arrays = toy_arrays()
    old = read_weights(write_by_position(tmp_path / "a_notop.h5", arrays, ["conv2d_94", "bn_94", "c"]), SPECS)
    new = read_weights(write_by_name(tmp_path / "a.weights.h5", arrays), SPECS)
    assert_same(old, arrays)
    assert_same(new, arrays)
    assert hash_weights(SPECS, old) == hash_weights(SPECS, new)
    assert hash_weights(SPECS, old) != hash_weights(SPECS, toy_arrays(1))


def test_the_first_layer_that_differs_is_named(tmp_path: Path) -> None:
    arrays = toy_arrays()
    arrays[1][2] = np.zeros(5, np.float32)
    with pytest.raises(WeightsMismatch, match=r"bn_94 \(here batch_normalization\).*\(5,\).*\(4,\)"):
        read_weights(write_by_position(tmp_path / "a_notop.h5", arrays, ["c_94", "bn_94", "c"]), SPECS)
    with pytest.raises(WeightsMismatch, match=r"batch_normalization has shapes"):
        read_weights(write_by_name(tmp_path / "a.weights.h5", arrays), SPECS)


def test_missing_and_extra_layers_are_named(tmp_path: Path) -> None:
    arrays = toy_arrays()
    short = write_by_position(tmp_path / "short.h5", arrays[:2], ["a", "b"])
    with pytest.raises(WeightsMismatch, match=r"conv2d_1\) is missing"):
        read_weights(short, SPECS)
    long = write_by_position(tmp_path / "top.h5", [*arrays, [np.zeros(2)]], ["a", "b", "c", "predictions"])
    with pytest.raises(WeightsMismatch, match="predictions"):
        read_weights(long, SPECS)
    with pytest.raises(WeightsMismatch, match="first dense"):
        read_weights(write_by_name(tmp_path / "b.weights.h5", arrays, extra="dense"), SPECS)


def test_nan_is_refused(tmp_path: Path) -> None:
    arrays = toy_arrays()
    arrays[2][0][0, 0, 0, 0] = np.nan
    with pytest.raises(WeightsMismatch, match="conv2d_1 holds NaN"):
        read_weights(write_by_name(tmp_path / "a.weights.h5", arrays), SPECS)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a_notop.h5"
    path.write_bytes(b"not HDF5 at all")
    with pytest.raises(WeightsMismatch, match="not a readable HDF5"):
        read_weights(path, SPECS)
    with h5py.File(path, "w") as file:
        file["cats"] = np.zeros(3)
    with pytest.raises(WeightsMismatch, match="holds cats"):
        read_weights(path, SPECS)
    whole = write_by_name(tmp_path / "b.weights.h5", toy_arrays()).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsMismatch):
        read_weights(path, SPECS)
