"""SELFIE-style refurbishing: its parts by hand, the whole on flipped labels."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import UsageError
from models.training.care.selfie import SelfieSettings, clean_photos, history_entropy, refurbish
from tests.models.care.world import flipped


def test_entropy_is_that_of_the_predictions_over_the_epochs() -> None:
    history = [np.array([2, 0, 0]), np.array([2, 0, 1]), np.array([2, 1, 2]), np.array([2, 0, 3])]
    entropy, best = history_entropy(history, 4)
    mixed = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(4)
    assert entropy == pytest.approx([0.0, mixed, 1.0])
    assert best.tolist() == [2, 0, 0]


def test_equally_frequent_predictions_go_by_number() -> None:
    assert history_entropy([np.array([3, 1]), np.array([1, 3])], 4)[1].tolist() == [1, 1]


def test_clean_photos_are_the_share_of_lowest_loss() -> None:
    losses = np.array([0.5, 0.1, 2.0, 0.3])
    assert clean_photos(losses, 0.25).tolist() == [True, True, False, True]
    assert clean_photos(losses, 0.0).all()
    assert not clean_photos(losses, 1.0).any()


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_flipped_labels_are_mostly_put_right(share: float) -> None:
    world = flipped(share)
    found = refurbish(world.photos.originals, world.codes, 10, share)
    truth = np.array([int(label[-1]) for label in world.truth])
    assert (found.labels[found.used] == truth[found.used]).mean() > 1.0 - share / 2.0
    assert found.used.mean() > 0.9
    changed = found.labels != world.codes
    assert world.wrong[changed].mean() > 0.9
    assert found.losses[world.wrong].mean() > found.losses[~world.wrong].mean() + 1.0


def test_right_labels_stay() -> None:
    world = flipped(0.0)
    found = refurbish(world.photos.originals, world.codes, 10, 0.0)
    assert found.used.all()
    assert (found.labels != world.codes).sum() <= 2


def test_the_same_seed_gives_the_same_and_input_is_left_untouched() -> None:
    world = flipped(0.2)
    codes = world.codes
    vectors = world.photos.originals.copy()
    quick = SelfieSettings(epochs=3, warm_up=2, seed=5)
    one, two = (refurbish(world.photos.originals, codes, 10, 0.2, quick) for _ in range(2))
    assert np.array_equal(one.labels, two.labels)
    assert np.array_equal(one.losses, two.losses)
    assert np.array_equal(codes, world.codes)
    assert np.array_equal(vectors, world.photos.originals)


def test_before_the_warm_up_has_ended_nothing_is_refurbished() -> None:
    world = flipped(0.2)
    found = refurbish(world.photos.originals, world.codes, 10, 0.2, SelfieSettings(epochs=2, warm_up=3))
    assert np.array_equal(found.labels, world.codes)
    assert found.used.all()


def test_a_batch_may_be_larger_than_the_catalogue() -> None:
    found = refurbish(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1]), 2, 0.0, SelfieSettings(epochs=1))
    assert found.used.all()


@pytest.mark.parametrize(("n", "labels", "noise"), [(0, 0, 0.1), (3, 2, 0.1), (3, 3, 1.5)])
def test_what_cannot_be_learned_is_refused(n: int, labels: int, noise: float) -> None:
    with pytest.raises(UsageError, match="expected photos"):
        refurbish(np.zeros((n, 4), np.float32), np.zeros(labels, np.intp), 2, noise)
