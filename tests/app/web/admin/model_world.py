"""Model versions as trainings leave them, made by hand for the shop of the browser tests, with what to look into."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PilImage
from sqlalchemy import Engine, select

from app.store.bundles import BundleStore, Gate, NewBundle
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.tables import Image, Product
from augment.variants import VARIANT_NAMES
from models.bundle import write_bundle
from models.inspection import (
    JUDGED_FILE,
    MAP_FILE,
    VARIANTS_FILE,
    VARIANTS_PICTURE,
    JudgedPhotos,
    ProductMap,
)
from models.training.reports.inspection import variant_sheet
from models.verdict import VerdictSettings
from models.vote import VoteSettings
from tests.contracts.fake_backbone import FakeBackbone

OLD, CHAMPION, REFUSED = "20260101T000000000Z", "20260201T000000000Z", "20260301T000000000Z"
"""A version of an older release, without anything to look into; the served one; one that the gate refused."""

REASON = "worse: vote Top-1 91.0 % before, 80.0 % now, on 40 photos of 30 scenes (-11.0 points)"


@dataclass(frozen=True)
class Photo:
    """A catalogue photo."""

    label: str
    content_hash: str


def photos_of(engine: Engine) -> list[Photo]:
    """Every catalogue photo, by label."""
    with transaction(engine) as session:
        rows = session.execute(
            select(Product.label, Image.content_hash)
            .join(Image, Image.product_id == Product.id)
            .order_by(Product.label, Image.id)
        ).all()
    return [Photo(row.label, row.content_hash) for row in rows]


def judged(photos: Sequence[Photo]) -> JudgedPhotos:
    """Each photo named rightly by all but for the first label: it is taken for the second, and once for nothing."""
    labels = sorted({photo.label for photo in photos} | {"withdrawn"})
    truth = np.array([labels.index(photo.label) for photo in photos], np.int32)
    named = np.repeat(truth[:, None], 4, axis=1)
    first, second, gone = labels.index(photos[0].label), labels.index(photos[1].label), labels.index("withdrawn")
    named[0] = (second, second, first, second)
    named[2] = (gone, gone, truth[2], len(labels))
    named[3, 0] = len(labels)
    assert truth[0] == first
    return JudgedPhotos(
        tuple(labels),
        ("vote", "fcn", "knn", "svm"),
        np.array([list(bytes.fromhex(photo.content_hash)) for photo in photos], np.uint8),
        truth,
        named.astype(np.int32),
        np.linspace(0.2, 0.99, len(photos), dtype=np.float32),
    )


def spread_out(photos: Sequence[Photo]) -> ProductMap:
    """The labels on a spiral, three of them at one place, and one that the catalogue has no more."""
    labels = sorted({photo.label for photo in photos} | {"withdrawn"})
    turns = np.linspace(0, 9, len(labels))
    places = 0.5 + 0.05 * turns[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    places[:3] = (0.05, 0.05)
    return ProductMap(
        tuple(labels), np.clip(places, 0, 1).astype(np.float32), np.ones(len(labels), np.int32), len(labels) + 5
    )


def measured(top1: float, photos: Sequence[Photo]) -> dict[str, Any]:
    """Metrics as training leaves them, with findings about these photos."""

    def row(value: float) -> dict[str, Any]:
        return {name: {"mean": value + gain, "std": 0.012} for name, gain in _MEASURES}

    rules = {"fcn": top1 - 0.01, "knn": top1 - 0.05, "svm": top1, "vote": top1}
    rates = {
        "false_accept": 0.08,
        "false_reject": 0.02,
        "unsure_known": 0.05,
        "unsure_foreign": 0.1,
        "wrong_known": 0.01,
    }
    one, two, *_ = photos
    return {
        "data": {"photos": 420, "labels": 33, "folds": 5, "hold_out_photos": 40, "labels_trained": 30},
        "table3": {name: row(value) for name, value in rules.items()},
        "hold_out": {
            "photos": 40,
            "seen_by_backbone": 0,
            **{name: {m: min(1.0, value + gain) for m, gain in _MEASURES} for name, value in rules.items()},
        },
        "verdict": {"calibrated": False, **dict.fromkeys(("all", "near", "far"), rates)},
        "data_care": _care(one, two),
        "review": _review(one, two, photos),
    }


_MEASURES = (("top1", 0.0), ("top5", 0.03), ("macro_f1", -0.02))


def _care(one: Photo, two: Photo) -> dict[str, Any]:
    suspect = {"photo": one.content_hash, "label": one.label, "suggested": two.label, "margin": 0.4}
    lost = {"photo": "0" * 64, "label": "withdrawn", "suggested": two.label, "margin": 0.2}
    pair = {
        "first": one.label, "second": two.label, "as_second": 3, "as_first": 1, "first_photos": 9, "second_photos": 8,
        "first_examples": [one.content_hash], "second_examples": [two.content_hash], "count": 4,
    }  # fmt: skip
    twins = {
        "photos": [one.content_hash, two.content_hash], "labels": [one.label, two.label], "cosine": 0.991
    }  # fmt: skip
    change = {"name": "nearest", "psi": 0.4, "bound": 0.05, "level": "large", "shares": {}, "advice": "add photos"}
    return {
        "mislabels": {"count": 2, "noise": 0.1, "photos": [suspect, lost], "advice": ""},
        "confusable": {"count": 1, "pairs": [pair], "advice": ""},
        "twins": {"count": 1, "pairs": [twins], "advice": ""},
        "balance": {"median": 6.0, "smaller": 0.5, "larger": 0.75, "did": "", "advice": ""},
        "training": {"care": "selfie", "did": "", "photos": 400, "left_out": 2, "relabelled": 7},
        "drift": {"before": 300, "now": 200, "level": "large", "versions": 1, "changes": [change]},
    }


def _review(one: Photo, two: Photo, photos: Sequence[Photo]) -> dict[str, Any]:
    few = [{"label": photo.label, "photos": 1} for photo in photos[:8]]
    alike = {"label": one.label, "photos": [one.content_hash, two.content_hash], "cosine": 0.993}
    return {
        "too_few": {"count": len(few), "labels": few, "advice": ""},
        "one_scene": {"count": 1, "labels": [one.label], "advice": ""},
        "studio_only": {"count": 0, "labels": [], "advice": ""},
        "near_duplicates": {"count": 1, "pairs": [alike], "advice": ""},
        "imbalance": {"most_over_median": 6.5, "reported": True, "advice": ""},
    }


def write_version(home: Path, version: str, metrics: Mapping[str, Any], photos: Sequence[Photo] | None) -> str:
    """A bundle's folder; returns the digest of its manifest. photos: to look into; None as an older release has it."""
    media = MediaStore(home / "media")

    def files(folder: Path) -> None:
        settings = {"vote": VoteSettings.prior().to_json(), "verdict": VerdictSettings.prior().to_json()}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "report.html").write_text("<!doctype html><html lang=en><title>Report</title><h1>Report</h1>")
        if photos is None:
            return
        judged(photos).save(folder / JUDGED_FILE)
        spread_out(photos).save(folder / MAP_FILE)
        made = variant_sheet(
            [(photo.label, photo.content_hash) for photo in photos[-4:]],
            VARIANT_NAMES,
            0,
            lambda content_hash: media.open(content_hash, "800"),
        )
        assert made is not None
        made[0].save(folder / VARIANTS_FILE)
        PilImage.fromarray(made[1]).save(folder / VARIANTS_PICTURE, "WEBP", quality=85)

    manifest = {"version": version, "space": FakeBackbone.space, "weights": "fake", "created_at": "", "labels": 3}
    return write_bundle(home / "bundles" / version, manifest, files)


def publish_versions(engine: Engine, home: Path, space_id: int) -> list[Photo]:
    """An older version, the champion after it, and one that the gate refused; returns the catalogue's photos."""
    photos = photos_of(engine)
    made = {
        OLD: ({"data_care": {}}, None),
        CHAMPION: (measured(0.91, photos), photos),
        REFUSED: (measured(0.80, photos), photos),
    }
    digests = {name: write_version(home, name, *parts) for name, parts in made.items()}
    store = BundleStore(home)
    for name in (OLD, CHAMPION):
        with transaction(engine) as session:
            store.publish(session, name, space_id, digests[name], made[name][0])
    with transaction(engine) as session:
        gate = Gate("refused", REASON, CHAMPION)
        store.settle(session, NewBundle(REFUSED, space_id, digests[REFUSED], made[REFUSED][0]), gate)
    return photos
