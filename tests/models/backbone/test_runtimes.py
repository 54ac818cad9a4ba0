"""Both runtimes keep the contract and agree with each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.backbone.convert import render_images
from models.backbone.openvino_loader import load_openvino
from models.backbone.preprocessing import PREPROCESSING, fit_input, normalise
from models.backbone.projection import Projection
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.space import Space
from models.backbone.store import find_backbone, load_backbone
from models.errors import BackboneError, UsageError
from models.values import Backbone, Float32, UInt8
from tests.contracts.backbone import BackboneContract, sample_inputs
from tests.contracts.fake_backbone import FakeBackbone

GROCERY = Path(__file__).parents[4] / "shared" / "datasets" / "grocery-store"
PARITY = 1e-4
"""Relative L2 difference allowed between the runtimes; float32 has 6e-8 an operation."""


class TestOpenVino(BackboneContract):
    @pytest.fixture
    def backbone(self, openvino_backbone: OpenVinoBackbone) -> Backbone:
        return openvino_backbone


class TestTensorFlow(BackboneContract):
    @pytest.fixture
    def backbone(self, tensorflow_backbone: OpenVinoBackbone) -> Backbone:
        return tensorflow_backbone


class TestFake(BackboneContract):
    @pytest.fixture
    def backbone(self) -> Backbone:
        return FakeBackbone()


def nearest_five(vectors: Float32) -> list[set[int]]:
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return [set(row[:5].tolist()) for row in np.argsort(distances, axis=1)]


def assert_parity(pictures: list[UInt8], first: Backbone, second: Backbone) -> None:
    one, other = first.extract(pictures), second.extract(pictures)
    assert np.linalg.norm(one - other, axis=1).max() < PARITY
    agreement = np.mean([len(a & b) / 5 for a, b in zip(nearest_five(one), nearest_five(other), strict=True)])
    assert agreement >= 0.98


def test_the_runtimes_agree_on_rendered_photos(
    openvino_backbone: OpenVinoBackbone, tensorflow_backbone: OpenVinoBackbone
) -> None:
    pictures = [fit_input(image) for image in render_images(12)]
    assert_parity(pictures, openvino_backbone, tensorflow_backbone)


@pytest.mark.skipif(not GROCERY.is_dir(), reason=f"real photos are absent: {GROCERY}")
def test_the_runtimes_agree_on_real_photos(
    openvino_backbone: OpenVinoBackbone, tensorflow_backbone: OpenVinoBackbone
) -> None:
    paths = sorted((GROCERY / "val").rglob("*.jpg"))[::15][:16]
    pictures = [fit_input(np.asarray(Image.open(path).convert("RGB"))) for path in paths]
    assert len(pictures) == 16
    assert_parity(pictures, openvino_backbone, tensorflow_backbone)


def test_more_than_one_batch_goes_through(openvino_backbone: OpenVinoBackbone) -> None:
    pictures = sample_inputs(17)
    assert openvino_backbone.extract(pictures).shape == (17, 2048)


def test_both_runtimes_name_the_same_space_and_weights(
    openvino_backbone: OpenVinoBackbone, tensorflow_backbone: OpenVinoBackbone
) -> None:
    assert openvino_backbone.space == tensorflow_backbone.space
    assert openvino_backbone.weights == tensorflow_backbone.weights == "embedded"
    assert openvino_backbone.projection.sha256 == openvino_backbone.description.projection_sha256


def test_thread_and_stream_counts_are_checked(backbone_home: Path) -> None:
    with pytest.raises(UsageError, match="streams=0"):
        load_backbone("embedded", backbone_home, streams=0)
    with pytest.raises(UsageError, match="openvino or tensorflow"):
        load_backbone("embedded", backbone_home, "onnx")  # type: ignore[arg-type]


def test_the_map_costs_the_bottleneck_nothing(backbone_home: Path, openvino_backbone: OpenVinoBackbone) -> None:
    """The stored network compiled as it is gives the very same pool_3 as with the map for a second output."""
    openvino = load_openvino()
    folder = find_backbone("embedded", backbone_home).folder
    options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    plain = openvino.Core().compile_model(str(folder / "network.xml"), "CPU", options).create_infer_request()
    pictures = sample_inputs(2)
    assert np.array_equal(normalise(plain.infer([np.stack(pictures)])[0]), openvino_backbone.extract(pictures))


def test_a_network_without_a_map_extracts_and_says_that_it_cannot_explain(tmp_path: Path) -> None:
    openvino = load_openvino()
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, 299, 299, 3], np.uint8)
    flat = ops.reshape(ops.convert(pixels, "f32"), np.array([0, -1]), True)
    first = ops.slice(flat, np.array([0]), np.array([2048]), np.array([1]), np.array([1]))
    openvino.save_model(openvino.Model([first], [pixels], "flat"), tmp_path / "network.xml", compress_to_fp16=False)
    projection = Projection(np.eye(2048, 256, dtype=np.float32))
    space = Space("0" * 64, PREPROCESSING, projection.sha256, weights="flat")
    backbone = OpenVinoBackbone(tmp_path / "network.xml", space, projection)
    picture = sample_inputs(1)[0]
    expected = normalise(picture.reshape(1, -1)[:, :2048].astype(np.float32))
    assert np.allclose(backbone.extract([picture]), expected, atol=1e-6)
    with pytest.raises(BackboneError, match="explained"):
        backbone.extract_with_maps([picture])


def test_the_serving_path_loads_neither_tensorflow_nor_telemetry(backbone_home: Path, tmp_path: Path) -> None:
    """In a fresh interpreter, with a home folder that says nothing about telemetry."""
    script = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from models.backbone.store import load_backbone\n"
        f"backbone = load_backbone('embedded', Path({str(backbone_home)!r}), threads=1)\n"
        "backbone.extract([np.zeros((299, 299, 3), np.uint8)])\n"
        "heavy = {'tensorflow', 'keras', 'albumentations', 'h5py', 'openvino_telemetry'}\n"
        "print(sorted(name for name in heavy if sys.modules.get(name) is not None))\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []
