"""``make pretrain`` as a whole: corpus, matching, stitching, joint training, the packed file."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.backbone.network import build_network, import_keras, weighted_layers
from models.backbone.packed import Encoding
from models.backbone.weight_files import read_weights
from models.backbone.weights import file_digest
from models.errors import NotEnoughData, UsageError
from models.training.pretrain.batches import Draw, joint_batches, match_batches, source_chances
from models.training.pretrain.blocks import channel_weights, cut_blocks, maps_model, start_student
from models.training.pretrain.corpus import RENDERED, TASKS, Corpus, build_corpus
from models.training.pretrain.drawn import drawn_products
from models.training.pretrain.finish import pack
from models.training.pretrain.folder import held, keep_identity, require_identity
from models.training.pretrain.joint import Guide, Weighting, joint_model, taught_tasks
from models.training.pretrain.loop import Phase, Stage, Supply, checkpoint_of, falling_rate, run_stage, stage_minutes
from models.training.pretrain.match import block_match_model
from models.training.pretrain.muon import make_muon
from models.training.pretrain.precision import Precision, computing_in
from models.training.pretrain.shown import Listing, Say, SourcePhoto
from models.training.pretrain.stitch import silence_dead_inputs, stitch
from models.training.splits import Split
from models.values import Float32

PACKED_FILE: Final = "weights.npz"
EXACT_FILE: Final = "weights_float32.npz"
"""The same before rounding to 8 bits, so that what the rounding costs can be measured (``make yardstick``)."""
_JOINT: Final = "joint"
_STITCH_IMAGES: Final = 96
_WEIGHT_BATCHES: Final = 8
_JUDGED_BATCHES: Final = 2
"""Of validation pictures, after each round; the same ones every time."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done; with the same corpus and seed it is done alike, up to the rounding of the machine's arithmetic.

    seed: of the start values and every draw. rendered: products drawn for the corpus.
    match, joint: the phases of the two stages. *_batch: images a step. *_rate: highest learning rates.
    head_*: of the heads, which learn alone before the joint stage.
    sources: weight of each source in the draws, any scale; 1 for those that are not named.
    precision: of the two stages' arithmetic; everything else is float32.
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
    sources: tuple[tuple[str, float], ...] = ()
    precision: Precision = "float32"


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

    A stopped run goes on from its last checkpoint when called again with the same folder, material and recipe.
    :raise WeightsMismatch: the teacher's file. :raise UsageError: a weight for a source that there is not.
    :raise TrainingError: a damaged folder, or one where another run began or is at work. See also ``build_corpus``.
    """
    _check_sources(recipe, material)
    with held(folder):
        say(f"reading {len(material.photos)} photos")
        listing = Listing.read(material.photos, material.splits)
        identity = _identity(listing, material, recipe)
        require_identity(folder, identity)
        corpus = build_corpus(folder / "corpus", listing, drawn_products(recipe.rendered), say)
        chances = source_chances(corpus, dict(recipe.sources))
        keep_identity(folder, identity)
        return _train(_Run(folder, corpus, chances, recipe, say, build), material.teacher)


def _check_sources(recipe: Recipe, material: Material) -> None:
    known = {photo.source for photo in material.photos} | ({RENDERED} if recipe.rendered else set())
    for name, weight in recipe.sources:
        if name not in known:
            raise UsageError(f"a weight for the source {name!r} came; the sources are {', '.join(sorted(known))}")
        if not 0 <= weight < math.inf:
            raise UsageError(f"weight {weight} came for the source {name}; expected 0 or more")


def _identity(listing: Listing, material: Material, recipe: Recipe) -> dict[str, Any]:
    """What the result depends on; where the catalogues and the teacher's file lie does not count."""
    teacher = file_digest(material.teacher) if material.teacher else None
    return {"photos, labels and splits": listing.digest[:16], "teacher": teacher, **asdict(recipe)}


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What every stage needs; see ``pretrain``. chances: of ``source_chances``."""

    folder: Path
    corpus: Corpus
    chances: NDArray[np.float64]
    recipe: Recipe
    say: Say
    build: Callable[[], Any]

    def draw(self, batch: int, stream: int) -> Draw:
        """Draws of role train; ``stream`` keeps the random numbers of the stages apart."""
        return Draw(self.corpus, self.chances, batch, self.recipe.seed + stream)

    def supply(self, batches: Callable[[Draw, int, int, int], Any], draw: Draw) -> Supply:
        """Batches to train on and, where there are pictures of role validation, some of them to judge by."""

        def taught(first: int, steps: int, size: int) -> Any:
            return batches(draw, first, steps, size)

        try:
            chances = source_chances(self.corpus, dict(self.recipe.sources), "validation")
        except NotEnoughData:
            return Supply(taught)
        sample = Draw(self.corpus, chances, draw.batch, self.recipe.seed + 4)
        return Supply(taught, lambda size: batches(sample, 0, _JUDGED_BATCHES, size))


def _train(run: _Run, teacher: Path | None) -> Path:
    import_keras().utils.set_random_seed(run.recipe.seed)
    with computing_in(run.recipe.precision):
        student = _stages(run, read_network(teacher, run.build()) if teacher else None)
    run.say("fitting the projection and packing")
    network = run.build()
    network.set_weights(student.get_weights())
    path = run.folder / PACKED_FILE
    files: dict[Encoding, Path] = {"int8": path, "float32": run.folder / EXACT_FILE}
    pack(network, run.corpus, _card(run, teacher), files, run.recipe.seed)
    return path


def _stages(run: _Run, teacher: Any) -> Any:
    """The trained student. teacher: a network, or None."""
    student = run.build()
    start_student(student, run.recipe.seed)
    guide = None
    if teacher is not None:
        guide = Guide(teacher, _channel_weights(run, teacher))
        # The joint stage's checkpoint holds every value of the network: what went before need not be done again.
        if not checkpoint_of(run.folder, _JOINT).exists():
            _match(run, student, guide)
            _stitch(run, student, teacher)
    _joint(run, student, guide)
    return student


def _channel_weights(run: _Run, teacher: Any) -> list[Float32]:
    """``channel_weights`` of some 250 images; each map is looked at in every fourth place, which says as much."""
    draw, size = run.draw(32, 3), run.recipe.match[-1].size
    maps, found = maps_model(teacher), []
    for number in range(_WEIGHT_BATCHES):
        values = maps.predict_on_batch(match_batches(draw, number, 1, size)[0][0])
        # A copy: a view would keep the whole maps, gigabytes of them.
        found.append([np.array(value[:, ::2, ::2], dtype=np.float32) for value in values])
    return channel_weights([np.concatenate(parts) for parts in zip(*found, strict=True)])


def _match(run: _Run, student: Any, guide: Guide) -> None:
    recipe, draw = run.recipe, run.draw(run.recipe.match_batch, 0)
    stage = Stage("match", run.folder, recipe.match, recipe.match_batch, recipe.match_rate)
    model = block_match_model(maps_model(guide.teacher), cut_blocks(student), guide.weights, draw.batch)
    model.compile(optimizer=make_muon(falling_rate(stage)), jit_compile=_jit())
    run_stage(stage, model, run.supply(match_batches, draw), run.say)


def _stitch(run: _Run, student: Any, teacher: Any) -> None:
    run.say("stitching the blocks")
    images = match_batches(run.draw(_STITCH_IMAGES, 1), 0, 1, run.recipe.match[-1].size)[0][0]
    dead = silence_dead_inputs(student, teacher, images)
    run.say(f"{dead} channels of the teacher never vary")
    stitch(student, teacher, images)


def _joint(run: _Run, student: Any, guide: Guide | None) -> None:
    """First the heads alone, since random ones would push the features about at random, then everything."""
    recipe, draw = run.recipe, run.draw(run.recipe.joint_batch, 2)
    heads = Stage("heads", run.folder, (Phase(recipe.head_steps, recipe.joint[0].size),), draw.batch, recipe.head_rate)
    joint = Stage(_JOINT, run.folder, recipe.joint, draw.batch, recipe.joint_rate)
    classes = {task: len(run.corpus.vocabularies[task]) for task in TASKS}
    model = joint_model(student, guide, classes, Weighting())
    supply = run.supply(joint_batches, draw)
    # The body moves gently while the heads keep up: their AdamW takes the whole of the joint stage's small rate.
    for stage, ratio in ((heads, 0.1), (joint, 1.0)) if taught_tasks(classes) else ((joint, 1.0),):
        model.student_maps.trainable = stage is joint
        model.guided = stage is joint and guide is not None
        model.compile(optimizer=make_muon(falling_rate(stage), ratio), jit_compile=_jit())
        statistics = student.non_trainable_variables if stage is joint else ()
        run_stage(stage, model, supply, run.say, statistics)


def _jit() -> bool | str:
    """XLA pays on an accelerator; on a processor TensorFlow's own kernels are several times faster."""
    if import_keras().backend.backend() != "tensorflow":
        return "auto"
    import tensorflow

    return "auto" if tensorflow.config.list_physical_devices("GPU") else False


def _card(run: _Run, teacher: Path | None) -> dict[str, Any]:
    counts = Counter(f"{entry.source} {entry.role}" for entry in run.corpus.entries)
    return {
        "name": "pickture",
        "recipe": asdict(run.recipe),
        "pictures": dict(counts),
        "classes": {task: len(values) for task, values in run.corpus.vocabularies.items()},
        "teacher_sha256": file_digest(teacher) if teacher else None,
        "minutes": stage_minutes(run.folder),
        "machine": platform.processor() or platform.machine(),
        "libraries": {name: version(name) for name in ("keras", "numpy", "albumentations")},
    }
