"""Runs on a toy network: what is trained, what is kept, how a run goes on, and what is packed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.backbone.network import weighted_layers
from models.backbone.packed import read_packed
from models.backbone.preprocessing import scale_pixels
from models.backbone.projection import Projection
from models.errors import TrainingError, UsageError
from models.training.finetune.checkpoints import Checkpoint, Checkpoints, EpochResult
from models.training.finetune.learner import Learner
from models.training.finetune.maps import MapFile
from models.training.finetune.network import build_any_size, cut_network, free_layers, get_arrays
from models.training.finetune.photos import ChosenPhotos, choose_photos, plain_view
from models.training.finetune.run import Finetuned, Workshop, best_epoch, pack
from models.training.finetune.settings import Depth, FinetuneSettings, check_name
from models.values import Float32
from tests.models.finetune.world import QUICK, UnreadablePhoto, build_toy, toy_start, world


class Interrupted(Exception):
    """Stands for Ctrl-C."""


def chosen_photos(seen: frozenset[str] = frozenset()) -> ChosenPhotos:
    return choose_photos(*world(), seen, 1.0, 0)


def finetune(
    folder: Path,
    depth: Depth = "last-two",
    photos: ChosenPhotos | None = None,
    say: Callable[[str], None] = lambda line: None,
    **choices: Any,
) -> tuple[Workshop, Finetuned]:
    settings, photos = replace(QUICK, depth=depth, **choices), photos or chosen_photos()
    folder.mkdir(exist_ok=True)
    workshop = Workshop(toy_start(folder), folder / "run", say, build_toy)
    feed = workshop.feed(photos, settings)
    return workshop, workshop.finetune(feed, photos, workshop.start_answers(feed, photos), settings, "toy")


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, told: list[str]) -> tuple[Workshop, Finetuned]:
    """A run of depth last-two without an interruption."""
    return finetune(tmp_path_factory.mktemp("whole"), say=told.append)


def results(*losses: float) -> tuple[EpochResult, ...]:
    return tuple(EpochResult(1.0, loss, 0.5, 1.0) for loss in losses)


def changed_layers(workshop: Workshop, made: Finetuned) -> list[str]:
    """Layers any of whose values differ from the start's, and which values (0 is a kernel or a beta)."""
    start = workshop.start.arrays(workshop.specs)
    return [
        f"{spec.name}/{i}"
        for spec, old, new in zip(workshop.specs, start, made.arrays, strict=True)
        for i, (before, after) in enumerate(zip(old, new, strict=True))
        if not np.array_equal(before, after)
    ]


def test_last_two_trains_kernels_and_offsets_of_two_blocks_and_no_statistics(
    whole: tuple[Workshop, Finetuned],
) -> None:
    assert changed_layers(*whole) == [
        "conv2d_1/0",
        "batch_normalization_1/0",
        "conv2d_2/0",
        "batch_normalization_2/0",
    ]


@pytest.mark.parametrize(("depth", "layers"), [("last", 2), ("all", 6)])
def test_the_other_depths_train_their_blocks(tmp_path: Path, depth: Depth, layers: int) -> None:
    changed = changed_layers(*finetune(tmp_path, depth, epochs=1))
    assert len(changed) == layers
    assert all(name.endswith("/0") for name in changed)


def test_every_epoch_is_told_with_what_it_is_worth(whole: tuple[Workshop, Finetuned], told: list[str]) -> None:
    _, made = whole
    assert len(made.history) == 2
    assert 1 <= made.best <= 2
    assert all(np.isfinite([r.loss, r.validation_loss, r.validation_top1]).all() for r in made.history)
    assert [line.split(":")[0] for line in told if line.startswith("epoch")] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert any(line.startswith("before training: validation loss") for line in told)


def test_the_vectors_are_those_of_the_kept_weights(whole: tuple[Workshop, Finetuned]) -> None:
    workshop, made = whole
    photos = chosen_photos()
    pixels = scale_pixels(np.stack([plain_view(photo) for photo in photos.all[:3]]))
    pooled = np.sqrt(np.maximum(workshop.network.predict_on_batch(pixels), 0))
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    assert made.vectors.shape == (len(photos.all), 2048)
    assert np.allclose(made.vectors[:3], expected, atol=2e-3)  # through 16-bit maps


