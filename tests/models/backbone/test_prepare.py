"""Preparing, finding and verifying backbones; weight sources by name and by path."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from models.backbone import weights as weight_sources
from models.backbone.fetch_imagenet import fetch_imagenet
from models.backbone.network import LayerSpec
from models.backbone.packed import read_packed
from models.backbone.prepare import prepare_backbone
from models.backbone.projection import Projection
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.store import find_backbone, load_backbone, verify_files
from models.backbone.weight_files import hash_weights
from models.backbone.weights import EMBEDDED_FILE, IMAGENET_FILE, check_imagenet, resolve_weights
from models.errors import BackboneError, BackboneNotReady, WeightsMismatch, WeightsNotFound
from tests.contracts.backbone import sample_inputs
from tests.models.backbone.test_weight_files import write_by_position


@pytest.fixture(scope="module")
def notop_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Keras ``*_notop.h5`` with random weights, as somebody's own training would leave it."""
    from models.backbone.network import build_network, weighted_layers

    layers = weighted_layers(build_network())
    arrays = [list(layer.get_weights()) for _, layer in layers]
    folder = tmp_path_factory.mktemp("weights")
    return write_by_position(folder / "own_notop.h5", arrays, [f"old_{spec.name}" for spec, _ in layers])


@pytest.fixture(scope="module")
def inception_specs() -> list[LayerSpec]:
    from models.backbone.network import build_network, weighted_layers

    return [spec for spec, _ in weighted_layers(build_network())]


