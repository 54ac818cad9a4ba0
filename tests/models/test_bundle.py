"""The bundle: what is written is read back alike, and every damage is a clear error."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models.bundle
from models.attributes.types import TypeModel
from models.bundle import (
    HOLD_OUT,
    MANIFEST,
    SPLIT_FILE,
    Bundle,
    file_sha256,
    read_manifest,
    read_roles,
    verify,
    write_bundle,
)
from models.classifiers.fcn import FcnClassifier
from models.classifiers.svm import SvmClassifier
from models.errors import BundleDamaged, BundleError, BundleMismatch, BundleNotFound, SplitError
from models.training.splits import SHARES, PhotoPlace, Split
from models.values import BOTTLENECK_SIZE
from models.verdict import VerdictSettings
from models.vote import VoteSettings

ABOUT = {"version": "v1", "space": "s", "weights": "embedded", "created_at": "2026-01-01T00:00:00+00:00", "labels": 2}


def linear(seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(BOTTLENECK_SIZE, 2)).astype(np.float32), np.ones(2, np.float32), ["a", "é"]


def write_parts(folder: Path) -> None:
    """Everything a bundle may hold."""
    FcnClassifier(*linear(1)).save(folder / "fcn.npz")
    SvmClassifier(*linear(2)).save(folder / "svm.npz")
    weight, bias, _ = linear(3)
    TypeModel(("can", "shirt"), weight, bias, 1.5).save(folder / "types.npz")
    settings = {"vote": VoteSettings.prior().to_json(), "verdict": VerdictSettings.prior().to_json()}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "metrics.json").write_text(json.dumps({"top1": 0.5}))


def write_least(folder: Path) -> None:
    """What a shop has whose labels have too few photos for FCN, SVM and types."""
    settings = {"vote": VoteSettings.prior().to_json(), "verdict": VerdictSettings.prior().to_json()}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "metrics.json").write_text("{}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle on disk."""
    write_bundle(tmp_path / "v1", ABOUT, write_parts)
    return tmp_path / "v1"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest, then make every listed hash right again, so that only the change is wrong."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    if isinstance(manifest.get("files"), dict):
        for name in manifest["files"]:
            if (folder / name).is_file():
                manifest["files"][name] = file_sha256(folder / name)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_round_trip(tmp_path: Path) -> None:
    digest = write_bundle(tmp_path / "v1", ABOUT, write_parts)
    bundle = Bundle.load(tmp_path / "v1")
    assert (bundle.version, bundle.space, bundle.weights) == ("v1", "s", "embedded")
    assert bundle.created_at == ABOUT["created_at"]
    assert bundle.manifest_sha256 == digest == file_sha256(tmp_path / "v1" / MANIFEST)
    assert bundle.metrics == {"top1": 0.5}
    assert (bundle.vote, bundle.verdict) == (VoteSettings.prior(), VerdictSettings.prior())
    for model, seed in ((bundle.fcn, 1), (bundle.svm, 2)):
        assert model is not None
        assert np.array_equal(model.weight, linear(seed)[0])
        assert model.labels == ("a", "é")
    assert bundle.types is not None
    assert bundle.types.types == ("can", "shirt")
    assert read_manifest(tmp_path / "v1")[0]["labels"] == 2


def test_without_fcn_svm_and_types_the_bundle_loads_and_says_so(tmp_path: Path) -> None:
    write_bundle(tmp_path / "v1", ABOUT, write_least)
    bundle = Bundle.load(tmp_path / "v1")
    assert (bundle.fcn, bundle.svm, bundle.types) == (None, None, None)


def test_a_version_is_never_overwritten(folder: Path) -> None:
    before = file_sha256(folder / MANIFEST)
    with pytest.raises(BundleMismatch, match="v1 exists already"):
        write_bundle(folder, {**ABOUT, "weights": "other"}, write_parts)
    assert file_sha256(folder / MANIFEST) == before


def test_a_crash_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    def crash(folder: Path) -> None:
        write_least(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path / "bundles" / "v1", ABOUT, crash)
    assert list((tmp_path / "bundles").iterdir()) == []


def test_others_may_read_a_finished_bundle(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o755


def test_no_bundle_there(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFound, match="make train"):
        Bundle.load(tmp_path / "nothing")


PARTS = ("fcn.npz", "svm.npz", "types.npz", "settings.json", "metrics.json")


@pytest.mark.parametrize("name", PARTS)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleDamaged, match=f"{name} is missing"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", PARTS)
def test_a_flipped_byte_is_noticed_before_the_file_is_read(folder: Path, name: str) -> None:
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(BundleDamaged, match=f"{name} differs from its SHA-256"):
        Bundle.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"files": {}}', '{"format": 1}', '{"format": 1, "files": []}'])
