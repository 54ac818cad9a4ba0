"""Which photos may be shown: by the split, across catalogues, and never one that another split protects."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import TrainingError
from models.training.pretrain import shown
from models.training.pretrain.shown import Listing, SourcePhoto, choose_shown
from models.training.splits import PhotoPlace, Split, make_split


def silent(line: str) -> None:
    """Nobody listens."""


def photos_in(folder: Path, source: str, contents: dict[str, str]) -> list[SourcePhoto]:
    """Files by name and content; those of the same first letter are one label's."""
    (folder / source).mkdir()
    for name, content in contents.items():
        (folder / source / name).write_text(content)
    return [SourcePhoto(folder / source / name, source, name[0]) for name in contents]


def split_of(photos: list[SourcePhoto], roles: list[str]) -> Split:
    hashes = Listing.read(photos, {}).hashes
    return Split({h: PhotoPlace(role, 0, i) for i, (h, role) in enumerate(zip(hashes, roles, strict=True))}, 2)


def roles_of(photos: list[SourcePhoto], splits: dict[str, Split]) -> dict[str, str]:
    chosen = choose_shown(Listing.read(photos, splits), silent)
    return {f"{item.photo.source}/{item.photo.path.name}": item.role for item in chosen}


def test_a_photo_that_one_catalogue_protects_is_shown_through_none(tmp_path: Path) -> None:
    first = photos_in(tmp_path, "first", {"a1": "one", "a2": "two", "a3": "three", "a4": "four"})
    second = photos_in(tmp_path, "second", {"b1": "one", "b2": "two", "b3": "three", "b4": "four"})
    splits = {
        "first": split_of(first, ["test", "validation", "train", "train"]),
        "second": split_of(second, ["train", "train", "hold_out", "train"]),
    }
    expected = {"first/a2": "validation", "first/a4": "train", "second/b2": "validation", "second/b4": "train"}
    assert roles_of([*first, *second], splits) == expected
    unlisted = {**splits, "first": split_of(first, ["test", "train", "train", "train"])}
    assert "second/b1" not in roles_of([*first[1:], *second], unlisted)


def test_a_labels_only_photo_stays_protected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "VALIDATION_SHARE", 1.0)
    photos = photos_in(tmp_path, "shop", {"a1": "one", "b1": "two", "c1": "three", "c2": "four"})
    split = split_of(photos, ["calibration", "train", "train", "train"])
    assert roles_of(photos, {"shop": split}) == {"shop/b1": "validation", "shop/c1": "train", "shop/c2": "train"}


def test_each_content_comes_once_a_source(tmp_path: Path) -> None:
    photos = photos_in(tmp_path, "shop", {"a1": "one", "a2": "one", "a3": "two"})
    split = split_of([photos[0], photos[2]], ["train", "train"])
    assert roles_of(photos, {"shop": split}) == {"shop/a1": "train", "shop/a3": "train"}


def test_without_a_split_file_one_is_made_by_scene(
    shop_photos: list[SourcePhoto], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Split] = []

    def recorded(*arguments: object) -> Split:
        made.append(make_split(*arguments))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(shown, "make_split", recorded)
    chosen = choose_shown(Listing.read(shop_photos, {}), silent)
    (split,) = made
    allowed = {h for h, place in split.places.items() if place.role in ("train", "validation")}
    assert {item.content_hash for item in chosen} == allowed
    assert 0 < len(chosen) < len(shop_photos) == len(split.places)


def test_a_split_of_other_photos_is_refused(shop_photos: list[SourcePhoto]) -> None:
    with pytest.raises(TrainingError, match="not in the split file of shop"):
        roles_of(shop_photos, {"shop": Split({"0" * 64: PhotoPlace("train", 0, 0)}, 5)})


def test_a_photo_that_cannot_be_read_is_named(shop_photos: list[SourcePhoto], tmp_path: Path) -> None:
    torn = photos_in(tmp_path, "shop", {"torn.jpg": "not a photo"})
    with pytest.raises(TrainingError, match=r"torn\.jpg cannot be read .* take it out"):
        roles_of([*shop_photos, *torn], {})
    torn[0].path.unlink()
    with pytest.raises(TrainingError, match=r"torn\.jpg cannot be read"):
        Listing.read(torn, {})


def test_the_digest_knows_contents_rows_and_roles_but_not_places(tmp_path: Path) -> None:
    photos = photos_in(tmp_path, "shop", {"a1": "one", "a2": "two"})
    (tmp_path / "moved").mkdir()
    moved = photos_in(tmp_path / "moved", "shop", {"a1": "one", "a2": "two"})
    split = split_of(photos, ["train", "test"])
    same = Listing.read(photos, {"shop": split}).digest
    assert Listing.read(moved, {"shop": split}).digest == same
    relabelled = [photos[0], SourcePhoto(photos[1].path, "shop", "b")]
    others = [
        Listing.read(photos[:1], {"shop": split}),
        Listing.read(relabelled, {"shop": split}),
        Listing.read(photos, {}),
        Listing.read(photos, {"shop": split_of(photos, ["train", "train"])}),
    ]
    assert len({same, *(other.digest for other in others)}) == 5
