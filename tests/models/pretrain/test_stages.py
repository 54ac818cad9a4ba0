"""Matching, stitching and joint training on a small network with the maps of Inception-v3."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.backbone.network import import_keras, weighted_layers
from models.errors import NotEnoughData, TrainingError
from models.training.pretrain import loop
from models.training.pretrain.batches import Draw, joint_batches, match_batches, source_chances
from models.training.pretrain.blocks import block_outputs, channel_weights, cut_blocks, maps_model, start_student
from models.training.pretrain.corpus import TASKS, Corpus
from models.training.pretrain.joint import Guide, Weighting, contrastive_loss, joint_model
from models.training.pretrain.loop import Phase, Stage, Supply, falling_rate, run_stage
from models.training.pretrain.match import block_match_model
from models.training.pretrain.muon import make_muon
from models.training.pretrain.state import load_state
from models.training.pretrain.stitch import silence_dead_inputs, stitch
from tests.models.pretrain.tiny_network import POOLED_NORM, build_tiny

BATCH = 8
SIZE = 75


def fresh_student(seed: int = 2) -> Any:
    network = build_tiny()
    start_student(network, seed)
    return network


def unexplained(student: Any, teacher: Any, images: np.ndarray, weights: list[np.ndarray]) -> list[float]:
    mine, theirs = (maps_model(network).predict(images, verbose=0) for network in (student, teacher))
    triples = zip(mine, theirs, weights, strict=True)
    return [float(np.mean(np.sum((a - b) ** 2 * w, axis=-1))) for a, b, w in triples]


def matching(folder: Path, student: Any, teacher: Any, weights: list[np.ndarray]) -> Any:
    stage = Stage("match", folder, (Phase(50, SIZE),), BATCH, 0.03)
    model = block_match_model(maps_model(teacher), cut_blocks(student), weights, BATCH)
    model.compile(optimizer=make_muon(falling_rate(stage)), jit_compile=False)
    return stage, model


def test_blocks_follow_each_other_and_make_the_network(images: np.ndarray) -> None:
    student = fresh_student()
    maps = maps_model(student).predict(images, verbose=0)
    fed = images
    for block, expected in zip(cut_blocks(student), maps, strict=True):
        fed = block.model.predict(fed, verbose=0)
        assert np.allclose(fed, expected, atol=1e-4), block.name
    assert [name for name, _ in block_outputs(student)] == ["stem0", "stem1", *(f"mixed{i}" for i in range(11))]


def test_start_values_depend_on_the_seed_and_answer_to_no_common_input() -> None:
    first, again, other = (
        [layer.get_weights()[0] for _, layer in weighted_layers(fresh_student(seed))] for seed in (2, 2, 3)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    kernels = [values for values in first if values.ndim == 4]
    assert all(np.abs(kernel.mean(axis=(0, 1, 2))).max() < 1e-6 for kernel in kernels)


def test_channel_weights_count_the_unexplained_share() -> None:
    rng = np.random.default_rng(0)
    maps = np.concatenate([rng.normal(size=(400, 2, 2, 3)) * [1.0, 2.0, 4.0], np.zeros((400, 2, 2, 1))], axis=-1)
    weights = channel_weights([maps.astype(np.float32)])[0]
    assert weights[3] == 0
    assert np.sum(maps.var(axis=(0, 1, 2)) * weights) == pytest.approx(1.0, abs=0.02)


def test_muon_turns_a_kernel_by_an_orthogonal_matrix() -> None:
    keras = import_keras()
    variable = keras.Variable(np.zeros((3, 3, 4, 12), np.float32), name="kernel")
    optimiser = make_muon(0.5)
    optimiser.build([variable])
    gradient = np.random.default_rng(0).normal(size=(3, 3, 4, 12)).astype(np.float32)
    optimiser.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    step = -np.asarray(variable).reshape(36, 12) / (0.5 * np.sqrt(2.0))
    assert np.linalg.svd(step, compute_uv=False) == pytest.approx(np.ones(12), abs=0.35)
    u, _, v = np.linalg.svd(gradient.reshape(36, 12), full_matrices=False)
    assert np.sum(step * (u @ v)) / np.linalg.norm(step) / np.sqrt(12) > 0.95


def test_matching_explains_the_teacher_and_goes_on_where_it_stopped(
    corpus: Corpus, teacher: Any, teacher_weights: list[np.ndarray], images: np.ndarray, tmp_path: Path
) -> None:
    draw = Draw(corpus, source_chances(corpus, {}), BATCH, 4)
    before = unexplained(fresh_student(), teacher, images, teacher_weights)
    asked: list[tuple[int, int, int]] = []

    def batches(first: int, steps: int, size: int) -> Any:
        asked.append((first, steps, size))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return match_batches(draw, first, steps, size)

    stage, model = matching(tmp_path, fresh_student(), teacher, teacher_weights)
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, model, Supply(batches), lambda line: None)
    stopped = [np.asarray(v) for v in (*model.trainable_variables, *model.optimizer.variables)]

    student = fresh_student()
    stage, model = matching(tmp_path, student, teacher, teacher_weights)
    model.optimizer.build(model.trainable_variables)
    restored = [*model.trainable_variables, *model.optimizer.variables]
    assert load_state(tmp_path / "match.npz", restored) == 25
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(stopped, restored, strict=True))
    run_stage(stage, model, Supply(batches), lambda line: None)
    assert asked == [(0, 25, SIZE), (25, 25, SIZE), (25, 25, SIZE)]
    log = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [25, 50]
    assert np.mean(unexplained(student, teacher, images, teacher_weights)) < 0.7 * np.mean(before)


@pytest.fixture
def order_counts(tmp_path: Path) -> Callable[[str, int], tuple[Any, list[int]]]:
    """Runs a stage of eight steps on one weight that remembers the order of its batches, told to stop or not."""
    keras = import_keras()

    class Last(keras.Model):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.value = self.add_weight(shape=(1,), initializer="zeros", name="value")

        def call(self, x: Any) -> Any:
            return self.value * x

        def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:
            return keras.ops.mean(keras.ops.square(y_pred - 1.0))

    class Numbers(keras.utils.PyDataset):  # type: ignore[name-defined]
        def __init__(self, first: int, steps: int) -> None:
            super().__init__()
            self.first, self.steps = first, steps

        def __len__(self) -> int:
            return self.steps

        def __getitem__(self, index: int) -> tuple[np.ndarray]:
            return (np.full((1, 1), self.first + index + 1.0, np.float32),)

    def run(name: str, stop_at: int) -> tuple[Any, list[int]]:
        model = Last()
        model.build((1, 1))
        model.compile(optimizer=keras.optimizers.SGD(0.01), jit_compile=False)
        stage = Stage("numbers", tmp_path / name, (Phase(8, SIZE),), 1, 0.1)
        judged: list[int] = []

        def batches(first: int, steps: int, size: int) -> Any:
            if first == stop_at:
                raise KeyboardInterrupt
            return Numbers(first, steps)

        def sample(size: int) -> Any:
            judged.append(size)
            return Numbers(0, 2)

        run_stage(stage, model, Supply(batches, sample), lambda line: None)
        return np.asarray(model.value), judged

    return run


def test_an_interrupted_stage_ends_with_the_weights_of_one_that_was_not(
    order_counts: Callable[[str, int], tuple[Any, list[int]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loop, "ROUND_STEPS", 4)
    whole, judged = order_counts("whole", -1)
    with pytest.raises(KeyboardInterrupt):
        order_counts("again", 4)
    again, _ = order_counts("again", -1)
    assert whole == pytest.approx(again, abs=1e-7)
    steps = np.arange(1.0, 9.0)
    expected = 0.0
    for x in steps:
        expected -= 0.01 * 2 * (expected * x - 1) * x
    assert whole == pytest.approx(expected, abs=1e-5)
    assert judged == [SIZE, SIZE]
    log = [json.loads(line) for line in (tmp_path / "again" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [4, 8]
    assert log[-1]["val_loss"] == pytest.approx(np.mean([(again[0] * x - 1) ** 2 for x in (1, 2)]), abs=1e-3)


def test_validation_pictures_are_no_backgrounds_and_have_draws_of_their_own(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbered = np.stack([np.full((40, 40, 3), row, np.uint8) for row in range(20)])
    roles = ["validation" if row % 2 else "train" for row in range(20)]
    entries = tuple(replace(corpus.entries[0], role=role, source="shop") for role in roles)
    small = Corpus(numbered, entries, corpus.vocabularies)
    behind: list[int] = []

    def recorded(studio: np.ndarray, background: np.ndarray, rng: Any) -> np.ndarray:
        behind.append(int(background[0, 0, 0]))
        return studio

    monkeypatch.setattr("models.training.pretrain.batches.on_clutter", recorded)
    chances = source_chances(small, {}, "validation")
    assert np.flatnonzero(chances).tolist() == list(range(1, 20, 2))
    for drawn in (chances, source_chances(small, {})):
        for number in range(3):
            match_batches(Draw(small, drawn, 20, 0), number, 1, 40)[0]
    assert len(behind) > 30 and all(row % 2 == 0 for row in behind)
    with pytest.raises(NotEnoughData, match="leave none to draw"):
        source_chances(small, {"shop": 0.0})


def test_a_batch_depends_on_its_number_alone(corpus: Corpus) -> None:
    draw = Draw(corpus, source_chances(corpus, {}), BATCH, 4)
    late = match_batches(draw, 7, 1, SIZE)[0][0]
    assert np.array_equal(late, match_batches(draw, 5, 3, SIZE)[2][0])
    assert not np.array_equal(late, match_batches(draw, 6, 1, SIZE)[0][0])


def test_a_checkpoint_of_another_run_is_refused(
    teacher: Any, teacher_weights: list[np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "match.npz", v0=np.zeros(3), done=np.int64(5))
    stage, model = matching(tmp_path, fresh_student(), teacher, teacher_weights)
    with pytest.raises(TrainingError, match="remove it to start this stage anew"):
        run_stage(stage, model, Supply(lambda *_: None), lambda line: None)


def test_stitching_gives_last_convolutions_the_teachers_spread(teacher: Any, images: np.ndarray) -> None:
    student = fresh_student()
    stitch(student, teacher, images)
    maps = [maps_model(network).predict(images, verbose=0) for network in (student, teacher)]
    for mine, theirs in zip(*maps, strict=True):
        ratio = mine.std(axis=(0, 1, 2)).mean() / theirs.std(axis=(0, 1, 2)).mean()
        assert 0.5 < ratio < 2.0


def folded(teacher: Any) -> Any:
    """A network that answers like ``teacher`` with the scale of its batch norms in the kernels."""
    student = fresh_student()
    for (layer, norm), (guide, guides_norm) in zip(normed(student), normed(teacher), strict=True):
        beta, mean, variance = guides_norm.get_weights()
        scale = 1.0 / np.sqrt(variance + 1e-3)
        layer.set_weights([guide.get_weights()[0] * scale])
        norm.set_weights([beta - mean * scale, np.zeros_like(mean), np.full_like(variance, 1.0 - 1e-3)])
    return student


def normed(network: Any) -> list[tuple[Any, Any]]:
    """(convolution, its batch norm)."""
    layers = [layer for _, layer in weighted_layers(network)]
    norms = {id(layer.input): layer for layer in layers}
    return [(layer, norms[id(layer.output)]) for layer in layers if id(layer.output) in norms]


def test_stitching_leaves_an_equal_student_equal_however_the_teachers_norms_are(images: np.ndarray) -> None:
    teacher, rng = fresh_student(3), np.random.default_rng(0)
    for spec, layer in weighted_layers(teacher):
        if not spec.name.startswith("conv2d"):
            (size,) = spec.shapes[0]
            layer.set_weights([rng.normal(0, 0.1, size), rng.normal(0, 0.2, size), rng.lognormal(0, 1, size)])
    weights = channel_weights([np.asarray(values) for values in maps_model(teacher).predict(images, verbose=0)])
    student = folded(teacher)
    assert len(normed(teacher)) == sum(spec.name.startswith("conv2d") for spec, _ in weighted_layers(teacher))
    assert max(unexplained(student, teacher, images, weights)) < 1e-6
    stitch(student, teacher, images)
    assert max(unexplained(student, teacher, images, weights)) < 1e-3


def test_dead_channels_of_the_teacher_are_not_read(images: np.ndarray) -> None:
    teacher, student = fresh_student(1), fresh_student(2)
    norm = teacher.get_layer(POOLED_NORM)
    beta, mean, variance = norm.get_weights()
    variance[0] = 1e12
    norm.set_weights([beta, mean, variance])
    assert silence_dead_inputs(student, teacher, images) >= 1
    dead = maps_model(teacher).predict(images, verbose=0)[2].std(axis=(0, 1, 2)) < 1e-3
    assert dead[0]
    reader = cut_blocks(student)[3].model.layers[1]
    unread = ~np.asarray(reader.kernel).any(axis=(0, 1, 3))
    assert np.array_equal(unread, dead)


def test_contrastive_loss_of_a_known_case() -> None:
    ops = import_keras().ops
    unit = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    alike = float(contrastive_loss(ops, unit, np.array([0, 0, 1, 1]), temperature=1.0))
    assert alike == pytest.approx(-1 + np.log(np.e + 2), abs=1e-5)
    crossed = float(contrastive_loss(ops, unit, np.array([0, 1, 0, 1]), temperature=1.0))
    assert crossed == pytest.approx(np.log(np.e + 2), abs=1e-5)
    assert float(contrastive_loss(ops, unit, np.array([0, 1, 2, 3]))) == 0.0


def test_joint_batches_pair_pictures_of_one_product(corpus: Corpus) -> None:
    views, targets = joint_batches(Draw(corpus, source_chances(corpus, {}), BATCH, 1), 0, 3, SIZE)[0]
    assert views.shape == (BATCH, SIZE, SIZE, 3) and views.dtype == np.float32 and np.abs(views).max() <= 1
    assert (targets["product"][::2] == targets["product"][1::2]).all()
    assert set(targets) == {*TASKS, "product"}


@pytest.mark.parametrize("guided", [True, False])
def test_joint_training_learns_the_labels(
    guided: bool, corpus: Corpus, teacher: Any, teacher_weights: list[np.ndarray], tmp_path: Path
) -> None:
    student = fresh_student()
    classes = {task: len(corpus.vocabularies[task]) for task in TASKS}
    guide = Guide(teacher, teacher_weights) if guided else None
    model = joint_model(student, guide, classes, Weighting())
    stage = Stage("joint", tmp_path, (Phase(50, SIZE),), BATCH, 0.03)
    model.compile(optimizer=make_muon(falling_rate(stage)), jit_compile=False)
    draw = Draw(corpus, source_chances(corpus, {}), BATCH, 6)
    lines: list[str] = []
    run_stage(stage, model, Supply(partial(joint_batches, draw)), lines.append)
    first, last = ({part.split()[0]: float(part.split()[1]) for part in _figures(line)} for line in lines)
    assert last["loss"] < first["loss"] and last["label"] < first["label"]
    assert ("features" in last) == guided


def _figures(line: str) -> list[str]:
    words = line.split("images/s: ")[1].split()
    return [f"{words[i]} {words[i + 1]}" for i in range(0, len(words), 2)]