def test_an_interrupted_run_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, whole: tuple[Workshop, Finetuned]
) -> None:
    def stop(line: str) -> None:
        if line.startswith("epoch 1 of 2"):
            raise Interrupted

    with pytest.raises(Interrupted):
        finetune(tmp_path, say=stop)
    told: list[str] = []
    _, made = finetune(tmp_path, say=told.append)
    assert "going on after epoch 1" in told
    assert not any(line.startswith("views through") for line in told)
    assert len(made.history) == 2
    assert made.seconds == sum(result.seconds for result in made.history) > made.history[1].seconds
    for old, new in zip(whole[1].arrays, made.arrays, strict=True):
        for before, after in zip(old, new, strict=True):
            assert np.allclose(before, after, atol=1e-5)


def test_a_folder_with_another_run_is_refused_and_so_is_a_damaged_one(tmp_path: Path) -> None:
    before = {"learning_rate": 0.003, "seed": 0}
    one = Checkpoint(results(2.0, 1.0), 2, [np.ones(3, np.float32)], [np.array(5), np.zeros(2, np.float32)])
    Checkpoints(tmp_path, before, "do otherwise").save(one)
    found = Checkpoints(tmp_path, before, "do otherwise").load()
    assert (found.history, found.best) == (one.history, 2)
    assert [value.tolist() for value in (*found.trained, *found.optimizer)] == [[1, 1, 1], 5, [0, 0]]
    with pytest.raises(TrainingError, match=r"learning_rate was 0\.003, now 0\.1\): do otherwise, or remove"):
        Checkpoints(tmp_path, before | {"learning_rate": 0.1}, "do otherwise").load()
    (tmp_path / "last.npz").write_bytes((tmp_path / "last.npz").read_bytes()[:200])
    with pytest.raises(TrainingError, match="is damaged"):
        Checkpoints(tmp_path, before, "do otherwise").load()


def test_only_the_best_epochs_values_are_kept_beside_the_last(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, {}, "")
    for epoch, losses in enumerate([(2.0,), (2.0, 1.0), (2.0, 1.0, 1.5)], start=1):
        history = results(*losses)
        checkpoints.save(Checkpoint(history, best_epoch(history), [np.full(2, epoch, np.float32)], []))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-2.npz", "last.npz"]
    assert checkpoints.best_values(2)[0].tolist() == [2, 2]
    assert checkpoints.load().trained[0].tolist() == [3, 3]


def test_training_asks_for_train_photos_alone(tmp_path: Path) -> None:
    photos = chosen_photos()
    sealed = replace(
        photos,
        choosing=tuple(UnreadablePhoto(p.content_hash, p.label) for p in photos.choosing),
        judged=tuple(UnreadablePhoto(p.content_hash, p.label) for p in photos.judged),
    )
    settings = replace(QUICK, depth="all", epochs=1)
    workshop = Workshop(toy_start(tmp_path), tmp_path / "run", build=build_toy)
    answers, scaling = workshop.start_answers(workshop.feed(photos, settings), photos)
    learner = Learner(workshop.feed(sealed, settings), sealed, answers.probe, scaling, settings)
    assert np.isfinite(learner.epoch(0, lambda line: None))
    with pytest.raises(TrainingError, match="cannot be read"):
        learner.judge(sealed.choosing)


