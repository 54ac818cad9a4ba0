"""A fine-tuning run, from the start weights to weights that can be packed."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.backbone.network import weighted_layers
from models.backbone.packed import PackedWeights, write_packed
from models.backbone.projection import Projection
from models.backbone.weight_files import LayerArrays
from models.training.finetune.checkpoints import Checkpoint, Checkpoints, EpochResult
from models.training.finetune.compare import Answers, answer, compare
from models.training.finetune.learner import Feed, Learner, Scaling
from models.training.finetune.maps import MapPlan, fill_maps
from models.training.finetune.network import CUT, build_any_size, cut_network, free_layers, get_arrays, set_arrays
from models.training.finetune.photos import ChosenPhotos
from models.training.finetune.progress import duration
from models.training.finetune.settings import FinetuneSettings
from models.training.finetune.start import StartWeights
from models.values import PROJECTED_SIZE, Float32

Say = Callable[[str], None]
"""Told, in words, what happens."""

_LEAST_GAIN: Final = 1e-3
"""A validation loss counts as better when it is lower by this much."""

ANOTHER_NAME: Final = "give this one another --name"
"""What ``finetune`` advises where a folder holds another run."""

_MAPS: Final = "maps"


@dataclass(frozen=True, slots=True, eq=False)
class Finetuned:
    """What came of a run.

    vectors: float32 (n, 2048), bottlenecks of ``ChosenPhotos.all`` by the new weights.
    history: an entry an epoch. best: number of the epoch that is kept, 1-based.
    comparison: see ``compare.compare``. seconds: wall time of all epochs, those of earlier calls included.
    """

    arrays: LayerArrays
    vectors: Float32
    history: tuple[EpochResult, ...]
    best: int
    comparison: Mapping[str, Any]
    seconds: float


class Workshop:
    """The network of one run, or of several from the same start weights that share the frozen part's maps.

    folder: for maps and checkpoints; made where it is missing. build: makes the network. remedy: see ``Checkpoints``.
    """

    def __init__(
        self,
        start: StartWeights,
        folder: Path,
        say: Say = lambda line: None,
        build: Callable[[], Any] = build_any_size,
        remedy: str = ANOTHER_NAME,
    ) -> None:
        self.start, self.folder, self._say, self._remedy = start, folder, say, remedy
        folder.mkdir(parents=True, exist_ok=True)
        self.network = build()
        self.specs = [spec for spec, _ in weighted_layers(self.network)]
        self._arrays = start.arrays(self.specs)
        set_arrays(self.network, self._arrays)

    def feed(self, photos: ChosenPhotos, settings: FinetuneSettings) -> Feed:
        """What the body of this depth is fed with; computes maps where it needs them.

        :raise TrainingError: see ``maps.fill_maps``.
        """
        if settings.depth == "all":
            return Feed(self.network, None)
        below, above = cut_network(self.network)
        identity = f"{self.start.identifier}|{CUT}"
        plan = MapPlan(identity, settings.views, settings.input_size, settings.seed)
        return Feed(above, fill_maps(below, photos.all, photos.taught, plan, self.folder / _MAPS, self._say))

    def start_answers(self, feed: Feed, photos: ChosenPhotos) -> tuple[Answers, Scaling]:
        """What the start weights make of the photos, and the scaling of their bottlenecks."""
        set_arrays(self.network, self._arrays)
        vectors = feed.vectors(photos.all, "photos through the start weights", self._say)
        self._say("linear probe of the start weights")
        return answer(photos, vectors), Scaling.of(vectors[: len(photos.taught)])

    def finetune(
        self, feed: Feed, photos: ChosenPhotos, before: tuple[Answers, Scaling], settings: FinetuneSettings, name: str
    ) -> Finetuned:
        """Train from the start weights, keep the best epoch, and compare.

        before: of ``start_answers`` with the same photos. name: of the folder for checkpoints, within this one.
        A run of this name that was interrupted goes on after its last whole epoch.
        :raise TrainingError: the folder holds a run with other settings, photos or weights.
        """
        set_arrays(self.network, self._arrays)
        free_layers(self.network, settings.depth)
        answers, scaling = before
        learner = Learner(feed, photos, answers.probe, scaling, settings)
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        checkpoints = Checkpoints(folder, _identity(self.start, photos, settings), self._remedy)
        checkpoint = self._train(learner, photos, settings, checkpoints)
        seconds = sum(result.seconds for result in checkpoint.history)
        learner.restore(checkpoints.best_values(checkpoint.best))
        vectors = feed.vectors(photos.all, "photos through the new weights", self._say)
        self._say("comparing")
        comparison = compare(answers, answer(photos, vectors), photos, settings.seed)
        arrays = get_arrays(self.network)
        return Finetuned(arrays, vectors, checkpoint.history, checkpoint.best, comparison, seconds)

    @staticmethod
    def clean(folder: Path) -> None:
        """Remove maps and checkpoints: gigabytes that a finished run needs no more."""
        shutil.rmtree(folder)

    def _train(
        self, learner: Learner, photos: ChosenPhotos, settings: FinetuneSettings, checkpoints: Checkpoints
    ) -> Checkpoint:
        checkpoint = checkpoints.load()
        if checkpoint.history:
            learner.restore(checkpoint.trained, checkpoint.optimizer)
            self._say(f"going on after epoch {len(checkpoint.history)}")
        elif photos.choosing:
            loss, top1 = learner.judge(photos.choosing)
            self._say(f"before training: validation loss {loss:.3f}, Top-1 {100 * top1:.1f} %")
        while len(checkpoint.history) < settings.epochs and not _has_settled(checkpoint, settings):
            started = time.monotonic()
            loss = learner.epoch(len(checkpoint.history), self._say)
            judged = learner.judge(photos.choosing)
            result = EpochResult(loss, *judged, time.monotonic() - started)
            history = (*checkpoint.history, result)
            best = best_epoch(history)
            checkpoint = Checkpoint(history, best, learner.trained_values(), learner.optimizer_values())
            checkpoints.save(checkpoint)
            self._say(_epoch_line(checkpoint, settings))
        return checkpoint


def pack(
    path: Path, workshop: Workshop, photos: ChosenPhotos, made: Finetuned, card: Mapping[str, Any]
) -> PackedWeights:
    """Write what came of a run as packed weights at full precision; returns what was written.

    The projection is fitted on the taught photos; fewer than 256 of them span no 256 directions, and the random
    one, which depends on no photo, goes along instead (the card says which).
    """
    taught = made.vectors[: len(photos.taught)]
    fitted = len(taught) >= PROJECTED_SIZE
    projection = Projection.fitted(taught) if fitted else Projection.random_orthogonal()
    seen = workshop.start.seen | {photo.content_hash for photo in (*photos.taught, *photos.choosing)}
    whole_card = {**card, "projection": "fitted" if fitted else "random orthogonal"}
    weights = PackedWeights(made.arrays, projection.matrix, seen, whole_card)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_packed(path, weights, workshop.specs, "float32")
    return weights


def best_epoch(history: tuple[EpochResult, ...]) -> int:
    """The 1-based epoch to keep: the last that lowered the validation loss clearly; the last where none is known."""
    if math.isnan(history[-1].validation_loss):
        return len(history)
    best, least = 1, math.inf
    for number, result in enumerate(history, start=1):
        if result.validation_loss < least - _LEAST_GAIN:
            best, least = number, result.validation_loss
    return best


def _has_settled(checkpoint: Checkpoint, settings: FinetuneSettings) -> bool:
    return settings.patience > 0 and len(checkpoint.history) - checkpoint.best >= settings.patience


def _identity(start: StartWeights, photos: ChosenPhotos, settings: FinetuneSettings) -> dict[str, Any]:
    digest = hashlib.sha256()
    for group in (photos.taught, photos.choosing):
        digest.update(repr([(photo.content_hash, photo.label) for photo in group]).encode())
    return {**settings.to_json(), "start weights": start.identifier, "photos and labels": digest.hexdigest()[:16]}


def _epoch_line(checkpoint: Checkpoint, settings: FinetuneSettings) -> str:
    number, last = len(checkpoint.history), checkpoint.history[-1]
    left = float(np.mean([result.seconds for result in checkpoint.history])) * (settings.epochs - number)
    judged = ""
    if not math.isnan(last.validation_loss):
        judged = f", validation loss {last.validation_loss:.3f}, Top-1 {100 * last.validation_top1:.1f} %"
    best = " (best so far)" if checkpoint.best == number else f" (best: epoch {checkpoint.best})"
    rest = f"; at most {duration(left)} left" if left else ""
    return f"epoch {number} of {settings.epochs}: loss {last.loss:.3f}{judged}{best}, {duration(last.seconds)}{rest}"
