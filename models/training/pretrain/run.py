"""``make pretrain`` as a whole: corpus, matching, stitching, joint training, the packed file."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.backbone.network import build_network, import_keras, weighted_layers
from models.backbone.packed import Encoding
from models.backbone.weight_files import read_weights
from models.backbone.weights import file_digest
from models.training.pretrain.batches import Draw, joint_batches, match_batches, source_chances
from models.training.pretrain.blocks import channel_weights, cut_blocks, maps_model, start_student
from models.training.pretrain.corpus import TASKS, Corpus, Say, SourcePhoto, build_corpus
from models.training.pretrain.drawn import drawn_products
from models.training.pretrain.finish import pack
from models.training.pretrain.joint import Guide, Weighting, joint_model
from models.training.pretrain.loop import Phase, Stage, checkpoint_of, falling_rate, run_stage, stage_minutes
from models.training.pretrain.match import block_match_model
from models.training.pretrain.muon import make_muon
from models.training.pretrain.stitch import silence_dead_inputs, stitch
from models.training.splits import Split
from models.values import Float32

PACKED_FILE: Final = "weights.npz"
EXACT_FILE: Final = "weights_float32.npz"
"""The same before rounding to 8 bits, so that what the rounding costs can be measured (``make yardstick``)."""
_JOINT: Final = "joint"
_STITCH_IMAGES: Final = 96
_WEIGHT_BATCHES: Final = 8


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done; with the same corpus and seed it is done alike, up to the rounding of the machine's arithmetic.

    seed: of the start values and every draw. rendered: products drawn for the corpus.
    match, joint: the phases of the two stages. *_batch: images a step. *_rate: highest learning rates.
    head_*: of the heads, which learn alone before the joint stage.
    sources: weight of each source in the draws.
    """

    seed: int = 20261122
    rendered: int = 400
    match: tuple[Phase, ...] = (Phase(650, 203), Phase(950, 299))
    match_batch: int = 16
    match_rate: float = 0.03
    head_steps: int = 100
    head_rate: float = 0.05
    joint: tuple[Phase, ...] = (Phase(800, 203), Phase(950, 299))
    joint_batch: int = 24
    joint_rate: float = 0.0015
    sources: tuple[tuple[str, float], ...] = (("grocery-store", 0.45), ("fashion-products", 0.35), ("rendered", 0.2))


@dataclass(frozen=True, slots=True)
class Material:
    """photos: of the catalogues. splits: by source, where a split file exists. teacher: a Keras ``.h5`` of
    Inception-v3 to distil from, or None."""

    photos: Sequence[SourcePhoto]
    splits: Mapping[str, Split]
    teacher: Path | None


def open_network() -> Any:
    """An Inception-v3 whose input size is open: training grows it."""
    return build_network(None)


def read_network(path: Path, network: Any) -> Any:
    """``network`` with the weights of a Keras file, frozen."""
    layers = weighted_layers(network)
    for (_, layer), values in zip(layers, read_weights(path, [spec for spec, _ in layers]), strict=True):
        layer.set_weights(values)
    network.trainable = False
    return network


def pretrain(
    folder: Path, material: Material, recipe: Recipe, say: Say, build: Callable[[], Any] = open_network
) -> Path:
    """Make backbone weights from random values; returns the packed file in ``folder``.

    build: makes the network, with any values; the pipeline itself asks only for maps named as in Inception-v3.

    A stopped run goes on from its last checkpoint when called again with the same folder.
    :raise WeightsMismatch: the teacher's file. :raise TrainingError: a damaged folder. See also ``build_corpus``.
    """
    keras = import_keras()
    keras.utils.set_random_seed(recipe.seed)
    corpus = build_corpus(folder / "corpus", material.photos, drawn_products(recipe.rendered), material.splits, say)
    teacher = read_network(material.teacher, build()) if material.teacher else None
    student = build()
    start_student(student, recipe.seed)
    chances = source_chances(corpus, dict(recipe.sources))
    guide = None
    if teacher is not None:
        guide = Guide(teacher, _channel_weights(teacher, corpus, chances, recipe))
        # The joint stage's checkpoint holds every value of the network: what went before need not be done again.
        if not checkpoint_of(folder, _JOINT).exists():
            _match(folder, student, guide, Draw(corpus, chances, recipe.match_batch, recipe.seed), recipe, say)
            _stitch(student, teacher, Draw(corpus, chances, _STITCH_IMAGES, recipe.seed + 1), recipe, say)
    _joint(folder, student, guide, Draw(corpus, chances, recipe.joint_batch, recipe.seed + 2), recipe, say)
    say("fitting the projection and packing")
    path = folder / PACKED_FILE
    files: dict[Encoding, Path] = {"int8": path, "float32": folder / EXACT_FILE}
    pack(student, corpus, _card(recipe, corpus, material, stage_minutes(folder)), files, recipe.seed)
    return path


