"""The report of a training run: one HTML file with its pictures inside, for people."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, Template
from PIL import Image

from models.errors import PhotoError
from models.photo import read_photo
from models.training.measures import ECE_BINS
from models.training.reports.tables import VotedPhoto, voted_photos
from models.training.train import Trained

PhotoLoader = Callable[[str], bytes]
"""Content hash -> the photo's bytes."""

_THUMBNAIL_EDGE = 140
_CONFUSIONS = 12
_EXAMPLES = 12


@dataclass(frozen=True, slots=True)
class Example:
    """One photo with its answer, for the pictures of hits and misses."""

    picture: str
    truth: str
    named: str
    confidence: float


def write_evaluation_report(
    path: Path, result: Mapping[str, Any], photos: Sequence[VotedPhoto], load: PhotoLoader
) -> None:
    """Write what ``evaluate`` found, with pictures.

    result: as ``models.training.evaluate.evaluate`` returns it. photos: the known ones it judged, named by
    their path instead of a content hash; load: path -> bytes.
    """
    page = _template("evaluation.html.j2").render(
        result=result,
        confusions=_confusions(photos, load),
        misses=_examples(photos, load, hit=False),
        hits=_examples(photos, load, hit=True),
        reliability=_reliability(photos),
    )
    path.write_text(page, encoding="utf-8")


def _template(name: str) -> Template:
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("models.training.reports", package_path="templates"),
    )
    environment.filters["percent"] = _percent
    return environment.get_template(name)


def write_report(path: Path, manifest: Mapping[str, Any], trained: Trained, load: PhotoLoader) -> None:
    """Write the report.

    manifest: version, weights, created_at and so on. load: gives the bytes of a catalogue photo.
    """
    photos = voted_photos(trained.fit.known, trained.metrics["data"]["folds"], trained.seen_by_backbone)
    page = _template("training.html.j2").render(
        manifest=manifest,
        metrics=trained.metrics,
        confusions=_confusions(photos, load),
        misses=_examples(photos, load, hit=False),
        hits=_examples(photos, load, hit=True),
        reliability=_reliability([p for p in photos if p.photo.content_hash not in trained.seen_by_backbone]),
        curve=_learning_curve(trained),
    )
    path.write_text(page, encoding="utf-8")


def _percent(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None or np.isnan(value) else f"{100 * value:.{digits}f} %"


def _confusions(photos: Sequence[VotedPhoto], load: PhotoLoader) -> list[dict[str, Any]]:
    """The label pairs mixed up most often, each with one photo of either."""
    pairs: Counter[tuple[str, str]] = Counter()
    shown: dict[str, str] = {}
    wrong: dict[tuple[str, str], str] = {}
    for photo in photos:
        named = photo.ranked["vote"][:1]
        if named == [photo.truth]:
            shown.setdefault(photo.truth, photo.photo.content_hash)
        elif named:
            pairs[(photo.truth, named[0])] += 1
            wrong.setdefault((photo.truth, named[0]), photo.photo.content_hash)
    return [
        {
            "truth": truth,
            "named": named,
            "count": count,
            "photo": thumbnail(load, wrong[(truth, named)]),
            "usual": thumbnail(load, shown[named]) if named in shown else None,
        }
        for (truth, named), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:_CONFUSIONS]
    ]


def _examples(photos: Sequence[VotedPhoto], load: PhotoLoader, *, hit: bool) -> list[Example]:
    """Evenly spaced hits, or the misses the vote was surest of; one a label as far as possible."""
    chosen = [p for p in photos if (p.ranked["vote"][:1] == [p.truth]) is hit]
    by_label: dict[str, VotedPhoto] = {}
    for photo in sorted(chosen, key=lambda p: (-p.confidence, p.photo.content_hash)):
        by_label.setdefault(photo.truth, photo)
    picked = list(by_label.values())
    if hit and len(picked) > _EXAMPLES:
        picked = [picked[i] for i in np.linspace(0, len(picked) - 1, _EXAMPLES).astype(int)]
    return [
        Example(
            thumbnail(load, p.photo.content_hash),
            p.truth,
            p.ranked["vote"][0] if p.ranked["vote"] else "nothing",
            p.confidence,
        )
        for p in picked[:_EXAMPLES]
    ]


def thumbnail(load: PhotoLoader, content_hash: str) -> str:
    """A small JPEG as a data URI; an empty string where the photo cannot be read any more."""
    try:
        pixels = read_photo(load(content_hash), with_advice=False).pixels
    except (OSError, PhotoError):
        return ""
    image = Image.fromarray(pixels)
    image.thumbnail((_THUMBNAIL_EDGE, _THUMBNAIL_EDGE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _reliability(photos: Sequence[VotedPhoto]) -> str:
    """The reliability curve as inline SVG: accuracy over confidence in equal-mass bins."""
    if not photos:
        return ""
    order = sorted(photos, key=lambda p: p.confidence)
    bins = [part for part in np.array_split(np.arange(len(order)), ECE_BINS) if len(part)]
    sure = [float(np.mean([order[i].confidence for i in part])) for part in bins]
    right = [float(np.mean([order[i].ranked["vote"][:1] == [order[i].truth] for i in part])) for part in bins]

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="#999999", linestyle="--", linewidth=1, label="ideal")
        axes.plot(sure, right, marker="o", color="#1f5fa8", label="vote")
        axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper left")

    return _svg(draw, (4.2, 4.2))


def _learning_curve(trained: Trained) -> str:
    """Training and validation loss of the FCN, a line a fold, as inline SVG."""
    if not trained.fit.histories:
        return ""

    def draw(axes: Any) -> None:
        for number, history in enumerate(trained.fit.histories):
            epochs = range(1, len(history) + 1)
            axes.plot(epochs, [row[0] for row in history], color="#999999", linewidth=1)
            axes.plot(epochs, [row[1] for row in history], linewidth=1.4, label=f"fold {number + 1}")
        axes.set(xlabel="epoch (grey: training)", ylabel="FCN validation loss")
        axes.legend()

    return _svg(draw, (5.6, 4.2))


def _svg(draw: Callable[[Any], None], size: tuple[float, float]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(figure.add_subplot())
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
