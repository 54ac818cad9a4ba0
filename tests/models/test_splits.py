"""The split: whole scenes, sticky roles, and no label that nothing could learn."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from models.errors import SplitError
from models.training.splits import FOLDS, SHARES, PhotoPlace, Split, make_split
from tests.models.synthetic import digest

Photos = tuple[list[str], list[str], np.ndarray]


def shop(shots: dict[str, list[int]]) -> Photos:
    """Hashes, labels and scenes from label -> photos in each of its scenes; scenes are numbered throughout."""
    hashes, labels, scenes = [], [], []
    number = 0
    for label, sizes in shots.items():
        for size in sizes:
            for place in range(size):
                hashes.append(digest(f"{label}/{number}/{place}"))
                labels.append(label)
                scenes.append(number)
            number += 1
    return hashes, labels, np.array(scenes, dtype=np.intp)


def mixed(seed: int = 0, labels: int = 40) -> Photos:
    """Labels of one to twelve scenes of one to five photos."""
    rng = np.random.default_rng(seed)
    return shop({f"l{i:02}": rng.integers(1, 6, rng.integers(1, 13)).tolist() for i in range(labels)})


def roles_of(split: Split) -> dict[str, str]:
    return {h: place.role for h, place in split.places.items()}


@pytest.mark.parametrize("seed", range(4))
def test_all_photos_are_placed_and_no_scene_is_torn_across_roles_or_folds(seed: int) -> None:
    hashes, labels, scenes = mixed(seed)
    split = make_split(hashes, labels, scenes)
    assert set(split.places) == set(hashes)
    of_scene: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for h, scene in zip(hashes, scenes, strict=True):
        place = split.places[h]
        assert place.scene == scene
        of_scene[scene].add((place.role, place.fold))
    assert all(len(places) == 1 for places in of_scene.values())


@pytest.mark.parametrize("seed", range(4))
def test_the_hold_out_is_in_no_fold_and_everything_else_in_one(seed: int) -> None:
    split = make_split(*mixed(seed))
    for place in split.places.values():
        assert place.role in {"train", *SHARES}
        assert (place.fold == -1) == (place.role == "hold_out")
        assert place.fold < FOLDS


@pytest.mark.parametrize("seed", range(4))
def test_labels_with_fewer_than_3_photos_or_one_scene_are_never_held_out(seed: int) -> None:
    hashes, labels, scenes = mixed(seed)
    split = make_split(hashes, labels, scenes)
    sizes, own_scenes = Counter(labels), defaultdict(set)
    for label, scene in zip(labels, scenes, strict=True):
        own_scenes[label].add(scene)
    small = [label for label in sizes if sizes[label] < 3 or len(own_scenes[label]) == 1]
    assert small
    for h, label in zip(hashes, labels, strict=True):
        if label in small:
            assert split.places[h].role == "train"


@pytest.mark.parametrize("seed", range(4))
def test_a_label_that_fcn_and_svm_could_learn_keeps_three_photos_outside_the_hold_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos = shop({f"l{i}": [1] * int(rng.integers(3, 8)) for i in range(30)})
    split = make_split(*photos)
    left = Counter(label for h, label in zip(*photos[:2], strict=True) if split.places[h].role != "hold_out")
    assert min(left.values()) >= 3


def test_the_shares_are_met_where_scenes_are_small() -> None:
    hashes, labels, scenes = shop({f"l{i}": [1] * 50 for i in range(10)})
    counts = Counter(roles_of(make_split(hashes, labels, scenes)).values())
    for role, share in SHARES.items():
        assert counts[role] == pytest.approx(share * 500, abs=10)
    assert counts["train"] == pytest.approx(500 * (1 - sum(SHARES.values())), abs=40)


def test_folds_are_balanced_in_all_and_within_each_label() -> None:
    hashes, labels, scenes = shop({f"l{i}": [1] * 11 for i in range(20)})
    split = make_split(hashes, labels, scenes)
    of_label: dict[str, Counter[int]] = defaultdict(Counter)
    for h, label in zip(hashes, labels, strict=True):
        of_label[label][split.places[h].fold] += 1
    for counts in of_label.values():
        within = [counts[fold] for fold in range(FOLDS)]
        assert max(within) - min(within) <= 1
    sums = [sum(counts[fold] for counts in of_label.values()) for fold in range(FOLDS)]
    assert max(sums) - min(sums) <= 2


def test_the_same_photos_give_the_same_split_and_another_seed_another() -> None:
    assert make_split(*mixed()) == make_split(*mixed())
    assert make_split(*mixed()) != make_split(*mixed(), seed=1)


def test_roles_stay_when_photos_are_added() -> None:
    few = shop({f"l{i}": [1, 2, 1, 2, 1, 1] for i in range(20)})
    earlier = make_split(*few)
    hashes, labels, scenes = shop({f"l{i}": [1, 2, 1, 2, 1, 1] for i in range(20)})
    more = shop({f"x{i}": [2, 2, 1, 1] for i in range(10)})
    # Scene numbers mean nothing across splits: the new run counts in another order.
    later = make_split(
        [*more[0], *hashes],
        [*more[1], *labels],
        np.concatenate([more[2], scenes[::-1].max() - scenes + 1000]),
        earlier=earlier,
    )
    assert {h: roles_of(later)[h] for h in few[0]} == roles_of(earlier)
    assert "hold_out" in {roles_of(later)[h] for h in more[0]}


def test_a_new_photo_joins_the_role_of_its_scene() -> None:
    hashes, labels, scenes = shop({f"l{i}": [1] * 20 for i in range(5)})
    earlier = make_split(hashes, labels, scenes)
    held = earlier.role("hold_out")[0]
    place = hashes.index(held)
    later = make_split(
        [*hashes, digest("burst")], [*labels, labels[place]], np.append(scenes, scenes[place]), earlier=earlier
    )
    assert later.places[digest("burst")].role == "hold_out"


def test_where_scenes_of_two_roles_become_one_nothing_trained_on_enters_the_hold_out() -> None:
    hashes, labels, scenes = shop({f"l{i}": [1] * 20 for i in range(5)})
    earlier = make_split(hashes, labels, scenes)
    held, trained = (
        next(h for h in hashes if labels[hashes.index(h)] == "l0" and roles_of(earlier)[h] == role)
        for role in ("hold_out", "train")
    )
    joined = scenes.copy()
    joined[hashes.index(held)] = joined[hashes.index(trained)]
    later = roles_of(make_split(hashes, labels, joined, earlier=earlier))
    assert later[held] == later[trained] == "train"
    others = set(hashes) - {held}
    assert {h: later[h] for h in others} == {h: roles_of(earlier)[h] for h in others}


def test_a_label_left_with_held_out_photos_alone_is_taught_again() -> None:
    """Whatever was deleted or joined: a label in the catalogue can be learned."""
    hashes, labels, scenes = shop({"a": [1] * 30, "b": [1] * 30})
    earlier = make_split(hashes, labels, scenes)
    kept = [i for i, h in enumerate(hashes) if labels[i] == "b" or roles_of(earlier)[h] == "hold_out"]
    assert sum(labels[i] == "a" for i in kept) >= 2

    def again(chosen: list[int]) -> list[str]:
        split = make_split([hashes[i] for i in chosen], [labels[i] for i in chosen], scenes[chosen], earlier=earlier)
        return [split.places[hashes[i]].role for i in chosen if labels[i] == "a"]

    assert set(again(kept)) - {"hold_out"}
    one = [i for i in kept if labels[i] == "b"] + [i for i in kept if labels[i] == "a"][:1]
    assert again(one) == ["train"]


def test_a_photo_listed_under_two_labels_is_never_held_out() -> None:
    for seed in range(10):
        hashes, labels, scenes = shop({"a": [1] * 10, "b": [1] * 10})
        twice = hashes[3]
        split = make_split([*hashes, twice], [*labels, "b"], np.append(scenes, scenes[3]), seed=seed)
        assert split.places[twice].role == "train"


def test_folds_need_two() -> None:
    with pytest.raises(SplitError, match="at least 2 folds, got 1"):
        make_split(*mixed(), folds=1)
    assert {place.fold for place in make_split(*mixed(), folds=2).places.values()} == {-1, 0, 1}


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    split = make_split(*mixed())
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
    assert split.role("hold_out") == sorted(h for h, p in split.places.items() if p.role == "hold_out")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps({"format": 2, "folds": 5, "photos": {}}),
        json.dumps({"format": 1, "folds": 5, "photos": {"a": ["train", 0]}}),
        json.dumps({"format": 1, "folds": "five", "photos": {}}),
        json.dumps({"format": 1, "folds": 5, "photos": {"a": ["train", "x", 0]}}),
        json.dumps({"format": 1, "folds": 5, "photos": {"a": ["hold out", 0, 0]}}),
        json.dumps({"format": 1, "folds": 5, "photos": []}),
    ],
)
def test_a_damaged_split_file_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(SplitError, match=r"split\.json is not a split file .* split anew"):
        Split.load(tmp_path / "split.json")


def test_a_split_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"split\.json"):
        Split.load(tmp_path / "split.json")


def test_no_photos_no_places() -> None:
    assert make_split([], [], np.zeros(0, np.intp)).places == {}
    assert Split({"x": PhotoPlace("train", 0, 0)}, 5).role("test") == []
