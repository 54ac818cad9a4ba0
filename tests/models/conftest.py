"""What several tests share because TensorFlow is slow to start: fits that are made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from models.training import crossfit
from models.training.crossfit import CrossFitSettings, _Fit
from models.training.data import TrainingPhotos
from models.training.fit.fcn import FcnFit, FcnSettings, fit_fcn
from models.training.splits import make_split
from models.training.train import Trained, TrainingData, train
from tests.contracts.classifier import WORLD
from tests.models.synthetic import make_photos, strangers

SHOTS = {f"label {i:02}": [2] * 6 for i in range(12)} | {"lone": [3], "tiny": [1, 1]}
"""Twelve labels of six scenes; one of a single scene; one of two photos, too few for FCN and SVM."""

FOLDS = 2


@dataclass(frozen=True)
class Fitted:
    """One fit inside a cross-fit: the photos it was given, and what came of it."""

    training: TrainingPhotos
    validation: TrainingPhotos
    fit: _Fit


@dataclass(frozen=True)
class Run:
    """A whole training run on ``SHOTS``, and every fit of its cross-fits in order: a fold with all labels, the
    same with some hidden, the next fold; then the folds without variants."""

    data: TrainingData
    trained: Trained
    fits: tuple[Fitted, ...]


@pytest.fixture(scope="session")
def contract_fcn() -> FcnFit:
    """An FCN fitted on the classifiers' contract world, all steps done."""
    return fit_fcn(WORLD, None, FcnSettings(learning_rate=0.01, max_steps=40, patience=0))


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """Made once; nobody changes it."""
    photos, scenes = make_photos(SHOTS, variants=1, spread=1.2)
    split = make_split(photos.hashes, photos.labels, scenes, folds=FOLDS)
    seen = frozenset([h for h in photos.hashes if split.places[h].fold >= 0][:4])
    types = [{"lone": None, "tiny": None}.get(label, "can" if label < "label 06" else "box") for label in photos.labels]
    data = TrainingData(photos, types, split, strangers(60), seen)
    fits: list[Fitted] = []
    with pytest.MonkeyPatch.context() as patch:
        real = crossfit._fit_at

        def recorded(*arguments: object) -> _Fit:
            fit = real(*arguments)  # type: ignore[arg-type]
            fits.append(Fitted(*arguments[:2], fit))  # type: ignore[arg-type]
            return fit

        patch.setattr(crossfit, "_fit_at", recorded)
        settings = CrossFitSettings(fcn=FcnSettings(learning_rate=0.003, max_steps=50, patience=2), c_grid=(1.0, 10.0))
        trained = train(data, settings)
    yield Run(data, trained, tuple(fits))
