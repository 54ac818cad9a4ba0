"""A world whose labels lie in categories, and fits that are quick, and made once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

from models.training.crossfit import CrossFitSettings
from models.training.data import TrainingPhotos
from models.training.fit.fcn import FcnFit, FcnSettings
from models.training.fit.softmax import fit_softmax
from models.training.splits import Split, make_split
from models.values import Float32
from tests.models.synthetic import make_photos

QUICK = FcnSettings(learning_rate=0.01, max_steps=50, patience=1)
SETTINGS = CrossFitSettings(fcn=QUICK, c_grid=(3.0,))
SHOTS = {f"label {i}": [2] * 6 for i in range(6)} | {"lone": [2] * 6}
PATHS = {f"label {i}": f"{'Food' if i < 4 else 'Home'} > {i}" for i in range(6)} | {"lone": "Rest"}
"""Level 1: Food of four labels, Home of two, Rest of one. Level 2: each label by itself."""


def quick_fcn(
    training: tuple[Float32, Sequence[str]], validation: object, settings: FcnSettings | None = None
) -> FcnFit:
    """The optimum that the FCN walks towards, found without TensorFlow, whose every fit takes a second or more."""
    steps = (settings or QUICK).max_steps
    return FcnFit(fit_softmax(*training, 0.1), steps, steps, ())


@pytest.fixture(scope="package", autouse=True)
def quick_fits() -> Iterator[None]:
    """The experiments choose what is fitted on what; how the FCN and the SVM are fitted is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("crossfit", "train", "experiments.categories", "experiments.hyper_parameters"):
            patch.setattr(f"models.training.{module}.fit_fcn", quick_fcn)
        patch.setattr("models.training.crossfit.load_keras", lambda: None)
        patch.setattr("models.training.fit.svm._DIRECTIONS", 16)  # they only save the solver steps
        yield


@pytest.fixture(scope="session")
def world() -> tuple[TrainingPhotos, Split]:
    """Seven labels of six scenes with one variant, in two folds and a hold-out."""
    photos, scenes = make_photos(SHOTS, variants=1, spread=1.3)
    split = make_split(photos.hashes, photos.labels, np.asarray(scenes), folds=2)
    assert split.role("hold_out")
    return photos, split


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, computing the same arguments once only."""
    known: dict[Any, Any] = {}

    def call(*arguments: Any) -> Any:
        key = _key(arguments)
        if key not in known:
            known[key] = function(*arguments)
        return known[key]

    return call


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if is_dataclass(value):
        return tuple(_key(getattr(value, item.name)) for item in fields(value))
    if isinstance(value, list | tuple):
        return tuple(_key(item) for item in value)
    return repr(sorted(value.items())) if isinstance(value, dict) else value
