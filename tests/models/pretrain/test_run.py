"""The pipeline as a whole, small: from a folder of photos and a teacher's file to packed weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from models.backbone.network import weighted_layers
from models.backbone.packed import read_packed
from models.training.pretrain.blocks import start_student
from models.training.pretrain.corpus import SourcePhoto
from models.training.pretrain.loop import Phase
from models.training.pretrain.run import Material, Recipe, pretrain
from tests.models.pretrain.conftest import DRAWN
from tests.models.pretrain.tiny_network import build_tiny


def test_pretraining_packs_weights_that_know_what_they_saw(
    shop_photos: list[SourcePhoto], corpus_folder: Path, tmp_path: Path
) -> None:
    teacher: Any = build_tiny()
    start_student(teacher, 9)
    teacher.save_weights(tmp_path / "teacher.weights.h5")
    shutil.copytree(corpus_folder, tmp_path / "run" / "corpus")
    recipe = Recipe(
        rendered=DRAWN, match=(Phase(25, 75),), joint=(Phase(25, 75),), match_batch=4, joint_batch=4, head_steps=5
    )
    lines: list[str] = []
    material = Material(shop_photos, {}, tmp_path / "teacher.weights.h5")
    path = pretrain(tmp_path / "run", material, recipe, lines.append, build=build_tiny)
    specs = [spec for spec, _ in weighted_layers(teacher)]
    packed = read_packed(path, specs)
    assert packed.projection.shape == (2048, 256)
    assert packed.seen and all(len(digest) == 64 for digest in packed.seen)
    assert packed.card["recipe"]["seed"] == recipe.seed and packed.card["teacher_sha256"]
    assert set(packed.card["minutes"]) == {"match", "heads", "joint"}
    assert any("match 25/25" in line for line in lines) and any("joint 25/25" in line for line in lines)
