"""A text model made by hand, of random values: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.store.text_models import TextModelStore
from models.multimodal.bundle import TextBundle, save_text_bundle
from models.multimodal.calibration import Calibration
from models.multimodal.classifier import CategoryClassifier
from models.multimodal.features import NameFeatures
from models.multimodal.names import CategoryWords
from models.multimodal.network import Architecture, Network
from models.multimodal.sources import Malls
from models.multimodal.subwords import Subwords
from tests.models.multimodal.names import SHOP

TYPES = ("Dress", "Shirt", "Shoe")
STOP_WORD = {"category": "Wear", "word": "free", "rows": 9, "gain": 0.04}


def made_classifier(threshold: float = 0.0, seed: int = 0) -> CategoryClassifier:
    """Types, colours and the seasons of months; what it says is chance, and the same for one seed."""
    features = NameFeatures(Subwords.train(SHOP, 200), 64)
    answers = {"type": TYPES, "colour": ("Blue", "Red"), "season": ("Summer", "Winter")}
    architecture = Architecture(features.subwords.size, 64, 8, 6, "late", {h: len(n) for h, n in answers.items()})
    random = np.random.default_rng(seed)
    parameters = {n: random.normal(0, 0.5, shape).astype(np.float32) for n, shape in architecture.shapes().items()}
    network = Network(architecture, parameters, np.zeros(2048, np.float32), 1.0)
    calibration = Calibration({"name": 1.0, "image": 1.0, "both": 1.0}, threshold, True)
    paths = {kind: f"Wear > {kind}" for kind in TYPES}
    return CategoryClassifier(features, [network], answers, calibration, Malls.nothing(3), paths, CategoryWords([]))


def write_model(
    home: Path, version: str, classifier: CategoryClassifier, space: str = "space", report: str | None = None
) -> None:
    """Write it as a version, not yet in use, with what a training would have measured."""
    store = TextModelStore(home)
    metrics: dict[str, Any] = {"categories": {"ambiguous": [], "catch_all": [], "stop_words": [STOP_WORD]}}
    bundle = TextBundle(version, space, "now", classifier, CategoryWords([]), {}, metrics)
    manifest = {"version": version, "space": space, "created_at": "now"}
    save_text_bundle(store.path_for(version), manifest, bundle, report)


def use_model(home: Path, version: str = "v1", threshold: float = 0.0, report: str | None = None) -> CategoryClassifier:
    """Have such a model used."""
    classifier = made_classifier(threshold)
    write_model(home, version, classifier, report=report)
    TextModelStore(home).use(version)
    return classifier
