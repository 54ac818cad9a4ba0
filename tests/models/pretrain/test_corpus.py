"""The corpus holds what may be shown, finds itself again and nothing else, and says when it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augment.geometry import resize_square
from models.errors import NotEnoughData, TrainingError
from models.photo import read_photo
from models.training.pretrain.corpus import STORED_EDGE, TASKS, Corpus, build_corpus
from models.training.pretrain.drawn import PHONE_PHOTOS, VIEWS, drawn_products
from models.training.pretrain.shown import Listing, SourcePhoto
from models.training.splits import PhotoPlace, Split
from tests.models.pretrain.conftest import DRAWN


def listing(photos: list[SourcePhoto], **splits: Split) -> Listing:
    return Listing.read(photos, splits)


def test_protected_photos_are_never_stored(shop_photos: list[SourcePhoto], tmp_path: Path) -> None:
    roles = ["train", "validation", "calibration", "test", "hold_out"]
    hashes = listing(shop_photos).hashes
    places = {h: PhotoPlace(roles[i % 5], 0, i) for i, h in enumerate(hashes)}
    corpus = build_corpus(tmp_path / "c", listing(shop_photos, shop=Split(places, 5)), [])
    assert corpus.seen == {h for h, place in places.items() if place.role in ("train", "validation")}
    assert len(corpus.entries) == len(corpus.seen) == len(corpus.pixels)


def test_rendered_pictures_join_without_a_hash(corpus: Corpus) -> None:
    drawn = [entry for entry in corpus.entries if entry.source == "rendered"]
    assert len(drawn) == DRAWN * (VIEWS + PHONE_PHOTOS)
    assert not any(entry.content_hash for entry in drawn)
    assert {entry.role for entry in drawn} == {"train", "validation"}


def test_stored_pixels_are_the_squashed_photo(corpus: Corpus, shop_photos: list[SourcePhoto]) -> None:
    assert corpus.pixels.dtype == np.uint8 and corpus.pixels.shape[1:] == (STORED_EDGE, STORED_EDGE, 3)
    rows = {entry.content_hash: row for row, entry in enumerate(corpus.entries)}
    stored = [pair for pair in zip(listing(shop_photos).hashes, shop_photos, strict=True) if pair[0] in rows]
    assert len(stored) > 10
    for content_hash, photo in stored:
        squashed = resize_square(read_photo(photo.path.read_bytes()).pixels, STORED_EDGE)
        assert np.array_equal(corpus.pixels[rows[content_hash]], squashed)


def test_targets_count_from_nought_and_end_with_missing(corpus: Corpus) -> None:
    for task in TASKS:
        size = len(corpus.vocabularies[task])
        targets = corpus.targets(task)
        assert targets.dtype == np.int32 and targets.shape == (len(corpus.entries),)
        assert targets.min() >= 0 and targets.max() <= size
        for entry, target in zip(corpus.entries, targets, strict=True):
            value = entry.values[TASKS.index(task)]
            if target < size:
                assert corpus.vocabularies[task][target] == value
            else:
                assert value not in corpus.vocabularies[task]


def test_a_finished_corpus_is_found_again_by_its_own_input_alone(
    shop_photos: list[SourcePhoto], tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    made = build_corpus(folder, listing(shop_photos), [])
    times = [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    assert build_corpus(folder, listing(shop_photos), []).entries == made.entries
    roles = {h: PhotoPlace("train", 0, i) for i, h in enumerate(listing(shop_photos).hashes)}
    for other in (listing(shop_photos[1:]), listing([]), listing(shop_photos, shop=Split(roles, 5))):
        with pytest.raises(TrainingError, match="made from other photos, splits or drawn products"):
            build_corpus(folder, other, [])
    with pytest.raises(TrainingError, match="made from other photos"):
        build_corpus(folder, listing(shop_photos), drawn_products(2))
    assert times == [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]


def test_a_damaged_corpus_is_named(shop_photos: list[SourcePhoto], tmp_path: Path) -> None:
    build_corpus(tmp_path / "c", listing(shop_photos[:6]), [])
    (tmp_path / "c" / "corpus.json").write_text('{"format": 2, "made_from": "", "entries": []}')
    with pytest.raises(TrainingError, match="remove it to build it anew"):
        Corpus.open(tmp_path / "c")


def test_nothing_to_train_on_is_an_error_before_anything_is_stored(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="0 photos and drawn pictures"):
        build_corpus(tmp_path / "c", listing([]), [])
    with pytest.raises(NotEnoughData, match=r"8 photos and drawn pictures .* none of them of role train"):
        build_corpus(tmp_path / "c", listing([]), drawn_products(1))
    assert not list((tmp_path / "c").iterdir())


def test_drawn_products_are_of_the_family_for_making_weights() -> None:
    skus = {item.values[0] for item in drawn_products(3)}
    assert len(skus) == 3 and all("pretrain" in (sku or "") for sku in skus)
