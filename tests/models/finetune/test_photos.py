"""Which photos fine-tuning uses for what, in which order they are shown, and what a view depends on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from models.errors import NotEnoughData, SplitError, TrainingError
from models.training.finetune.photos import (
    balanced_order,
    choose_photos,
    drawn_view,
    made_ahead,
    plain_view,
    read_pixels,
)
from models.training.splits import PhotoPlace, Split
from tests.models.finetune.world import LABELS, PaintedPhoto, UnreadablePhoto, painted, world


def test_photos_are_used_by_their_role_and_hold_out_photos_for_nothing() -> None:
    photos, split = world()
    chosen = choose_photos(photos, split, frozenset(), 1.0, 0)
    by_role = {role: set(split.role(role)) for role in ("train", "validation", "calibration", "test", "hold_out")}
    assert {p.content_hash for p in chosen.taught} == by_role["train"]
    assert {p.content_hash for p in chosen.choosing} == by_role["validation"]
    assert {p.content_hash for p in chosen.judged} == by_role["calibration"] | by_role["test"]
    assert not {p.content_hash for p in chosen.all} & by_role["hold_out"]
    assert [split.places[p.content_hash].scene for p in chosen.judged] == chosen.scenes.tolist()
    assert chosen.labels == LABELS


def test_a_smaller_share_is_part_of_a_larger_one_and_leaves_every_label_a_photo() -> None:
    photos, split = world()
    shares = [
        {p.content_hash for p in choose_photos(photos, split, frozenset(), share, 0).taught}
        for share in (0.01, 0.5, 1.0)
    ]
    assert [len(share) for share in shares] == [4, 8, 16]
    assert shares[0] < shares[1] < shares[2]
    labels = Counter(p.label for p in choose_photos(photos, split, frozenset(), 0.5, 0).taught)
    assert labels == dict.fromkeys(LABELS, 2)


def test_what_the_start_weights_saw_is_not_measured_on() -> None:
    photos, split = world()
    seen = split.role("test")[0]
    chosen = choose_photos(photos, split, frozenset({seen, "0" * 64}), 1.0, 0)
    assert seen not in {p.content_hash for p in chosen.judged}
    assert (len(chosen.judged), len(chosen.scenes), chosen.seen_before) == (7, 7, 1)


def test_labels_without_a_train_photo_are_left_out_everywhere() -> None:
    photos, split = world()
    places = dict(split.places)
    for photo in photos:
        if photo.label == "dates" and places[photo.content_hash].role == "train":
            places[photo.content_hash] = PhotoPlace("hold_out", -1, places[photo.content_hash].scene)
    chosen = choose_photos(photos, Split(places, 2), frozenset(), 1.0, 0)
    assert {p.label for p in chosen.all} == set(LABELS[:3])


def test_a_photo_without_a_place_and_a_single_label_are_refused() -> None:
    photos, split = world()
    with pytest.raises(SplitError, match="not in the split"):
        choose_photos([*photos, UnreadablePhoto("f" * 64, "apple")], split, frozenset(), 1.0, 0)
    with pytest.raises(NotEnoughData, match="at least two labels, got 1"):
        choose_photos([p for p in photos if p.label == "apple"], split, frozenset(), 1.0, 0)


def test_every_label_is_shown_as_often_as_any_other_and_every_photo_of_it() -> None:
    labels = ["many"] * 9 + ["few"] * 2 + ["one"]
    order = balanced_order(labels, 31, np.random.default_rng(0))
    shown = Counter(labels[i] for i in order)
    assert len(order) == 31
    assert max(shown.values()) - min(shown.values()) <= 1
    assert set(order) == set(range(12))
    first_nine = [i for i in order if labels[i] == "many"][:9]
    assert sorted(first_nine) == list(range(9))
    again, other = (balanced_order(labels, 31, np.random.default_rng(seed)) for seed in (0, 1))
    assert np.array_equal(order, again)
    assert not np.array_equal(order, other)


def test_a_view_depends_on_content_and_draw_alone() -> None:
    pixels = read_pixels(PaintedPhoto("a" * 64, "apple", painted(0, 0)))
    view = drawn_view(pixels, "a" * 64, (0, 1), 80)
    drawn_view(pixels, "b" * 64, (0, 5), 80)
    assert view.shape == (80, 80, 3) and view.dtype == np.uint8
    assert np.array_equal(view, drawn_view(pixels, "a" * 64, (0, 1), 80))
    for content_hash, draw in (("a" * 64, (0, 2)), ("a" * 64, (1, 1)), ("b" * 64, (0, 1))):
        assert not np.array_equal(view, drawn_view(pixels, content_hash, draw, 80))


def test_a_plain_view_is_the_photo_as_it_is_served() -> None:
    photo = PaintedPhoto("a" * 64, "apple", painted(0, 0))
    assert plain_view(photo).shape == (299, 299, 3)


@pytest.mark.parametrize(
    "photo",
    [UnreadablePhoto("c" * 64, "cocoa"), PaintedPhoto("c" * 64, "cocoa", painted(0, 0)[:200])],
    ids=["lost", "damaged"],
)
def test_a_photo_that_cannot_be_read_is_named(photo: PaintedPhoto | UnreadablePhoto) -> None:
    with pytest.raises(TrainingError, match=f"photo {'c' * 64} of cocoa cannot be read"):
        read_pixels(photo)


def test_made_ahead_keeps_the_order_and_passes_errors_on() -> None:
    assert list(made_ahead(lambda n: n * n, range(20))) == [n * n for n in range(20)]
    made = made_ahead(lambda n: 1 // n, [1, 0, 1])
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        list(made)
