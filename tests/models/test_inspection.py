"""What a bundle keeps for people: written and read back alike, and every damage is a clear error."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augment.variants import variant_amount
from models.bundle import MANIFEST, bundle_file, write_bundle
from models.errors import BundleDamaged, UsageError
from models.inspection import (
    JUDGED_FILE,
    MAP_FILE,
    VARIANTS_FILE,
    VARIANTS_PICTURE,
    JudgedPhotos,
    ProductMap,
    VariantSheet,
)
from models.training.reports.inspection import SHEET_EDGE, product_map, variant_sheet, write_inspection
from models.training.reports.tables import judged_photos, voted_photos
from tests.models.conftest import Run
from tests.models.synthetic import digest, draw, encoded, judged, make_photos, says


def three() -> JudgedPhotos:
    """Photos of a, a and c: named b, nothing and c by the vote; a, b and nothing by k-NN."""
    photos = [
        judged("a", 0, says("knn", {"b": 0.9, "a": 0.1}), name="1"),
        judged("a", 0, says("knn", {}), name="2"),
        judged("c", 0, says("knn", {"c": 0.8}), name="3"),
    ]
    made = judged_photos(voted_photos(photos, 1))
    assert made is not None
    return made


def test_judged_photos_say_what_each_rule_named() -> None:
    found = three()
    assert (found.labels, found.rules, len(found)) == (("a", "b", "c"), ("vote", "knn"), 3)
    one, two, other = found.photos([0, 1, 2], "vote")
    assert (one.content_hash, one.truth, one.named) == (digest("a01"), "a", "b")
    assert (two.truth, two.named, two.confidence) == ("a", None, 0.0)
    assert (other.truth, other.named) == ("c", "c") and 0 < other.confidence <= 1
    assert list(found.named_by("knn")) == [1, 3, 2]
    with pytest.raises(UsageError, match="no photo was judged by 'fcn'; by vote, knn"):
        found.named_by("fcn")
    assert judged_photos([]) is None


def test_training_judges_every_photo_that_the_backbone_has_not_seen(run: Run) -> None:
    made = run.trained.judged
    assert made is not None and made.rules == ("vote", "fcn", "knn", "svm")
    photos = made.photos(range(len(made)), "vote")
    seen = run.trained.seen_by_backbone
    assert {p.content_hash for p in photos} == {p.content_hash for p in run.trained.fit.known} - seen
    truth = {p.content_hash: p.truth for p in run.trained.fit.known}
    assert all(p.truth == truth[p.content_hash] for p in photos)
    top1 = np.mean([p.named == p.truth for p in photos])
    assert top1 == pytest.approx(run.trained.metrics["table3"]["vote"]["top1"]["mean"], abs=0.02)


def saved(part: Any, folder: Path) -> bytes:
    part.save(folder / "part.npz")
    return (folder / "part.npz").read_bytes()


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    first = three()
    again = JudgedPhotos.read(saved(first, tmp_path))
    assert again.photos([0, 1, 2], "knn") == first.photos([0, 1, 2], "knn")
    assert (again.labels, again.rules, again.truth.dtype) == (first.labels, first.rules, np.int32)
    places = np.array([[0.0, 1.0], [0.5, 0.25]], np.float32)
    world = ProductMap.read(saved(ProductMap(("a", "é"), places, np.array([3, 4], np.int32), 9), tmp_path))
    assert (world.labels, world.total, list(world.photos)) == (("a", "é"), 9, [3, 4])
    assert np.array_equal(world.places, places)
    sheet = VariantSheet(160, ("original", "blur"), ("é",), ((1.0, 2.5),))
    sheet.save(tmp_path / "s.json")
    assert VariantSheet.read((tmp_path / "s.json").read_bytes()) == sheet


def rewritten(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    with np.load(io.BytesIO(data)) as arrays:
        parts: dict[str, Any] = dict(arrays)
    change(parts)
    out = io.BytesIO()
    np.savez(out, **parts)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.pop("truth"), "truth"),
        (lambda p: p.update(truth=p["truth"].astype(np.int64)), "truth holds int64"),
        (lambda p: p.update(truth=p["truth"] + 3), "beyond the 3"),
        (lambda p: p.update(named=p["named"] - 9), "beyond the 3"),
        (lambda p: p.update(named=p["named"][:, :1]), "rows of 2 rules"),
        (lambda p: p.update(hashes=p["hashes"][:, :8]), "32 bytes"),
        (lambda p: p.update(confidence=p["confidence"] * np.float32("nan")), "finite"),
        (lambda p: p.update(labels=p["labels"][::-1]), "sorted"),
        (lambda p: p.update(labels=np.array([{}], dtype=object)), "pickle"),
    ],
)
def test_damaged_judged_photos_are_refused(change: Callable[[dict[str, Any]], None], said: str, tmp_path: Path) -> None:
    data = rewritten(saved(three(), tmp_path), change)
    with pytest.raises(BundleDamaged, match=f"judged.npz cannot be read .*{said}"):
        JudgedPhotos.read(data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.update(places=p["places"] * np.float32("nan")), "outside 0..1"),
        (lambda p: p.update(places=p["places"] + np.float32(1)), "outside 0..1"),
        (lambda p: p.update(photos=p["photos"][:1]), "places and numbers"),
        (lambda p: p.update(total=np.int64(1)), "cannot be of 1"),
    ],
)
def test_a_damaged_map_is_refused(change: Callable[[dict[str, Any]], None], said: str, tmp_path: Path) -> None:
    made = ProductMap(("a", "b"), np.full((2, 2), 0.5, np.float32), np.array([3, 4], np.int32), 2)
    with pytest.raises(BundleDamaged, match=said):
        ProductMap.read(rewritten(saved(made, tmp_path), change))


def test_files_that_are_no_such_files_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = saved(three(), tmp_path)
    for wrong in (b"", b"no archive", data[:-30]):
        with pytest.raises(BundleDamaged):
            JudgedPhotos.read(wrong)
    for text in (b"{", b"[]", b'{"edge": 0, "names": [], "labels": [], "amounts": []}',
                 b'{"edge": 160, "names": ["original"], "labels": ["a"], "amounts": [[1, 2]]}'):  # fmt: skip
        with pytest.raises(BundleDamaged, match=r"variants\.json"):
            VariantSheet.read(text)
    monkeypatch.setattr("models.inspection._MAX_UNPACKED_BYTES", 100)
    with pytest.raises(BundleDamaged, match="unpacks to"):
        JudgedPhotos.read(data)


def test_a_map_puts_alike_labels_near_each_other_and_is_the_same_each_time() -> None:
    photos, _ = make_photos({f"l{i:02}": [2, 2] for i in range(12)}, spread=0.3)
    # Every second label looks like the one before it.
    twins = photos.originals.copy()
    for place in range(0, 12, 2):
        own, other = (np.flatnonzero([label == f"l{i:02}" for label in photos.labels]) for i in (place, place + 1))
        twins[other] = twins[own]
    made = product_map(replace(photos, originals=twins))
    assert made is not None and made.labels == tuple(f"l{i:02}" for i in range(12)) and made.total == 12
    assert list(made.photos) == [4] * 12
    assert (made.places.min(), made.places.max()) == (0.0, 1.0) and made.places.dtype == np.float32
    gaps = np.linalg.norm(made.places[:, None] - made.places[None], axis=2) + 9 * np.eye(12)
    assert list(gaps.argmin(axis=1)) == [i ^ 1 for i in range(12)]
    again = product_map(replace(photos, originals=twins))
    assert again is not None and np.array_equal(made.places, again.places)


def test_a_map_needs_labels_and_takes_a_sample_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    photos, _ = make_photos({f"l{i}": [1] for i in range(7)})
    assert product_map(photos) is None
    many, _ = make_photos({f"l{i:02}": [1] for i in range(20)})
    monkeypatch.setattr("models.training.reports.inspection.MAP_LABELS", 9)
    made = product_map(many)
    assert made is not None and (len(made.labels), made.total) == (9, 20)
    assert set(made.labels) < set(many.labels)


def photo_bytes(content_hash: str) -> bytes:
    if content_hash == "lost":
        raise FileNotFoundError(content_hash)
    return b"damaged" if content_hash == "damaged" else encoded(draw(int(content_hash)), "PNG")


def test_a_sheet_shows_the_variants_that_training_made_of_one_photo_a_label() -> None:
    shown = [(f"l{i}", str(i)) for i in range(6)] + [("l0", "7"), ("gone", "lost"), ("broken", "damaged")]
    made = variant_sheet(shown, ("blur", "rotate_left"), 0, photo_bytes)
    assert made is not None
    about, pixels = made
    assert (about.edge, about.names, len(about.labels)) == (160, ("original", "blur", "rotate_left"), 4)
    assert len(set(about.labels)) == 4 and not {"gone", "broken"} & set(about.labels)
    assert (pixels.shape, pixels.dtype) == ((4 * SHEET_EDGE, 3 * SHEET_EDGE, 3), np.uint8)
    first = draw(int(dict(reversed(shown))[about.labels[0]]))
    if about.labels[0] != "l0":
        assert about.amounts[0][1:] == tuple(variant_amount(first, name, 0) for name in about.names[1:])
    original, blurred = pixels[:160, :160].astype(int), pixels[:160, 160:320].astype(int)
    assert np.abs(np.diff(blurred, axis=1)).mean() < np.abs(np.diff(original, axis=1)).mean()
    assert variant_sheet(shown, (), 0, photo_bytes) is None
    assert variant_sheet([("gone", "lost")], ("blur",), 0, photo_bytes) is None


def test_a_bundle_gets_the_files_that_there_is_something_for(run: Run, tmp_path: Path) -> None:
    shown = [("l1", "1")]

    def write(folder: Path) -> None:
        for name in ("settings.json", "metrics.json"):
            (folder / name).write_text("{}")
        write_inspection(folder, run.trained, shown, ("blur",), 0, photo_bytes)

    folder = tmp_path / "v1"
    digest_ = write_bundle(folder, {"version": "v1"}, write)
    data = {name: bundle_file(folder, name, digest_) for name in (JUDGED_FILE, MAP_FILE, VARIANTS_FILE)}
    assert run.trained.judged is not None
    assert len(JudgedPhotos.read(data[JUDGED_FILE] or b"")) == len(run.trained.judged)
    assert len(ProductMap.read(data[MAP_FILE] or b"").labels) == 14
    sheet = VariantSheet.read(data[VARIANTS_FILE] or b"")
    picture = Image.open(io.BytesIO(bundle_file(folder, VARIANTS_PICTURE) or b""))
    assert (picture.format, picture.size) == ("WEBP", (len(sheet.names) * sheet.edge, sheet.edge))
    bare = tmp_path / "v2"
    bare.mkdir()
    write_inspection(bare, replace(run.trained, judged=None, photos=None), shown, (), 0, photo_bytes)
    assert list(bare.iterdir()) == []


def test_a_file_of_a_bundle_is_the_one_that_was_written_or_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "v1"
    digest_ = write_bundle(folder, {"version": "v1"}, lambda path: (path / "a.json").write_text("{}") and None)
    assert bundle_file(folder, "a.json", digest_) == b"{}"
    assert bundle_file(folder, "b.json", digest_) is None
    (folder / "a.json").write_text("[]")
    with pytest.raises(BundleDamaged, match=r"a\.json differs"):
        bundle_file(folder, "a.json", digest_)
    (folder / "a.json").unlink()
    with pytest.raises(BundleDamaged, match=r"a\.json is missing"):
        bundle_file(folder, "a.json")
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleDamaged, match="not the one that was recorded"):
        bundle_file(folder, "a.json", digest_)
