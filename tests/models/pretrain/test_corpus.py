"""The corpus shows what may be shown, finds itself again, and says when it is damaged."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from models.errors import NotEnoughData, TrainingError
from models.training.pretrain.corpus import STORED_EDGE, TASKS, Corpus, SourcePhoto, build_corpus
from models.training.pretrain.drawn import PHONE_PHOTOS, VIEWS, drawn_products
from models.training.splits import PhotoPlace, Split
from tests.models.pretrain.conftest import DRAWN


def hashes_of(photos: list[SourcePhoto]) -> list[str]:
    return [sha256(photo.path.read_bytes()).hexdigest() for photo in photos]


def test_protected_photos_are_never_stored(shop_photos: list[SourcePhoto], tmp_path: Path) -> None:
    hashes = hashes_of(shop_photos)
    roles = ["train", "validation", "calibration", "test", "hold_out"]
    places = {h: PhotoPlace(roles[i % 5], 0, i) for i, h in enumerate(hashes)}
    corpus = build_corpus(tmp_path / "c", shop_photos, [], {"shop": Split(places, 5)})
    assert corpus.seen == {h for h, place in places.items() if place.role in ("train", "validation")}
    assert len(corpus.entries) == len(corpus.seen) == len(corpus.pixels)


def test_without_a_split_file_one_is_made_by_scene(corpus: Corpus, shop_photos: list[SourcePhoto]) -> None:
    shown = [entry for entry in corpus.entries if entry.source == "shop"]
    assert 0 < len(shown) <= len(shop_photos)
    assert {entry.role for entry in shown} <= {"train", "validation"}


def test_rendered_pictures_join_without_a_hash(corpus: Corpus) -> None:
    drawn = [entry for entry in corpus.entries if entry.source == "rendered"]
    assert len(drawn) == DRAWN * (VIEWS + PHONE_PHOTOS)
    assert not any(entry.content_hash for entry in drawn)
    assert {entry.role for entry in drawn} == {"train", "validation"}


def test_stored_pixels_are_the_squashed_photo(corpus: Corpus) -> None:
    assert corpus.pixels.dtype == np.uint8 and corpus.pixels.shape[1:] == (STORED_EDGE, STORED_EDGE, 3)
    assert all(pixels.std() > 3 for pixels in corpus.pixels)


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


def test_a_finished_corpus_is_found_again(corpus: Corpus, shop_photos: list[SourcePhoto], tmp_path: Path) -> None:
    made = build_corpus(tmp_path / "c", shop_photos, [], {})
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "c").iterdir())]
    again = build_corpus(tmp_path / "c", [], [], {})
    assert again.entries == made.entries
    assert times == [path.stat().st_mtime_ns for path in sorted((tmp_path / "c").iterdir())]


def test_a_damaged_corpus_is_named(shop_photos: list[SourcePhoto], tmp_path: Path) -> None:
    build_corpus(tmp_path / "c", shop_photos[:6], [], {})
    (tmp_path / "c" / "corpus.json").write_text('{"format": 1, "entries": []}')
    with pytest.raises(TrainingError, match="remove it to build it anew"):
        Corpus.open(tmp_path / "c")


def test_a_split_of_other_photos_is_refused(shop_photos: list[SourcePhoto], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not in the split file"):
        build_corpus(tmp_path / "c", shop_photos, [], {"shop": Split({"0" * 64: PhotoPlace("train", 0, 0)}, 5)})


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="no photo may be shown"):
        build_corpus(tmp_path / "c", [], [], {})


def test_drawn_products_are_of_the_family_for_making_weights() -> None:
    skus = {item.values[0] for item in drawn_products(3)}
    assert len(skus) == 3 and all("pretrain" in (sku or "") for sku in skus)
