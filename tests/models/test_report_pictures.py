"""Which photos a report shows."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from models.training.reports.pictures import Thumbnails, confusions
from models.training.reports.tables import voted_photos
from tests.models.synthetic import judged, says


def test_a_confusion_shows_both_labels_where_the_second_has_any_photo() -> None:
    seen = [
        judged(truth, 0, says("knn", {first: 0.9, truth: 0.2}), name=truth) for truth, first in (("a", "b"), ("b", "c"))
    ]
    out = BytesIO()
    Image.new("RGB", (300, 300), (200, 30, 30)).save(out, "PNG")
    photo = out.getvalue()
    asked: list[str] = []

    def load(name: str) -> bytes:
        asked.append(name)
        return photo

    found = confusions(voted_photos(seen, 1), Thumbnails(load))
    assert [(pair["truth"], pair["named"], bool(pair["photo"]), bool(pair["usual"])) for pair in found] == [
        ("a", "b", True, True),
        ("b", "c", True, False),
    ]
    assert asked == [one.content_hash for one in seen], "each photo is read once"