def test_the_head_begins_as_the_linear_probe(tmp_path: Path) -> None:
    photos, settings = chosen_photos(), replace(QUICK, depth="last")
    workshop = Workshop(toy_start(tmp_path), tmp_path / "run", build=build_toy)
    feed = workshop.feed(photos, settings)
    answers, scaling = workshop.start_answers(feed, photos)
    learner = Learner(feed, photos, answers.probe, scaling, settings)
    vectors = feed.vectors(photos.judged)
    named = [p.ranked[0].label for p in answers.probe.predict(vectors)]
    right = np.mean([name == photo.label for name, photo in zip(named, photos.judged, strict=True)])
    chances = [
        next(s.score for s in p.ranked if s.label == photo.label)
        for p, photo in zip(answers.probe.predict(vectors), photos.judged, strict=True)
    ]
    loss, top1 = learner.judge(photos.judged)
    assert top1 == pytest.approx(right)
    assert loss == pytest.approx(-np.log(chances).mean(), abs=1e-4)
    assert all(math.isnan(value) for value in learner.judge(()))


def test_the_loss_falls_when_there_is_something_to_learn(tmp_path: Path) -> None:
    _, made = finetune(tmp_path, "last-two", epochs=8, patience=0, label_smoothing=0.0)
    losses = [result.loss for result in made.history]
    assert np.mean(losses[-2:]) < 0.7 * np.mean(losses[:2]), losses


def test_packed_weights_hold_what_was_trained_and_whom_they_saw(
    tmp_path: Path, whole: tuple[Workshop, Finetuned]
) -> None:
    workshop, made = whole
    start = replace(workshop.start, seen=frozenset({"e" * 64}))
    again = Workshop(start, tmp_path / "again", build=build_toy)
    photos = chosen_photos()
    pack(tmp_path / "w" / "toy.npz", again, photos, made, {"name": "toy", "metrics": dict(made.comparison)})
    found = read_packed(tmp_path / "w" / "toy.npz", again.specs)
    for old, new in zip(made.arrays, found.arrays, strict=True):
        assert all(np.array_equal(before, after) for before, after in zip(old, new, strict=True))
    shown = {photo.content_hash for photo in (*photos.taught, *photos.choosing)}
    assert found.seen == shown | {"e" * 64}
    assert found.card["name"] == "toy"
    assert found.card["projection"] == "random orthogonal"  # sixteen photos span no 256 directions
    assert np.array_equal(found.projection, Projection.random_orthogonal().matrix)


def test_the_projection_is_fitted_where_there_are_photos_enough(
    tmp_path: Path, whole: tuple[Workshop, Finetuned], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop, made = whole
    given: list[Float32] = []

    def fitted(vectors: Float32) -> Projection:
        given.append(vectors)
        return Projection.random_orthogonal(seed=1)

    monkeypatch.setattr(Projection, "fitted", fitted)
    photos = replace(chosen_photos(), taught=chosen_photos().taught * 16)
    vectors = np.random.default_rng(0).random((300, 2048), np.float32)
    packed = pack(tmp_path / "many.npz", workshop, photos, replace(made, vectors=vectors), {"name": "many"})
    assert packed.card["projection"] == "fitted"
    assert np.array_equal(packed.projection, Projection.random_orthogonal(seed=1).matrix)
    assert len(given) == 1 and np.array_equal(given[0], vectors[:256])


def test_an_interrupted_map_is_filled_from_where_it_stopped(tmp_path: Path) -> None:
    photos = chosen_photos()
    broken = replace(photos, judged=(*photos.judged[:-1], UnreadablePhoto("d" * 64, "apple")))
    workshop = Workshop(toy_start(tmp_path), tmp_path / "run", build=build_toy)
    with pytest.raises(TrainingError, match="d" * 64):
        workshop.feed(broken, QUICK)
    below, _ = cut_network(workshop.network)
    whole = workshop.feed(photos, QUICK).maps
    assert whole is not None
    photo = photos.judged[3]
    expected = below.predict_on_batch(scale_pixels(plain_view(photo)[None]))[0]
    assert np.allclose(whole.plain_batch([photo.content_hash])[0], expected, atol=2e-3)
    views = whole.drawn_batch([photos.taught[0].content_hash] * 2, [0, 1])
    assert not np.allclose(views[0], views[1])
    told: list[str] = []
    again = Workshop(workshop.start, tmp_path / "run", told.append, build_toy).feed(photos, QUICK).maps
    assert again is not None and told == []  # nothing was computed
    assert np.array_equal(again.plain_batch([photo.content_hash]), whole.plain_batch([photo.content_hash]))


def test_a_map_file_resumes_only_what_is_its_own(tmp_path: Path) -> None:
    path, rows = tmp_path / "maps.f16", np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    MapFile(path, "one", 4, (3, 2, 2)).append(rows)
    again = MapFile(path, "one", 4, (3, 2, 2))
    assert (again.done, len(again)) == (2, 4)
    assert np.array_equal(again.read([1]), rows[1:])
    assert MapFile(path, "other", 4, (3, 2, 2)).done == 0
    MapFile(path, "one", 4, (3, 2, 2)).append(rows)
    path.with_suffix(".json").write_text("{", "utf-8")
    assert MapFile(path, "one", 4, (3, 2, 2)).done == 0
    with pytest.raises(TrainingError, match="more than 16 bits hold"):
        MapFile(path, "one", 4, (3, 2, 2)).append(rows * 1e6)


def test_maps_that_do_not_fit_on_the_disk_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="fewer --views"):
        MapFile(tmp_path / "maps.f16", "one", 10**10, (8, 8, 1280))
    assert not (tmp_path / "maps.f16").exists()


