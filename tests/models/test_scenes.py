"""Scenes: photos of one moment are found, others are not joined."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.bottlenecks.descriptor import SCENE_SIZE
from models.training.scenes import CROSS_LABEL_PERCENTILE, DEFAULT_LIKENESS, cluster_scenes, likeness_threshold
from models.values import Float32
from tests.contracts.neighbours import unit
from tests.models.synthetic import digest


def world(labels: int = 6, scenes: int = 3, photos: int = 3, seed: int = 1) -> tuple[Float32, list[str], list[str]]:
    """Descriptors, labels and hashes: each scene a direction of its own, its photos nearly alike."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(0.4, size=(labels * scenes, 1, SCENE_SIZE))
    noise = 0.02 * base.mean() * rng.gamma(1.0, size=(labels * scenes, photos, SCENE_SIZE))
    names = [f"label {i // (scenes * photos)}" for i in range(labels * scenes * photos)]
    return unit((base + noise).reshape(-1, SCENE_SIZE)), names, [digest(f"photo {i}") for i in range(len(names))]


def together(scenes: np.ndarray) -> set[tuple[int, ...]]:
    """The groups of photo numbers, whatever the scenes are called."""
    return {tuple(np.flatnonzero(scenes == scene).tolist()) for scene in set(scenes.tolist())}


def test_photos_of_one_scene_are_joined_and_no_others() -> None:
    descriptors, labels, hashes = world()
    found = cluster_scenes(descriptors, labels, hashes)
    assert together(found) == {tuple(range(i, i + 3)) for i in range(0, 54, 3)}
    assert sorted(set(found.tolist())) == list(range(18))


def test_duplicates_are_joined() -> None:
    descriptors, labels, hashes = world(scenes=2, photos=1)
    descriptors[1] = descriptors[0]
    found = cluster_scenes(descriptors, labels, hashes)
    assert found[0] == found[1]
    assert len(set(found.tolist())) == len(found) - 1


def test_photos_of_other_labels_are_not_joined_however_alike() -> None:
    descriptors, labels, hashes = world(scenes=1, photos=2)
    descriptors[2] = descriptors[1]
    found = cluster_scenes(descriptors, labels, hashes)
    assert labels[1] != labels[2]
    assert found[1] != found[2]


def test_equal_content_is_one_scene_whatever_its_label() -> None:
    descriptors, labels, hashes = world(labels=30, scenes=1, photos=2)
    descriptors[2:4], hashes[2] = descriptors[[1, 0]], hashes[1]
    found = cluster_scenes(descriptors, labels, hashes)
    assert found[1] == found[2]
    assert len(set(found[[0, 1, 2, 3]].tolist())) == 1  # and so are their scene-mates


def test_photos_listed_under_two_labels_do_not_tear_the_scenes_apart() -> None:
    """Each equals a photo of another label, which says nothing of how alike different photos are."""
    descriptors, labels, hashes = world()
    listed_twice = np.concatenate([descriptors, descriptors[::9]])
    others = [f"label {(i + 1) % 6}" for i in range(6)]
    found = cluster_scenes(listed_twice, labels + others, hashes + hashes[::9])
    assert all(len(set(found[i : i + 3].tolist())) == 1 for i in range(0, len(labels), 3))
    assert len(set(found.tolist())) > 12
    assert found[len(labels) :].tolist() == found[: len(labels) : 9].tolist()


def test_a_chain_of_likeness_is_one_scene() -> None:
    """A burst: each photo is like the next; the first and the last are not alike."""
    descriptors, labels, hashes = world(scenes=1, photos=5)
    angles = np.linspace(0, 1.5, 5)
    first, other = descriptors[0].copy(), np.random.default_rng(9).normal(size=SCENE_SIZE)
    other -= (other @ first) * first
    other /= np.linalg.norm(other)
    descriptors[:5] = np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * other
    threshold = likeness_threshold(descriptors, np.array(labels))
    assert descriptors[0] @ descriptors[4] < threshold < descriptors[0] @ descriptors[1]
    assert len(set(cluster_scenes(descriptors, labels, hashes)[:5].tolist())) == 1


def test_a_single_label_is_judged_by_the_default_likeness() -> None:
    descriptors, _, hashes = world(labels=1, scenes=4)
    labels = ["only"] * len(hashes)
    assert likeness_threshold(descriptors, np.array(labels)) == DEFAULT_LIKENESS
    assert len(together(cluster_scenes(descriptors, labels, hashes))) == 4


def test_the_threshold_is_the_percentile_of_the_likeness_to_other_labels() -> None:
    descriptors, labels, _ = world()
    names = np.array(labels)
    likeness = descriptors @ descriptors.T
    likeness[names[:, None] == names[None, :]] = -1
    expected = np.percentile(likeness.max(axis=1), CROSS_LABEL_PERCENTILE)
    assert likeness_threshold(descriptors, names) == pytest.approx(expected, abs=1e-6)


def test_the_same_photos_in_another_order_have_the_same_scenes() -> None:
    descriptors, labels, hashes = world()
    order = np.random.default_rng(3).permutation(len(labels))
    shuffled = cluster_scenes(descriptors[order], [labels[i] for i in order], [hashes[i] for i in order])
    back = np.empty_like(shuffled)
    back[order] = shuffled
    assert together(back) == together(cluster_scenes(descriptors, labels, hashes))


def test_one_photo_is_one_scene_and_none_is_none() -> None:
    descriptors, labels, hashes = world(labels=1, scenes=1, photos=1)
    assert cluster_scenes(descriptors, labels, hashes).tolist() == [0]
    assert cluster_scenes(descriptors[:0], [], []).tolist() == []
