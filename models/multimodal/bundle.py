"""A text model on disk: data files under one manifest, as ``models.bundle`` writes and verifies them.

manifest.json  subwords.model  network-0.npz, network-1.npz ...  malls.npz
settings.json  architectures, answers, calibration, sources, paths, category words        metrics.json
report.html    for people, where there is one
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.bundle import read_manifest, verify, write_bundle
from models.errors import BundleDamaged
from models.multimodal.calibration import Calibration
from models.multimodal.classifier import CategoryClassifier
from models.multimodal.features import NameFeatures
from models.multimodal.names import CategoryWords
from models.multimodal.network import Architecture, Network
from models.multimodal.sources import Malls
from models.multimodal.stop_words import from_lists, to_lists
from models.multimodal.subwords import Subwords

REPORT: Final = "report.html"


@dataclass(frozen=True, slots=True, eq=False)
class TextBundle:
    """A text model version.

    space: of the bottlenecks it reads. words: the category words of the catalogue it was trained on.
    counts: training rows of each type. metrics: what was measured.
    """

    version: str
    space: str
    created_at: str
    classifier: CategoryClassifier
    words: CategoryWords
    counts: Mapping[str, int]
    metrics: dict[str, Any]


def save_text_bundle(folder: Path, manifest: dict[str, Any], bundle: TextBundle, report: str | None = None) -> None:
    """Write the folder atomically. manifest: version, space, created_at and what else people want to know. report: a
    page, HTML.

    :raise BundleMismatch: the version exists.
    """
    classifier = bundle.classifier

    def write(into: Path) -> None:
        classifier.features.subwords.save(into / "subwords.model")
        for number, member in enumerate(classifier.members):
            _save_arrays(
                into / f"network-{number}.npz",
                {**member.parameters, "centre": member.centre, "scale": np.array(member.scale)},
            )
        _save_arrays(into / "malls.npz", {"counts": classifier.malls.counts, "prior": classifier.malls.prior})
        settings = {
            "buckets": classifier.features.buckets,
            "architectures": [member.architecture.to_json() for member in classifier.members],
            "answers": {head: list(names) for head, names in classifier.answers.items()},
            "calibration": classifier.calibration.to_json(),
            "malls": classifier.malls.to_json(),
            "paths": classifier.paths,
            "stop_words": to_lists(classifier.stop_words),
            "category_words": sorted(bundle.words.stems),
            "counts": dict(bundle.counts),
        }
        (into / "settings.json").write_text(json.dumps(settings, ensure_ascii=False), "utf-8")
        (into / "metrics.json").write_text(json.dumps(bundle.metrics, ensure_ascii=False), "utf-8")
        if report is not None:
            (into / REPORT).write_text(report, "utf-8")

    write_bundle(folder, manifest, write)


def load_text_bundle(folder: Path) -> TextBundle:
    """Verify every file against the manifest, then read it.

    :raise BundleNotFound: nothing there. :raise BundleDamaged: a file is missing, changed or unreadable.
    :raise BundleMismatch: another format.
    """
    manifest, _ = read_manifest(folder)
    verify(folder, manifest)
    try:
        settings = json.loads((folder / "settings.json").read_text("utf-8"))
        classifier = _classifier(folder, settings)
        return TextBundle(
            manifest["version"],
            manifest["space"],
            manifest["created_at"],
            classifier,
            CategoryWords(settings["category_words"]),
            {str(name): int(count) for name, count in settings["counts"].items()},
            json.loads((folder / "metrics.json").read_text("utf-8")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise BundleDamaged(f"text model {folder.name} is unreadable ({error}); run `text train` again") from error


def _classifier(folder: Path, settings: Mapping[str, Any]) -> CategoryClassifier:
    features = NameFeatures(Subwords.load(folder / "subwords.model"), int(settings["buckets"]))
    members = []
    for number, told in enumerate(settings["architectures"]):
        arrays = _load_arrays(folder / f"network-{number}.npz")
        centre, scale = arrays.pop("centre"), float(arrays.pop("scale"))
        members.append(Network(Architecture(**told), arrays, centre, scale))
    malls = _load_arrays(folder / "malls.npz")
    return CategoryClassifier(
        features,
        members,
        {head: tuple(names) for head, names in settings["answers"].items()},
        Calibration.from_json(settings["calibration"]),
        Malls.from_json(settings["malls"], malls["counts"], malls["prior"]),
        settings["paths"],
        CategoryWords(settings["category_words"]),
        from_lists(settings["stop_words"]),
    )


def _save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _load_arrays(path: Path) -> dict[str, Any]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}
