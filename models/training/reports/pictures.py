"""Photos in a report: small JPEGs inside the page, and which photos are worth a place."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from models.errors import PhotoError
from models.photo import read_photo
from models.training.reports.heat import HeatPictures
from models.training.reports.tables import VotedPhoto

PhotoLoader = Callable[[str], bytes]
"""Content hash -> the photo's bytes."""

THUMBNAIL_EDGE: Final = 140
"""Longest edge, pixels: about 5 kB a picture, so that a report of 150 pictures stays below 1 MB."""

_CONFUSIONS = 12
_EXAMPLES = 12
_SUSPECTS = 24
_PAIRS = 12


@dataclass(frozen=True, slots=True)
class Example:
    """One photo with its answer, for the pictures of hits and misses. heat: the same photo with where ``named`` is
    seen in it; an empty string where that is not shown."""

    picture: str
    truth: str
    named: str
    confidence: float
    heat: str = ""


class Thumbnails:
    """Pictures as data URIs, each photo read once however often it is shown."""

    def __init__(self, load: PhotoLoader) -> None:
        self._load = load
        self._made: dict[str, str] = {}

    def __call__(self, content_hash: str) -> str:
        """A small JPEG as a data URI; an empty string where the photo cannot be read any more."""
        if content_hash not in self._made:
            self._made[content_hash] = thumbnail(self._load, content_hash)
        return self._made[content_hash]


def thumbnail(load: PhotoLoader, content_hash: str) -> str:
    """A small JPEG as a data URI; an empty string where the photo cannot be read any more."""
    try:
        pixels = read_photo(load(content_hash), with_advice=False).pixels
    except (OSError, PhotoError):
        return ""
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_EDGE, THUMBNAIL_EDGE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def confusions(photos: Sequence[VotedPhoto], show: Thumbnails) -> list[dict[str, Any]]:
    """The label pairs mixed up most often, each with a photo that was misread and one of the label it was taken for:
    one that was named right, if there is any.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    shown: dict[str, str] = {}
    of_label: dict[str, str] = {}
    wrong: dict[tuple[str, str], str] = {}
    for photo in photos:
        named = photo.ranked["vote"][:1]
        of_label.setdefault(photo.truth, photo.photo.content_hash)
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
            "photo": show(wrong[(truth, named)]),
            "usual": show(usual) if (usual := shown.get(named) or of_label.get(named)) else None,
        }
        for (truth, named), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:_CONFUSIONS]
    ]


def examples(
    photos: Sequence[VotedPhoto], show: Thumbnails, *, hit: bool, heat: HeatPictures | None = None
) -> list[Example]:
    """Evenly spaced hits, or the misses the vote was surest of; one a label as far as possible.

    heat: shows where the label that was named is seen; None leaves that out.
    """
    chosen = [p for p in photos if (p.ranked["vote"][:1] == [p.truth]) is hit]
    by_label: dict[str, VotedPhoto] = {}
    for photo in sorted(chosen, key=lambda p: (-p.confidence, p.photo.content_hash)):
        by_label.setdefault(photo.truth, photo)
    picked = list(by_label.values())
    if hit and len(picked) > _EXAMPLES:
        picked = [picked[i] for i in np.linspace(0, len(picked) - 1, _EXAMPLES).astype(int)]
    return [
        Example(
            show(p.photo.content_hash),
            p.truth,
            p.ranked["vote"][0] if p.ranked["vote"] else "nothing",
            p.confidence,
            "" if heat is None else heat(p.photo.content_hash, next(iter(p.ranked["vote"]), "")),
        )
        for p in picked[:_EXAMPLES]
    ]


def care_pictures(care: Mapping[str, Any], show: Thumbnails) -> dict[str, list[dict[str, Any]]]:
    """Photos of the findings: ``suspects``, ``confusable`` and ``twins``, each an entry with its ``pictures``.

    care: the metrics' ``data_care``.
    """
    suspects = [{**item, "pictures": [show(item["photo"])]} for item in care["mislabels"]["photos"][:_SUSPECTS]]
    pairs = [
        {**pair, "pictures": [show(h) for h in (*pair["first_examples"][:1], *pair["second_examples"][:1])]}
        for pair in care["confusable"]["pairs"][:_PAIRS]
    ]
    twins = [{**pair, "pictures": [show(h) for h in pair["photos"]]} for pair in care["twins"]["pairs"][:_PAIRS]]
    return {"suspects": suspects, "confusable": pairs, "twins": twins}
