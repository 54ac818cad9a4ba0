"""What FCN and SVM are given to learn, for each kind of care."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.training.care import teaching
from models.training.care.teaching import LEAST_PHOTOS, Care, suspects_among, take_care
from tests.models.care.world import Flipped, flipped


@pytest.fixture(scope="module")
def world() -> Flipped:
    return flipped(0.2, variants=2)


def right(world: Flipped, hashes: tuple[str, ...], labels: tuple[str, ...]) -> float:
    truth = dict(zip(world.photos.hashes, world.truth, strict=True))
    return float(np.mean([truth[h] == label for h, label in zip(hashes, labels, strict=True)]))


def test_without_care_everything_is_learned_as_it_is_labelled(world: Flipped) -> None:
    cared = take_care(world.photos, Care.NONE)
    assert cared.photos is world.photos
    assert (cared.left_out, cared.relabelled) == ((), {})


def test_suspects_are_left_out_with_their_variants(world: Flipped) -> None:
    cared = take_care(world.photos, Care.LEAVE_OUT)
    assert len(cared.photos) + len(cared.left_out) == len(world.photos)
    assert cared.photos.variants.shape == (len(cared.photos), 2, 2048)
    assert cared.relabelled == {}
    assert set(cared.left_out) == {world.photos.hashes[i] for i in suspects_among(world.photos).rows}
    assert right(world, cared.photos.hashes, cared.photos.labels) > 0.9


def test_suspects_are_learned_under_the_label_suggested(world: Flipped) -> None:
    cared = take_care(world.photos, Care.RELABEL)
    assert cared.photos.hashes == world.photos.hashes
    given = dict(zip(world.photos.hashes, world.photos.labels, strict=True))
    learned = dict(zip(cared.photos.hashes, cared.photos.labels, strict=True))
    assert {h: label for h, label in learned.items() if label != given[h]} == cared.relabelled
    assert len(cared.relabelled) > 20
    assert right(world, cared.photos.hashes, cared.photos.labels) > 0.9


def test_selfie_learns_clean_and_refurbished_photos(world: Flipped) -> None:
    cared = take_care(world.photos, Care.SELFIE)
    assert len(cared.photos) + len(cared.left_out) == len(world.photos)
    assert set(cared.relabelled) <= set(cared.photos.hashes)
    assert right(world, cared.photos.hashes, cared.photos.labels) > 0.93


@pytest.mark.parametrize("care", [Care.LEAVE_OUT, Care.RELABEL, Care.SELFIE])
def test_no_label_is_forgotten(world: Flipped, care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that would keep fewer than three of its photos keeps all of them, as they are."""
    lost = tuple("lost" if i in (0, 20, 40) else label for i, label in enumerate(world.truth))
    photos = replace(world.photos, labels=lost)
    cared = take_care(photos, care)
    assert sum(label == "lost" for label in cared.photos.labels) == 3
    monkeypatch.setattr(teaching, "LEAST_TO_JUDGE", 0)
    assert sum(label == "lost" for label in take_care(photos, care).photos.labels) < 3


def test_with_few_photos_nothing_is_suspected(world: Flipped) -> None:
    few = world.photos.subset(np.arange(LEAST_PHOTOS - 1))
    for care in Care:
        assert take_care(few, care).photos is few
    assert not len(suspects_among(few).rows)
    single = replace(world.photos, labels=("one",) * len(world.photos))
    assert take_care(single, Care.SELFIE).photos is single