def test_the_best_epoch_is_the_last_that_lowered_the_validation_loss_clearly() -> None:
    assert best_epoch(results(2.0)) == 1
    assert best_epoch(results(2.0, 1.0, 1.5)) == 2
    assert best_epoch(results(2.0, 1.0, 0.9995)) == 2
    assert best_epoch(results(2.0, 3.0, 2.5)) == 1
    assert best_epoch(results(float("nan"), float("nan"))) == 2


def test_a_run_without_validation_photos_does_all_epochs_and_keeps_the_last(tmp_path: Path) -> None:
    photos = replace(chosen_photos(), choosing=())
    _, made = finetune(tmp_path, "last", photos, epochs=2, patience=1)
    assert (len(made.history), made.best) == (2, 2)
    assert math.isnan(made.history[0].validation_loss)


@pytest.mark.parametrize(
    ("choice", "value"),
    [("depth", "half"), ("photos_share", 0.0), ("epochs", 0), ("views", 0), ("input_size", 74), ("learning_rate", 0.0)],
)
def test_settings_outside_their_range_are_refused_by_name(choice: str, value: Any) -> None:
    with pytest.raises(UsageError, match=choice):
        FinetuneSettings(**{choice: value})


def test_names_become_files_only_where_they_can() -> None:
    assert check_name("spring-2.1") == "spring-2.1"
    for name in ("", ".hidden", "a/b", "a b", "x" * 65):
        with pytest.raises(UsageError, match="no name for weights"):
            check_name(name)


@pytest.fixture(scope="module")
def inception() -> Any:
    return build_any_size()


def test_inception_is_cut_where_its_parts_make_the_whole(inception: Any) -> None:
    below, above = cut_network(inception)
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 80, 80, 3)).astype(np.float32)
    maps = below(pixels, training=False)
    assert maps.shape == (1, 1, 1, 1280)
    assert np.allclose(above(maps, training=False), inception(pixels, training=False), atol=1e-6)
    assert below.compute_output_shape((1, 299, 299, 3)) == (1, 8, 8, 1280)
    assert [spec.shapes for spec, _ in weighted_layers(inception)][:2] == [((3, 3, 3, 32),), ((32,), (32,), (32,))]
    assert len(get_arrays(inception)) == 188


@pytest.mark.parametrize(("depth", "convolutions"), [("last", 9), ("last-two", 18), ("all", 94)])
def test_each_depth_frees_its_blocks_of_inception(inception: Any, depth: Depth, convolutions: int) -> None:
    free_layers(inception, depth)
    layers = weighted_layers(inception)
    freed = [spec.name for spec, layer in layers if layer.trainable]
    assert sum(name.startswith("conv2d") for name in freed) == convolutions == len(freed) / 2
    names = [spec.name for spec, _ in layers if spec.name.startswith("conv2d")]
    assert [name for name in names if name in freed] == names[len(names) - convolutions :]
