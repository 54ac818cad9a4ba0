"""Networks in 8 bits: a space of their own, prepared and loaded like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.backbone import convert
from models.backbone.eight_bits import quantise_network
from models.backbone.openvino_loader import load_openvino
from models.backbone.prepare import prepare_backbone
from models.backbone.preprocessing import normalise
from models.backbone.store import find_backbone, load_backbone, load_space
from models.backbone.weights import resolve_weights
from models.errors import BackboneError, BackboneNotReady, WeightsNotFound
from models.values import UInt8
from tests.contracts.backbone import sample_inputs
from tests.contracts.tiny_backbone import prepare_tiny_backbone


@pytest.fixture(scope="module")
def small_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One convolution and its mean, uint8 (n, 299, 299, 3) in."""
    import openvino
    from openvino import opset13 as ops

    load_openvino()
    kernels = np.random.default_rng(5).normal(size=(8, 3, 7, 7)).astype(np.float32)
    pixels = ops.parameter([-1, 299, 299, 3], np.uint8)
    planes = ops.transpose(ops.convert(pixels, "f32"), np.array([0, 3, 1, 2]))
    maps = ops.relu(ops.convolution(planes, kernels, [7, 7], [0, 0], [0, 0], [1, 1]))
    out = tmp_path_factory.mktemp("small") / "network.xml"
    openvino.save_model(openvino.Model([ops.reduce_mean(maps, np.array([2, 3]))], [pixels]), out)
    return out


def kinds(network: Path) -> list[str]:
    """Types of the operations of a network."""
    return [node.get_type_name() for node in load_openvino().Core().read_model(str(network)).get_ordered_ops()]


def brighter(photos: Sequence[UInt8]) -> list[UInt8]:
    """The same photos in the upper half of their range."""
    return [(127 + photo // 2).astype(np.uint8) for photo in photos]


def test_the_name_of_the_precision_follows_from_what_was_seen(small_network: Path, tmp_path: Path) -> None:
    photos = sample_inputs(4)
    once = quantise_network(small_network, photos, tmp_path / "once.xml")
    assert once.startswith("int8:")
    assert len(once) == len("int8:") + 16
    assert quantise_network(small_network, photos, tmp_path / "again.xml") == once
    assert quantise_network(small_network, brighter(photos), tmp_path / "other.xml") != once
    assert "FakeQuantize" not in kinds(small_network)
    assert "FakeQuantize" in kinds(tmp_path / "once.xml")
    assert {path.name for path in tmp_path.glob("quantised*")} == set()


@pytest.fixture(scope="module")
def int8_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a tiny network at float32 and in 8 bits, calibrated on few photos: it takes seconds so."""
    home = tmp_path_factory.mktemp("int8-home")
    prepare_tiny_backbone(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "CALIBRATION_PHOTOS", 4)
        prepare_backbone("embedded+int8", home, in_process=True)
    return home


def test_it_is_a_space_of_its_own_near_that_of_float32(int8_home: Path) -> None:
    full, small = (load_backbone(source, int8_home) for source in ("embedded", "embedded+int8"))
    assert small.weights == "embedded+int8"
    assert small.description.precision.startswith("int8:")
    assert small.description.versions["nncf"]
    assert small.space != full.space
    for name in ("weights_sha256", "projection_sha256", "preprocessing"):
        assert getattr(small.description, name) == getattr(full.description, name)
    photos = sample_inputs(4)
    cosines = (small.extract(photos) * full.extract(photos)).sum(axis=1)
    assert 0.99 < cosines.min() < 0.9999999


def test_its_maps_explain_what_it_sees(int8_home: Path) -> None:
    pooled, maps = load_backbone("embedded+int8", int8_home).extract_with_maps(sample_inputs(2))
    np.testing.assert_allclose(normalise(maps.mean(axis=(1, 2))), pooled, atol=1e-5)


def test_it_is_found_by_its_space_and_not_taken_for_float32(int8_home: Path) -> None:
    prepared = find_backbone("embedded+int8", int8_home)
    assert load_space(prepared.space.identifier, int8_home).space == prepared.space.identifier
    assert find_backbone("embedded", int8_home).folder != prepared.folder
    steps: list[str] = []
    assert prepare_backbone("embedded+int8", int8_home, steps.append) == prepared.folder
    assert steps == []


def test_tensorflow_does_not_compute_it(int8_home: Path) -> None:
    with pytest.raises(BackboneError, match="PICKTURE_RUNTIME=openvino"):
        load_backbone("embedded+int8", int8_home, "tensorflow")


def test_it_is_made_of_float32_and_of_nothing_else(int8_home: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneNotReady, match="no backbone has been prepared for the weights random"):
        convert.make_files("random+int8", int8_home, tmp_path, lambda text: None)


def test_names_of_sources(tmp_path: Path) -> None:
    plain, small = (resolve_weights(source, tmp_path) for source in ("random", "random+int8"))
    assert (plain.precision, small.precision) == ("float32", "int8")
    assert (plain.label, small.label) == ("random", "random+int8")
    assert plain.key != small.key
    with pytest.raises(WeightsNotFound, match=r"none\.npz cannot be read"):
        resolve_weights(str(tmp_path / "none.npz+int8"), tmp_path)
    with pytest.raises(WeightsNotFound, match="no weight source"):
        resolve_weights("+int8", tmp_path)
