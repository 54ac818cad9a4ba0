"""A second look at photos whose verdict is not *known*: at the catalogue's own, fold by fold, or at listed ones.

What is compared, and how, is in ``models.training.experiments.crops``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Engine

from app.config import Settings
from app.jobs.experiments import CatalogueData, catalogue_data
from app.services.intake import MIN_CROP_PIXELS, Crop
from app.store.media import MediaStore
from models.classifiers.base import Classifier
from models.classifiers.exact import ExactNeighbours
from models.classifiers.knn import KnnClassifier
from models.errors import PhotoError, UsageError
from models.photo import PhotoLimits, read_photo
from models.recognizer import Recognizer
from models.training.evaluate import PhotoCase
from models.training.experiments.crops import BOXES, Judge, LookedTwice, compare_ways
from models.training.experiments.folds import Fold, scene_folds
from models.training.fit.softmax import fit_softmax
from models.training.fit.svm import fit_svm
from models.values import Area, Features, Float32, Photo, Ranking, VerdictName
from models.verdict import Verdict
from models.vote import Vote

_SHARPEST = 0.3
"""Photos are decoded for a part of this share of an edge to be as sharp as a whole photo is."""

_SOFTMAX_C, _SVM_C = 0.01, 30.0
"""For the folds, which choose between boxes and report nothing; the best of the yardstick on groceries."""

Say = Callable[[str], None]


@dataclass(slots=True, eq=False)
class _SecondLooks:
    """Looks at parts of photos, and keeps the time that takes."""

    recognizer: Recognizer
    boxes: Sequence[str]
    network_ms: list[float] = field(default_factory=list)

    def at(self, photo: Photo, truth: str | None, vector: Float32, judge: Judge) -> LookedTwice:
        """The photo, whose bottleneck is ``vector``, looked at again in every box that suggests a part of it."""
        feature_map = self.recognizer.look(photo)[1]
        areas: dict[str, Area] = {}
        parts: dict[str, Float32] = {}
        for box in self.boxes:
            area = BOXES[box](feature_map)
            if area is None or not _shows_enough(photo, area):
                continue
            part = Crop(area.x, area.y, area.width, area.height).apply(photo)
            began = time.perf_counter()
            areas[box], parts[box] = area, self.recognizer.features(part).vector
            self.network_ms.append(1000 * (time.perf_counter() - began))
        return LookedTwice(truth, vector, judge, parts, areas)

    def compared(self, looked: Sequence[LookedTwice], asked: int) -> dict[str, Any]:
        """asked: photos of products, those that needed no second look too."""
        return {
            "asked": asked,
            "looked_again": sum(photo.truth is not None for photo in looked),
            "second_look_ms": float(np.median(self.network_ms)) if self.network_ms else None,
            "rows": compare_ways(looked, self.boxes, asked),
        }


def choose_boxes(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    recognizer: Recognizer,
    verdicts: frozenset[VerdictName],
    say: Say,
) -> dict[str, Any]:
    """Every box and merge on the catalogue's own photos: each fold's are named by classifiers fitted on the others, by
    the served model's vote and verdict. Photos that the weights were trained on teach, and are not asked.

    For choosing: the figures flatter, as a catalogue's photos are alike. verdicts: those that call for a second look.
    :raise SplitError, NotEnoughData, BackboneNotReady: see ``catalogue_data`` and ``scene_folds``.
    """
    data = catalogue_data(settings, engine, media, (), say)
    looks, looked, asked = _SecondLooks(recognizer, list(BOXES)), [], 0
    for fold in scene_folds(data.photos, data.split, seen=data.seen):
        say(f"fold {fold.number + 1}: {len(fold.asked)} photos")
        judge = _fold_judge(data, fold, recognizer)
        asked += len(fold.asked)
        for row in fold.asked:
            vector = data.photos.originals[row]
            if judge(vector)[1] in verdicts:
                photo = _decoded(media.open(data.photos.hashes[row], "original"), PhotoLimits())
                looked.append(looks.at(photo, data.photos.labels[row], vector, judge))
    return {**data.facts(), **looks.compared(looked, asked)}


def _fold_judge(data: CatalogueData, fold: Fold, recognizer: Recognizer) -> Judge:
    taught = data.photos.subset(fold.training).plain()
    models: list[Classifier] = [
        fit_softmax(*taught, _SOFTMAX_C),
        KnnClassifier(ExactNeighbours(*taught)),
        fit_svm(*taught, _SVM_C),
    ]
    vote, verdict = Vote(recognizer.bundle.vote), Verdict(recognizer.bundle.verdict)

    def judge(vector: Float32) -> tuple[Ranking, VerdictName]:
        predictions = [model.predict(vector[None, :])[0] for model in models]
        ranking = vote.merge(predictions)
        return ranking, verdict.judge(predictions, ranking)

    return judge


def measure_boxes(
    cases: Sequence[PhotoCase],
    recognizer: Recognizer,
    limits: PhotoLimits,
    boxes: Sequence[str],
    verdicts: frozenset[VerdictName],
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Chosen boxes on listed photos that the served model recognises. verdicts: those that call for a second look.

    :raise UsageError: a box of another name.
    """
    unknown = [box for box in boxes if box not in BOXES]
    if unknown:
        raise UsageError(f"no box is called {unknown[0]!r}; expected one of {', '.join(BOXES)}")

    def judge(vector: Float32) -> tuple[Ranking, VerdictName]:
        return recognizer.judge(recognizer.predict(Features(vector, recognizer.space)))

    looks, looked, asked = _SecondLooks(recognizer, boxes), [], 0
    unreadable: list[dict[str, str]] = []
    for done, case in enumerate(cases, start=1):
        progress(done)
        try:
            photo = _decoded(case.path.read_bytes(), limits)
        except (PhotoError, OSError) as error:
            unreadable.append({"path": str(case.path), "reason": str(error)})
            continue
        asked += case.label is not None
        vector = recognizer.features(photo).vector
        if judge(vector)[1] in verdicts:
            looked.append(looks.at(photo, case.label, vector, judge))
    facts = {"model_version": recognizer.version, "weights": recognizer.weights, "unreadable": unreadable}
    return {**facts, **looks.compared(looked, asked)}


def _decoded(data: bytes, limits: PhotoLimits) -> Photo:
    """As a search with so small a part decodes it."""
    return read_photo(data, Crop(0.0, 0.0, _SHARPEST, _SHARPEST).sharpen(limits), with_advice=False)


def _shows_enough(photo: Photo, area: Area) -> bool:
    rows, columns = photo.pixels.shape[:2]
    return bool(min(area.width * columns, area.height * rows) > MIN_CROP_PIXELS + 1)