@pytest.fixture(scope="module")
def notop_home(notop_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("notop-home")
    prepare_backbone(str(notop_file), home, in_process=True)
    return home


@pytest.fixture
def broken_home(backbone_home: Path, tmp_path: Path) -> Path:
    """A copy of the prepared home that a test may damage."""
    shutil.copytree(backbone_home, tmp_path / "home")
    return tmp_path / "home"


def test_a_notop_file_by_path_works(notop_file: Path, notop_home: Path) -> None:
    backbone = load_backbone(str(notop_file), notop_home)
    assert backbone.weights == "file:own_notop.h5"
    assert backbone.extract(sample_inputs(1)).shape == (1, 2048)
    assert backbone.projection.sha256 == Projection.random_orthogonal().sha256
    assert find_backbone(str(notop_file), notop_home).seen_hashes() == frozenset()


def test_another_network_is_another_space(
    notop_file: Path, notop_home: Path, openvino_backbone: OpenVinoBackbone
) -> None:
    assert find_backbone(str(notop_file), notop_home).space.identifier != openvino_backbone.space


def test_the_random_network_is_prepared_when_asked_for_and_is_another_space(
    backbone_home: Path, openvino_backbone: OpenVinoBackbone, tmp_path: Path
) -> None:
    with pytest.raises(BackboneNotReady, match="weights random"):
        find_backbone("random", backbone_home)
    prepare_backbone("random", tmp_path, in_process=True)
    prepared = find_backbone("random", tmp_path)
    assert prepared.space.weights == "random"
    assert prepared.seen_hashes() == frozenset()
    assert prepared.load_projection().sha256 == Projection.random_orthogonal().sha256
    assert prepared.space.identifier != openvino_backbone.space


def test_packed_weights_bring_their_projection_and_what_they_saw(
    backbone_home: Path, inception_specs: list[LayerSpec]
) -> None:
    """The file that is shipped, prepared by a child, holds what its file says."""
    packed = read_packed(EMBEDDED_FILE, inception_specs)
    prepared = find_backbone("embedded", backbone_home)
    assert prepared.space.weights_sha256 == hash_weights(inception_specs, packed.arrays)
    assert prepared.space.projection_sha256 == Projection(packed.projection).sha256
    assert prepared.seen_hashes() == packed.seen


def test_the_shipped_file_is_small_enough() -> None:
    assert EMBEDDED_FILE.stat().st_size <= 25_000_000


def test_the_same_weights_under_another_name_share_a_folder_that_knows_what_both_saw(broken_home: Path) -> None:
    with np.load(EMBEDDED_FILE) as stored:
        members = dict(stored)
    before = find_backbone("embedded", broken_home)
    own = broken_home / "own.npz"
    np.savez(own, **{**members, "seen": np.full((1, 32), 0xAB, np.uint8)})
    folder = prepare_backbone(str(own), broken_home, in_process=True)
    assert folder == before.folder
    assert find_backbone(str(own), broken_home).space.weights == "file:own.npz"
    both = find_backbone("embedded", broken_home).seen_hashes()
    assert find_backbone(str(own), broken_home).seen_hashes() == both
    assert "ab" * 32 in both
    assert len(both) == len(members["seen"]) + 1
    load_backbone("embedded", broken_home)
    np.savez(own, **{**members, "seen": np.full((2, 32), 0xCD, np.uint8)})
    with pytest.raises(BackboneNotReady, match=r"own\.npz has changed"):
        find_backbone(str(own), broken_home)


def test_a_damaged_list_of_seen_photos_is_noticed(broken_home: Path) -> None:
    prepared = find_backbone("embedded", broken_home)
    (prepared.folder / "seen.json").write_text('{"photos": []}')
    with pytest.raises(BackboneError, match=r"seen\.json is damaged"):
        prepared.seen_hashes()


def test_an_installation_without_the_shipped_weights_says_so(
    tmp_path: Path, backbone_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = resolve_weights("embedded", tmp_path).key
    moved = tmp_path / "embedded.npz"
    monkeypatch.setattr(weight_sources, "EMBEDDED_FILE", moved)
    with pytest.raises(WeightsNotFound, match=r"embedded\.npz cannot be read.*belongs to the installation"):
        find_backbone("embedded", backbone_home)
    shutil.copy(EMBEDDED_FILE, moved)
    assert resolve_weights("embedded", tmp_path).key == key
    assert find_backbone("embedded", backbone_home).space.weights == "embedded"
    with moved.open("r+b") as file:
        file.seek(1000)
        file.write(b"0123")
    with pytest.raises(BackboneNotReady, match="has changed"):
        find_backbone("embedded", backbone_home)


def test_preparing_again_finds_the_folder_and_leaves_it_alone(backbone_home: Path) -> None:
    steps: list[str] = []
    folder = prepare_backbone("embedded", backbone_home, steps.append)
    assert steps == []
    assert folder == find_backbone("embedded", backbone_home).folder
    verify_files(folder, json.loads((folder / "manifest.json").read_text())["files"])
    assert not list(folder.parent.glob(".new-*"))


def test_the_projection_comes_without_the_network(backbone_home: Path) -> None:
    prepared = find_backbone("embedded", backbone_home)
    vectors = np.ones((2, 2048), np.float32)
    assert prepared.load_projection().apply(vectors).shape == (2, 256)
    assert prepared.space.weights == "embedded"


def test_what_is_not_prepared_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(BackboneNotReady, match="make train-bottlenecks"):
        load_backbone("embedded", tmp_path)


def test_a_touched_file_still_fits_and_a_changed_one_does_not(notop_file: Path, notop_home: Path) -> None:
    source = str(notop_file)
    status = notop_file.stat()
    os.utime(notop_file, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    prepared = find_backbone(source, notop_home)
    assert prepare_backbone(source, notop_home) == prepared.folder
    with h5py.File(notop_file, "r+") as file:
        file["old_conv2d/old_conv2d/w0:0"][0, 0, 0, 0] += 1.0
    with pytest.raises(BackboneNotReady, match="has changed"):
        find_backbone(source, notop_home)


@pytest.mark.parametrize("name", ["network.xml", "network.bin", "projection.npz", "space.json"])
def test_damage_is_noticed_before_loading(broken_home: Path, name: str) -> None:
    path = find_backbone("embedded", broken_home).folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BackboneError, match=r"damaged|changed|unreadable"):
        load_backbone("embedded", broken_home)
    path.unlink()
    with pytest.raises(BackboneError, match=r"missing|cannot be read"):
        load_backbone("embedded", broken_home)


def test_a_missing_folder_manifest_or_record_is_named(broken_home: Path) -> None:
    folder = find_backbone("embedded", broken_home).folder
    (folder / "manifest.json").write_text('{"format": 99, "files": {}}')
    with pytest.raises(BackboneError, match="format 99"):
        load_backbone("embedded", broken_home)
    shutil.rmtree(folder)
    with pytest.raises(BackboneNotReady, match="is gone"):
        load_backbone("embedded", broken_home)
    record = next((broken_home / "backbones" / "sources").iterdir())
    record.write_text("{}")
    with pytest.raises(BackboneError, match="damaged"):
        load_backbone("embedded", broken_home)


def test_the_child_reports_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "weights" / IMAGENET_FILE
    path.parent.mkdir()
    path.write_bytes(b"something else")
    with pytest.raises(WeightsMismatch, match="MD5"):
        prepare_backbone("imagenet", tmp_path)
    assert list((tmp_path / "backbones").glob(".new-*")) == []


def test_a_file_of_another_network_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    path = write_by_position(tmp_path / "small_notop.h5", [[np.zeros((3, 3, 3, 8))]], ["conv2d"])
    with pytest.raises(WeightsMismatch, match=r"layer conv2d \(here conv2d\) has shapes.*\(3, 3, 3, 32\)"):
        prepare_backbone(str(path), tmp_path / "home", in_process=True)
    assert list((tmp_path / "home" / "backbones").glob(".new-*")) == []


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match="make imagenet-weights"):
        resolve_weights("imagenet", tmp_path)
    with pytest.raises(WeightsNotFound, match="cannot be read"):
        resolve_weights(str(tmp_path / "none.h5"), tmp_path)
    with pytest.raises(WeightsNotFound, match="cannot be read"):
        resolve_weights(str(tmp_path), tmp_path)
    with pytest.raises(WeightsNotFound, match="no weight source"):
        resolve_weights("", tmp_path)
    (tmp_path / "weights.pt").touch()
    with pytest.raises(WeightsMismatch, match=r"neither in \.npz nor in \.h5"):
        resolve_weights(str(tmp_path / "weights.pt"), tmp_path)


def test_imagenet_must_be_the_official_file(tmp_path: Path) -> None:
    path = tmp_path / "weights" / IMAGENET_FILE
    path.parent.mkdir()
    path.write_bytes(b"something else")
    assert resolve_weights("imagenet", tmp_path).label == "imagenet"
    with pytest.raises(WeightsMismatch, match="MD5"):
        check_imagenet(path)
    with pytest.raises(WeightsMismatch, match="MD5"):
        fetch_imagenet(tmp_path)


def test_a_failed_or_wrong_download_leaves_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.h5"
    wrong.write_bytes(b"an error page")
    for url in (wrong.as_uri(), (tmp_path / "absent.h5").as_uri()):
        with pytest.raises(WeightsNotFound, match="could not be downloaded"):
            fetch_imagenet(tmp_path / "home", url)
        assert list((tmp_path / "home" / "weights").iterdir()) == []


def test_layer_specs_follow_keras_own_file_names(backbone_home: Path, inception_specs: list[LayerSpec]) -> None:
    """The names in a ``.weights.h5`` written by Keras are those of ``LayerSpec``."""
    assert len(inception_specs) == 188
    with h5py.File(find_backbone("embedded", backbone_home).folder / "network.weights.h5") as file:
        stored = {name for name, group in file["layers"].items() if len(group["vars"])}
    assert stored == {spec.name for spec in inception_specs}
