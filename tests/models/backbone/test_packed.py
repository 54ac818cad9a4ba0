"""Packed weights with a toy network of three layers; no TensorFlow."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.backbone.packed import (
    MAX_ABOUT_BYTES,
    Encoding,
    PackedWeights,
    read_packed,
    write_packed,
)
from models.backbone.projection import Projection
from models.backbone.quantise import dequantise_kernel, quantise_kernel
from models.errors import UsageError, WeightsMismatch
from models.values import Float32
from tests.models.backbone.test_weight_files import SPECS, assert_same, toy_arrays

ENCODINGS: list[Encoding] = ["int8", "float32"]


@pytest.fixture(scope="module")
def weights() -> PackedWeights:
    fine = np.zeros((2048, 256), np.float32)  # mostly zeros, which compress fast
    fine[:64] = Projection.random_orthogonal().matrix[:64]
    return PackedWeights(toy_arrays(), fine, frozenset({"0" * 64, "ab" * 32}), {"name": "toy", "seeds": [1, 2]})


@pytest.fixture(scope="module")
def packed_once(weights: PackedWeights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "toy.npz"
    write_packed(path, weights, SPECS, "int8")
    return path


@pytest.fixture
def packed(packed_once: Path, tmp_path: Path) -> Path:
    """A file that a test may change."""
    return shutil.copy(packed_once, tmp_path / "toy.npz")


def normal_kernel(seed: int = 0) -> Float32:
    return np.random.default_rng(seed).standard_normal((3, 3, 8, 16)).astype(np.float32)


# Quantising


def test_a_kernel_comes_back_within_half_a_scale_where_it_was_not_clipped() -> None:
    kernel = normal_kernel()
    kernel.setflags(write=False)
    values, scales = quantise_kernel(kernel)
    assert (values.dtype, values.shape, scales.dtype, scales.shape) == (np.int8, kernel.shape, np.float32, (16,))
    back = dequantise_kernel(values, scales)
    assert (back.dtype, back.shape) == (np.float32, kernel.shape)
    inside = np.abs(kernel) <= 127 * scales
    assert inside.mean() > 0.98
    assert (np.abs(back - kernel) <= scales * 0.5001)[inside].all()
    assert np.array_equal(np.abs(values)[~inside], np.full((~inside).sum(), 127))


def test_no_channel_is_worse_than_with_its_full_range_and_an_outlier_does_not_coarsen_the_rest() -> None:
    """Giving up one value of 7 pays where 50,000 normal ones become finer by it, and not where there are 50."""
    many = np.random.default_rng(1).standard_normal((50_000, 2)).astype(np.float32)
    many[0, 1] = 7.0
    for kernel, clipped in ((many, True), (many[:50], False)):
        values, scales = quantise_kernel(kernel)
        error = np.square(dequantise_kernel(values, scales) - kernel).sum(axis=0)
        full = np.abs(kernel).max(axis=0) / 127
        full_error = np.square(np.rint(kernel / full) * full - kernel).sum(axis=0)
        assert (error <= full_error * 1.0001).all()
        assert (scales[1] < 0.95 * full[1]) == clipped


def test_each_channel_has_a_scale_of_its_own_and_a_dead_one_stays_dead() -> None:
    kernel = normal_kernel(2) * np.array([0, 1e-20, 1e-3, 1.0] * 4, np.float32)
    values, scales = quantise_kernel(kernel)
    assert scales[0] == 0 and not values[..., 0].any()
    difference = np.linalg.norm((dequantise_kernel(values, scales) - kernel).reshape(-1, 16), axis=0)
    size = np.linalg.norm(kernel.reshape(-1, 16).astype(np.float64), axis=0)
    assert (difference <= 0.01 * size).all()


@pytest.mark.parametrize("kernel", [np.array([[np.nan]]), np.array([[np.inf]]), np.array(1.0)])
def test_what_cannot_be_quantised_is_refused(kernel: Float32) -> None:
    with pytest.raises(UsageError, match="without NaN or infinity"):
        quantise_kernel(kernel.astype(np.float32))


# The file


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_read_is_what_was_written(weights: PackedWeights, tmp_path: Path, encoding: Encoding) -> None:
    path = tmp_path / "toy.npz"
    write_packed(path, weights, SPECS, encoding)
    found = read_packed(path, SPECS)
    expected = weights.arrays
    if encoding == "int8":
        expected = [[dequantise_kernel(*quantise_kernel(a)) if a.ndim == 4 else a for a in v] for v in expected]
    assert_same(found.arrays, expected)
    assert np.array_equal(found.projection, weights.projection)
    assert found.projection.dtype == np.float32
    assert (found.seen, found.card) == (weights.seen, weights.card)
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_projection_on_the_float16_grid_is_stored_as_such_and_none_is_rounded(
    weights: PackedWeights, tmp_path: Path
) -> None:
    coarse = replace(weights, projection=weights.projection.astype(np.float16).astype(np.float32))
    for name, given, dtype in (("fine", weights, np.float32), ("coarse", coarse, np.float16)):
        write_packed(tmp_path / name, given, SPECS, "int8")
        with np.load(tmp_path / name) as stored:
            assert stored["projection"].dtype == dtype
        assert np.array_equal(read_packed(tmp_path / name, SPECS).projection, given.projection)


def test_no_photo_seen_is_a_list_too(weights: PackedWeights, tmp_path: Path) -> None:
    write_packed(tmp_path / "toy.npz", replace(weights, seen=frozenset()), SPECS, "int8")
    assert read_packed(tmp_path / "toy.npz", SPECS).seen == frozenset()


def test_equal_content_makes_equal_bytes(weights: PackedWeights, packed: Path, tmp_path: Path) -> None:
    write_packed(tmp_path / "again.npz", weights, SPECS, "int8")
    assert (tmp_path / "again.npz").read_bytes() == packed.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrays": toy_arrays()[:2]}, "2 layers"),
        ({"arrays": [[np.zeros(3, np.float32)], *toy_arrays()[1:]]}, r"layer conv2d has shapes \(\(3,\),\)"),
        ({"arrays": [[np.full((3, 3, 3, 4), np.nan, np.float32)], *toy_arrays()[1:]]}, "finite"),
        ({"projection": np.zeros((2048, 255), np.float32)}, r"\(2048, 255\)"),
        ({"projection": np.full((2048, 256), np.inf, np.float32)}, "finite"),
        ({"seen": frozenset({"AB" * 32})}, "64 lower-case hex digits"),
        ({"seen": frozenset({"ab"})}, "64 lower-case hex digits"),
        ({"card": {}}, "card's name is None"),
        ({"card": {"name": "x", "loss": float("nan")}}, "plain data"),
        ({"card": {"name": "x", "path": Path()}}, "plain data"),
        ({"card": {"name": "x" * MAX_ABOUT_BYTES}}, "at most"),
    ],
)
def test_what_could_not_be_read_is_not_written(
    weights: PackedWeights, packed: Path, change: dict[str, Any], message: str
) -> None:
    before = packed.read_bytes()
    with pytest.raises(UsageError, match=message):
        write_packed(packed, replace(weights, **change), SPECS, "int8")
    assert packed.read_bytes() == before
    assert list(packed.parent.iterdir()) == [packed]


def test_another_encoding_is_refused(weights: PackedWeights, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8 or float32"):
        write_packed(tmp_path / "toy.npz", weights, SPECS, "int4")  # type: ignore[arg-type]


Members = dict[str, Any]


def without(name: str) -> Callable[[Members], Members]:
    return lambda members: {key: value for key, value in members.items() if key != name}


def having(name: str, value: Any) -> Callable[[Members], Members]:
    return lambda members: {**members, name: value}


def text(content: str) -> Any:
    return np.frombuffer(content.encode(), np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("conv2d_1/0"), "lacks conv2d_1/0"),
        (without("conv2d/scale"), "lacks conv2d/scale"),
        (without("seen"), "lacks seen"),
        (without("about"), "lacks about"),
        (having("predictions/0", np.zeros(2)), "holds predictions/0"),
        (having("conv2d/0", np.zeros((3, 3, 3, 5), np.int8)[..., :4].copy("F")), "conv2d/0 is int8"),
        (having("conv2d/0", np.zeros((3, 3, 4, 3), np.int8)), r"int8 \(3, 3, 4, 3\), expected int8 \(3, 3, 3, 4\)"),
        (having("conv2d/0", np.zeros((3, 3, 3, 1), np.float32)), "expected int8"),
        (having("conv2d/scale", np.array([1, np.nan, 1, 1], np.float32)), "conv2d/scale holds NaN"),
        (having("batch_normalization/1", np.full(4, np.inf, np.float32)), "batch_normalization/1 holds NaN or inf"),
        (having("batch_normalization/1", np.array([{}] * 4)), "batch_normalization/1 is object"),
        (having("projection", np.zeros((2048, 255), np.float32)), r"expected float16 or float32 \(2048, 256\)"),
        (having("projection", np.full((2048, 256), np.nan, np.float16)), "projection holds NaN"),
        (having("projection", np.zeros((2048, 256))), "projection says it is 4194432 bytes"),
        (having("seen", np.zeros((3, 31), np.uint8)), r"expected uint8 \(any, 32\)"),
        (having("about", np.zeros(MAX_ABOUT_BYTES + 2000, np.uint8)), "about says it is"),
        (having("about", text("{")), "not a readable file"),
        (having("about", text("[1]")), "format None"),
        (having("about", text('{"format": 99}')), "format 99, expected 1"),
        (having("about", text('{"format": 1, "encoding": "int4", "card": {"name": "x"}}')), "encoding 'int4'"),
        (having("about", text('{"format": 1, "encoding": "int8", "card": {}}')), "card is not"),
    ],
)
def test_what_does_not_fit_is_named(packed: Path, change: Callable[[Members], Members], message: str) -> None:
    with np.load(packed) as stored:
        members = dict(stored)
    np.savez(packed, **change(members))
    with pytest.raises(WeightsMismatch, match=message):
        read_packed(packed, SPECS)


def test_a_header_that_promises_more_than_the_member_holds_allocates_nothing(packed: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 32)})
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["seen.npy"] = header.getvalue() + bytes(64)
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(WeightsMismatch, match="not a readable file"):
        read_packed(packed, SPECS)


def test_a_member_twice_is_refused(packed: Path) -> None:
    with zipfile.ZipFile(packed, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("seen.npy", archive.read("seen.npy"))
    with pytest.raises(WeightsMismatch, match="a member twice"):
        read_packed(packed, SPECS)


def test_damaged_and_other_files_are_refused(packed: Path) -> None:
    whole = packed.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + bytes(64) + whole[middle + 64 :], b"", b"not a zip archive"):
        packed.write_bytes(damaged)
        with pytest.raises(WeightsMismatch, match="not a readable file of packed weights"):
            read_packed(packed, SPECS)
    packed.unlink()
    with pytest.raises(WeightsMismatch, match="No such file"):
        read_packed(packed, SPECS)