def test_a_damaged_manifest_is_named(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleDamaged, match=r"manifest\.json of bundle v1"):
        Bundle.load(folder)


def test_a_manifest_that_is_no_text_is_named(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleDamaged, match=r"manifest\.json"):
        Bundle.load(folder)


@pytest.mark.parametrize("format_", [0, 2, "1", None])
def test_another_manifest_format_is_a_mismatch(folder: Path, format_: object) -> None:
    rewrite(folder, lambda manifest: manifest.update(format=format_))
    with pytest.raises(BundleMismatch, match="train again"):
        Bundle.load(folder)


@pytest.mark.parametrize("key", ["version", "space", "weights", "created_at"])
def test_a_manifest_that_lacks_a_key_is_named(folder: Path, key: str) -> None:
    rewrite(folder, lambda manifest: manifest.pop(key))
    with pytest.raises(BundleDamaged, match=key):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["../secret.json", "/etc/passwd", "a/b.npz", "..", "."])
def test_a_path_in_the_manifest_is_refused_even_where_the_file_exists(folder: Path, name: str) -> None:
    (folder.parent / "secret.json").write_text("{}")
    rewrite(folder, lambda manifest: manifest["files"].update({name: "0" * 64}))
    with pytest.raises(BundleDamaged, match=r"no plain file name|is missing"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["settings.json", "metrics.json"])
def test_a_file_that_the_manifest_does_not_list_is_not_trusted(folder: Path, name: str) -> None:
    rewrite(folder, lambda manifest: manifest["files"].pop(name))
    with pytest.raises(BundleDamaged, match=f"does not list {name}"):
        Bundle.load(folder)


def test_an_oversized_file_is_refused_before_it_is_read(folder: Path) -> None:
    """The file is a hole on disk: hashing it would take seconds, its size takes none."""
    with (folder / "fcn.npz").open("r+b") as handle:
        handle.truncate(2 * 2**30 + 1)
    with pytest.raises(BundleDamaged, match=r"fcn\.npz is larger than"):
        verify(folder, read_manifest(folder)[0])


def test_an_oversized_manifest_is_refused(folder: Path) -> None:
    with (folder / MANIFEST).open("r+b") as handle:
        handle.truncate(2**20 + 1)
    with pytest.raises(BundleDamaged, match="larger than"):
        Bundle.load(folder)


class _Code:
    """What pickle would run."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.mkdir, ("pickle-ran",)


@pytest.mark.parametrize("name", ["fcn.npz", "svm.npz", "types.npz"])
def test_a_pickled_npz_is_refused_and_does_not_run(
    folder: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = io.BytesIO()
    np.savez(out, weight=np.array([_Code()]), bias=np.array([_Code()]), labels=np.array([_Code()]), format=_Code())
    assert not (tmp_path / "pickle-ran").exists(), "saving must not run it either"
    (folder / name).write_bytes(out.getvalue())
    rewrite(folder, lambda manifest: None)
    with pytest.raises(BundleDamaged, match=name):
        Bundle.load(folder)
    assert not (tmp_path / "pickle-ran").exists()


@pytest.mark.parametrize("settings", ["{", "[]", "{}", '{"vote": 3, "verdict": {}}', '{"vote": {}, "verdict": {}}'])
def test_settings_that_are_no_settings_are_damage(folder: Path, settings: str) -> None:
    (folder / "settings.json").write_text(settings)
    rewrite(folder, lambda manifest: None)
    with pytest.raises(BundleDamaged):
        Bundle.load(folder)


def test_every_error_is_of_the_bundle_family_and_the_limits_are_sane() -> None:
    assert all(issubclass(kind, BundleError) for kind in (BundleDamaged, BundleMismatch, BundleNotFound))
    assert models.bundle.BUNDLE_FORMAT == 1


def test_file_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"pickture" * 100_000)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(b"pickture" * 100_000).hexdigest()


def test_the_roles_of_photos_are_read_as_the_split_wrote_them(tmp_path: Path) -> None:
    held, taught = "a" * 64, "b" * 64
    Split({held: PhotoPlace(HOLD_OUT, -1, 1), taught: PhotoPlace("train", 0, 2)}, 5).save(tmp_path / SPLIT_FILE)
    assert read_roles(tmp_path) == {held: HOLD_OUT, taught: "train"} == read_roles(tmp_path, naming=held)
    assert read_roles(tmp_path, naming="c" * 64) == {}
    assert HOLD_OUT in SHARES


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"photos": []}', '{"photos": {"a": []}}', '{"photos": {"a": 1}}']
)
def test_roles_that_cannot_be_read_are_an_error(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / SPLIT_FILE).write_text(text)
    with pytest.raises(SplitError, match=SPLIT_FILE):
        read_roles(tmp_path)
