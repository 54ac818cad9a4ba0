"""The report of a training run: one HTML file with its pictures inside, for people; it loads and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, Template

from models.training.reports import plots
from models.training.reports.heat import HeatPictures
from models.training.reports.pictures import (
    THUMBNAIL_EDGE,
    PhotoLoader,
    Thumbnails,
    care_pictures,
    confusions,
    examples,
)
from models.training.reports.tables import VotedPhoto, voted_photos
from models.training.train import Trained
from models.values import Backbone


def write_evaluation_report(
    path: Path, result: Mapping[str, Any], photos: Sequence[VotedPhoto], load: PhotoLoader
) -> None:
    """Write what ``evaluate`` found, with pictures.

    result: as ``models.training.evaluate.evaluate`` returns it. photos: the known ones it judged, named by
    their path instead of a content hash; load: path -> bytes.
    """
    show = Thumbnails(load)
    page = page_template("evaluation.html.j2").render(
        result=result,
        confusions=confusions(photos, show),
        misses=examples(photos, show, hit=False),
        hits=examples(photos, show, hit=True),
        reliability=plots.reliability(photos),
    )
    path.write_text(page, encoding="utf-8")


def write_report(
    path: Path, manifest: Mapping[str, Any], trained: Trained, load: PhotoLoader, backbone: Backbone | None = None
) -> None:
    """Write the report.

    manifest: version, weights, created_at and so on. load: gives the bytes of a catalogue photo. backbone: the one
    trained with, for heat maps beside hits and misses; None shows none.
    """
    metrics = trained.metrics
    asked = voted_photos(trained.fit.known, metrics["data"]["folds"], trained.seen_by_backbone)
    photos = [photo for photo in asked if photo.photo.content_hash not in trained.seen_by_backbone]
    care = metrics["data_care"]
    suspects = frozenset(item["photo"] for item in care["mislabels"]["photos"])
    show = Thumbnails(load)
    heat = None
    if backbone is not None and trained.fcn is not None:
        heat = HeatPictures(load, backbone, trained.fcn, THUMBNAIL_EDGE)
    page = page_template("training.html.j2").render(
        manifest=manifest,
        metrics=metrics,
        care=care,
        care_pictures=care_pictures(care, show),
        confusions=confusions(photos, show),
        misses=examples(photos, show, hit=False, heat=heat),
        hits=examples(photos, show, hit=True, heat=heat),
        reliability=plots.reliability(photos),
        curves=plots.learning_curves(trained.fit.histories),
        rejection=plots.rejection(metrics["verdict"]["curve"], metrics["verdict"]),
        map=plots.bottleneck_map(trained.photos, suspects) if trained.photos is not None else "",
    )
    path.write_text(page, encoding="utf-8")


def page_template(name: str) -> Template:
    """A page of the folder ``templates``."""
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("models.training.reports", package_path="templates"),
    )
    environment.filters["percent"] = _percent
    environment.filters["sentence"] = _sentence
    return environment.get_template(name)


def _sentence(words: str) -> str:
    """With a capital first letter; jinja's ``capitalize`` would make all others small."""
    return words[:1].upper() + words[1:]


def _percent(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None or np.isnan(value) else f"{100 * value:.{digits}f} %"