def _channel_weights(teacher: Any, corpus: Corpus, chances: Any, recipe: Recipe) -> list[Float32]:
    """``channel_weights`` of some 250 images; each map is looked at in every fourth place, which says as much."""
    draw, size = Draw(corpus, chances, 32, recipe.seed + 3), recipe.match[-1].size
    maps, found = maps_model(teacher), []
    for number in range(_WEIGHT_BATCHES):
        values = maps.predict_on_batch(match_batches(draw, number, 1, size)[0][0])
        found.append([np.asarray(value)[:, ::2, ::2] for value in values])
    return channel_weights([np.concatenate(parts) for parts in zip(*found, strict=True)])


def _match(folder: Path, student: Any, guide: Guide, draw: Draw, recipe: Recipe, say: Say) -> None:
    stage = Stage("match", folder, recipe.match, recipe.match_batch, recipe.match_rate)
    model = block_match_model(maps_model(guide.teacher), cut_blocks(student), guide.weights, draw.batch)
    model.compile(optimizer=make_muon(falling_rate(stage)), jit_compile=_jit())
    run_stage(stage, model, lambda first, steps, size: match_batches(draw, first, steps, size), say)


def _stitch(student: Any, teacher: Any, draw: Draw, recipe: Recipe, say: Say) -> None:
    say("stitching the blocks")
    images = match_batches(draw, 0, 1, recipe.match[-1].size)[0][0]
    dead = silence_dead_inputs(student, teacher, images)
    say(f"{dead} channels of the teacher never vary")
    stitch(student, teacher, images)


def _joint(folder: Path, student: Any, guide: Guide | None, draw: Draw, recipe: Recipe, say: Say) -> None:
    """First the heads alone, since random ones would push the features about at random, then everything."""
    heads = Stage("heads", folder, (Phase(recipe.head_steps, recipe.joint[0].size),), draw.batch, recipe.head_rate)
    joint = Stage(_JOINT, folder, recipe.joint, draw.batch, recipe.joint_rate)
    classes = {task: len(draw.corpus.vocabularies[task]) for task in TASKS}
    model = joint_model(student, guide, classes, Weighting())
    # The body moves gently while the heads keep up: their AdamW takes the whole of the joint stage's small rate.
    for stage, ratio in ((heads, 0.1), (joint, 1.0)):
        model.student_maps.trainable = stage is joint
        model.guided = stage is joint and guide is not None
        model.compile(optimizer=make_muon(falling_rate(stage), ratio), jit_compile=_jit())
        statistics = student.non_trainable_variables if stage is joint else ()
        run_stage(stage, model, lambda first, steps, size: joint_batches(draw, first, steps, size), say, statistics)


def _jit() -> bool | str:
    """XLA pays on an accelerator; on a processor TensorFlow's own kernels are several times faster."""
    keras = import_keras()
    return "auto" if keras.backend.backend() != "tensorflow" else False


def _card(recipe: Recipe, corpus: Corpus, material: Material, minutes: Mapping[str, float]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for entry in corpus.entries:
        counts[f"{entry.source} {entry.role}"] = counts.get(f"{entry.source} {entry.role}", 0) + 1
    return {
        "name": "pickture",
        "recipe": asdict(recipe),
        "pictures": counts,
        "classes": {task: len(values) for task, values in corpus.vocabularies.items()},
        "teacher_sha256": file_digest(material.teacher) if material.teacher else None,
        "minutes": minutes,
        "machine": platform.processor() or platform.machine(),
        "libraries": {name: version(name) for name in ("keras", "numpy", "albumentations")},
    }
