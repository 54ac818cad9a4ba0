"""The pipeline as a whole, small: from photos, drawn products and a teacher's file to packed weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.backbone.network import weighted_layers
from models.backbone.packed import PackedWeights, read_packed
from models.backbone.projection import Projection
from models.errors import NotEnoughData, TrainingError, UsageError
from models.training.pretrain import loop
from models.training.pretrain.blocks import start_student
from models.training.pretrain.corpus import Corpus
from models.training.pretrain.finish import make_projection
from models.training.pretrain.loop import Phase
from models.training.pretrain.run import EXACT_FILE, Material, Recipe, pretrain
from models.training.pretrain.shown import SourcePhoto
from models.values import Float32
from tests.models.pretrain.tiny_network import build_tiny

RECIPE = Recipe(rendered=2, match=(Phase(4, 75),), joint=(Phase(4, 75),), match_batch=4, joint_batch=4, head_steps=2)


class Interrupted(Exception):
    """Stands for Ctrl-C."""


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "ROUND_STEPS", 2)


@pytest.fixture(scope="module")
def material(shop_photos: list[SourcePhoto], tmp_path_factory: pytest.TempPathFactory) -> Material:
    teacher: Any = build_tiny()
    start_student(teacher, 9)
    path = tmp_path_factory.mktemp("teacher") / "teacher.weights.h5"
    teacher.save_weights(path)
    return Material(shop_photos, {}, path)


def run(
    folder: Path, material: Material, recipe: Recipe = RECIPE, say: Callable[[str], None] = lambda line: None
) -> PackedWeights:
    """The exact weights that came of a run."""
    pretrain(folder, material, recipe, say, build=build_tiny)
    return read_packed(folder / EXACT_FILE, [spec for spec, _ in weighted_layers(build_tiny())])


def same(first: PackedWeights, second: PackedWeights) -> bool:
    pairs = zip(first.arrays, second.arrays, strict=True)
    return all(np.allclose(a, b, atol=1e-4) for one, two in pairs for a, b in zip(one, two, strict=True))


def test_pretraining_packs_weights_that_know_what_they_saw(material: Material, tmp_path: Path) -> None:
    lines: list[str] = []
    packed = run(tmp_path, material, say=lines.append)
    for stage in ("match 4/4", "heads 2/2", "joint 4/4"):
        assert any(line.startswith(stage) and "val_loss" in line for line in lines)
    assert packed.projection.shape == (2048, 256)
    assert packed.seen and all(len(digest) == 64 for digest in packed.seen)
    assert packed.card["recipe"]["seed"] == RECIPE.seed and packed.card["teacher_sha256"]
    assert set(packed.card["minutes"]) == {"match", "heads", "joint"}
    assert packed.card["projection"] == "random orthogonal"  # so few pictures span no 256 directions
    told: list[str] = []
    assert same(packed, run(tmp_path, material, say=told.append))
    assert "joint: going on after step 4 of 4" in told and not any("images/s" in line for line in told)
    for other in (replace(RECIPE, seed=1), replace(RECIPE, joint=(Phase(6, 75),)), replace(RECIPE, rendered=3)):
        with pytest.raises(TrainingError, match="holds a run that began otherwise"):
            run(tmp_path, material, other)


def test_without_a_teacher_and_without_classes_likeness_alone_teaches_and_the_joint_stage_goes_on(
    shop_photos: list[SourcePhoto], tmp_path: Path
) -> None:
    strangers = [SourcePhoto(photo.path, "shop", f"one {place}") for place, photo in enumerate(shop_photos[:8])]
    material, recipe = Material(strangers, {}, None), replace(RECIPE, rendered=0)
    whole = run(tmp_path / "whole", material, recipe)
    assert set(whole.card["classes"].values()) == {0} and whole.card["teacher_sha256"] is None
    assert set(whole.card["minutes"]) == {"joint"}
    start = build_tiny()
    start_student(start, RECIPE.seed)
    assert not np.allclose(whole.arrays[0][0], weighted_layers(start)[0][1].get_weights()[0])

    def stop(line: str) -> None:
        if line.startswith("joint 2/4"):
            raise Interrupted

    with pytest.raises(Interrupted):
        run(tmp_path / "again", material, recipe, stop)
    told: list[str] = []
    again = run(tmp_path / "again", material, recipe, told.append)
    assert "joint: going on after step 2 of 4" in told
    assert same(whole, again)


@pytest.mark.parametrize(("precision", "guided"), [("mixed_bfloat16", False), ("mixed_float16", True)])
def test_mixed_precision_trains_in_16_bits_and_packs_full_numbers(
    precision: Any, guided: bool, material: Material, tmp_path: Path
) -> None:
    networks: list[Any] = []

    def build() -> Any:
        networks.append(build_tiny())
        return networks[-1]

    recipe = replace(RECIPE, rendered=0, precision=precision)
    taught = material if guided else replace(material, teacher=None)
    pretrain(tmp_path, taught, recipe, lambda line: None, build=build)
    *trained, packed = networks
    student = trained[-1]
    assert len(trained) == 1 + guided
    assert {network.layers[1].compute_dtype for network in trained} == {precision.removeprefix("mixed_")}
    assert packed.layers[1].compute_dtype == "float32"
    assert all(np.array_equal(a, b) for a, b in zip(student.get_weights(), packed.get_weights(), strict=True))
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite([line["loss"], line["val_loss"]]).all() for line in log)
    with np.load(tmp_path / "joint.npz") as state:
        assert {state[name].dtype.name for name in state.files if state[name].ndim == 4} == {"float32"}


def test_weights_are_for_sources_that_there_are(material: Material, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'groceries' came; the sources are rendered, shop"):
        run(tmp_path, material, replace(RECIPE, sources=(("groceries", 0.5),)))
    with pytest.raises(UsageError, match="weight -1"):
        run(tmp_path, material, replace(RECIPE, sources=(("shop", -1.0),)))
    with pytest.raises(NotEnoughData, match="leave none to draw"):
        run(tmp_path, material, replace(RECIPE, sources=(("shop", 0.0), ("rendered", 0.0))))


def test_the_projection_is_fitted_where_there_are_pictures_enough(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def bottlenecks(network: Any, corpus: Corpus, rows: Any) -> Float32:
        asked.append(rows)
        return np.random.default_rng(0).random((len(rows), 2048), np.float32)

    monkeypatch.setattr("models.training.pretrain.finish.bottlenecks", bottlenecks)
    projection, kind = make_projection(None, corpus, 0)
    assert kind == "fitted" and set(asked[0]) == set(corpus.rows("train"))
    monkeypatch.setattr("models.training.pretrain.finish.PROJECTION_PHOTOS", 200)
    few, kind = make_projection(None, corpus, 0)
    assert kind == "random orthogonal" and np.array_equal(few.matrix, Projection.random_orthogonal().matrix)
    assert not np.array_equal(few.matrix, projection.matrix)
