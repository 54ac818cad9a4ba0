"""Measuring a served model: the contract's keys, and every kind of photo."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.backbone.preprocessing import fit_input
from models.bundle import Bundle
from models.classifiers.exact import ExactNeighbours
from models.classifiers.svm import SvmClassifier
from models.photo import PhotoLimits
from models.recognizer import Recognizer
from models.training.evaluate import Evaluation, PhotoCase, evaluate
from models.verdict import VerdictSettings
from models.vote import VoteSettings
from tests.contracts.fake_backbone import FakeBackbone
from tests.models.synthetic import draw, encoded

LABELS = ("apple", "bread", "cheese", "dates", "eggs", "figs")

KEYS = {
    "photos",
    "known_photos",
    "foreign_photos",
    "leaked_photos",
    "fcn",
    "knn",
    "svm",
    "vote",
    "verdict",
    "calibration",
    "latency_ms",
    "memory_mb",
    "model_version",
    "weights",
    "unreadable",
}
"""Of ``evaluate --json``; ``unreadable`` is ours on top of the contract."""


CATALOGUE = {label: [encoded(draw(place, seed)) for seed in range(3)] for place, label in enumerate(LABELS)}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """k-NN and an SVM; no FCN."""
    backbone = FakeBackbone()
    shots = [(label, data) for label, photos in CATALOGUE.items() for data in photos]
    vectors = backbone.extract([fit_input(np.asarray(Image.open(BytesIO(data)))) for _, data in shots])
    labels = [label for label, _ in shots]
    means = np.stack([vectors[[i for i, name in enumerate(labels) if name == label]].mean(0) for label in LABELS], 1)
    bundle = Bundle(
        version="v3",
        space=backbone.space,
        weights="fake",
        created_at="2026-01-01T00:00:00+00:00",
        fcn=None,
        svm=SvmClassifier(means, np.zeros(len(LABELS), np.float32), LABELS),
        types=None,
        vote=VoteSettings.prior(),
        verdict=VerdictSettings.prior(),
        metrics={},
        manifest_sha256="0" * 64,
    )
    return Recognizer(bundle, backbone, ExactNeighbours(vectors, labels))


def run(recognizer: Recognizer, cases: list[PhotoCase], **changed: object) -> Evaluation:
    hashes = frozenset(hashlib.sha256(data).hexdigest() for photos in CATALOGUE.values() for data in photos)
    arguments = {"limits": PhotoLimits(), "catalogue_hashes": hashes, **changed}
    return evaluate(cases, recognizer, **arguments)  # type: ignore[arg-type]


@pytest.fixture
def cases(tmp_path: Path) -> list[PhotoCase]:
    """Two new photos of each product, and three foreign ones."""
    made = []
    for place, label in enumerate(LABELS):
        for seed in (7, 8):
            path = tmp_path / f"{label}-{seed}.jpg"
            path.write_bytes(encoded(draw(place, seed)))
            made.append(PhotoCase(path, label))
    for number in range(3):
        path = tmp_path / f"foreign-{number}.png"
        path.write_bytes(encoded(np.random.default_rng(number).integers(0, 256, (300, 300, 3), dtype=np.uint8), "PNG"))
        made.append(PhotoCase(path, None))
    return made


def test_json_has_exactly_the_contracts_keys(recognizer: Recognizer, cases: list[PhotoCase]) -> None:
    result = run(recognizer, cases).result
    assert set(result) == KEYS
    for name in ("fcn", "knn", "svm", "vote"):
        assert set(result[name]) == {"top1", "top5", "macro_f1"}
    assert set(result["verdict"]) == {
        "false_accept",
        "false_reject",
        "unsure_known",
        "unsure_foreign",
        "wrong_known",
    }
    assert set(result["calibration"]) == {"ece", "calibrated"}
    assert set(result["latency_ms"]) == {"p50", "p95"}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_known_and_foreign_photos_are_counted_apart(recognizer: Recognizer, cases: list[PhotoCase]) -> None:
    found = run(recognizer, cases)
    result = found.result
    assert (result["photos"], result["known_photos"], result["foreign_photos"]) == (15, 12, 3)
    assert result["leaked_photos"] == 0
    assert result["knn"] == result["vote"] == {"top1": 1.0, "top5": 1.0, "macro_f1": 1.0}
    assert result["verdict"]["false_accept"] is not None
    assert (result["model_version"], result["weights"]) == ("v3", "fake")
    assert result["calibration"]["calibrated"] is False
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p95"]
    assert result["memory_mb"] > 10
    assert len(found.known) == 12
    assert found.known[0].truth == "apple"


def test_a_classifier_the_model_lacks_is_null_and_not_0_percent(recognizer: Recognizer, cases: list[PhotoCase]) -> None:
    assert run(recognizer, cases).result["fcn"] == {"top1": None, "top5": None, "macro_f1": None}


def test_wrong_answers_count(recognizer: Recognizer, cases: list[PhotoCase]) -> None:
    """Every photo said to show the next product: never right, and foreign photos do not count as known."""
    moved = [PhotoCase(c.path, c.label and LABELS[(LABELS.index(c.label) + 1) % 6]) for c in cases]
    result = run(recognizer, moved).result
    assert result["knn"]["top1"] == result["vote"]["top1"] == 0.0
    assert result["verdict"]["wrong_known"] in (None, 1.0)


def test_a_label_nobody_knows_counts_as_known_and_wrong(recognizer: Recognizer, cases: list[PhotoCase]) -> None:
    result = run(recognizer, [PhotoCase(cases[0].path, "not yet photographed")]).result
    assert (result["known_photos"], result["vote"]["top5"]) == (1, 0.0)


def test_leaked_photos_are_counted_by_content_and_by_likeness(
    recognizer: Recognizer, cases: list[PhotoCase], tmp_path: Path
) -> None:
    """The very file of the catalogue, under another name; and the same picture saved in another format."""
    same, again = tmp_path / "renamed.png", tmp_path / "again.png"
    same.write_bytes(CATALOGUE["bread"][0])
    again.write_bytes(encoded(np.asarray(Image.open(BytesIO(CATALOGUE["figs"][1]))), "PNG"))
    leaked = [PhotoCase(same, "bread"), PhotoCase(again, "figs")]
    assert run(recognizer, leaked).result["leaked_photos"] == 2
    assert run(recognizer, leaked, catalogue_hashes=frozenset()).result["leaked_photos"] == 2
    taught = frozenset(hashlib.sha256(case.path.read_bytes()).hexdigest() for case in cases[:3])
    assert run(recognizer, cases, seen_by_backbone=taught).result["leaked_photos"] == 3
    result = run(recognizer, [*cases, *leaked]).result
    assert (result["leaked_photos"], result["photos"]) == (2, 17)


def test_a_broken_a_missing_and_an_oversized_photo_are_listed_and_counted_nowhere_else(
    recognizer: Recognizer, cases: list[PhotoCase], tmp_path: Path
) -> None:
    torn, large = tmp_path / "torn.jpg", tmp_path / "large.png"
    torn.write_bytes(CATALOGUE["eggs"][0][:900])
    large.write_bytes(encoded(np.zeros((400, 400, 3), np.uint8), "PNG"))
    bad = [PhotoCase(torn, "eggs"), PhotoCase(tmp_path / "gone.jpg", None), PhotoCase(large, "eggs")]
    done: list[int] = []
    limits = PhotoLimits(max_pixels=350 * 350)
    result = run(recognizer, [*bad, *cases], limits=limits, progress=done.append).result
    assert [Path(item["path"]).name for item in result["unreadable"]] == ["torn.jpg", "gone.jpg", "large.png"]
    assert all(item["reason"] for item in result["unreadable"])
    assert (result["photos"], result["known_photos"]) == (15, 12)
    assert done == list(range(1, 19))


def test_without_any_photo_every_measure_is_null(recognizer: Recognizer) -> None:
    result = run(recognizer, []).result
    assert set(result) == KEYS
    assert result["photos"] == 0
    measures = [result[name] for name in ("fcn", "knn", "svm", "vote", "verdict", "latency_ms")]
    assert all(value is None for measure in measures for value in measure.values())
    assert result["calibration"]["ece"] is None
    json.dumps(result, allow_nan=False)


def test_labels_that_left_the_catalogue_are_not_named(recognizer: Recognizer, cases: list[PhotoCase]) -> None:
    within = frozenset(LABELS) - {"apple"}
    found = run(recognizer, cases[:2], within=within)
    assert all("apple" not in photo.ranked[name] for photo in found.known for name in ("knn", "svm", "vote"))
