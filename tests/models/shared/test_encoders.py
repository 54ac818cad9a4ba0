"""The encoders of the shared space: shapes, unit length, silence, saving."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.bundle import file_sha256
from models.errors import BundleDamaged, UsageError
from models.multimodal.shared import SHARED_SIZE, ProductWords, SharedSpace, unit
from models.multimodal.shared_bundle import SharedBundle
from models.values import BOTTLENECK_SIZE, Float32
from tests.shared_world import made_bundle, made_shared

WORDS = ("red wine bottle", "blue cotton shirt", "black leather shoe G-7710-1DR", "파란 셔츠")


@pytest.fixture(scope="module")
def shared() -> SharedSpace:
    return made_shared(WORDS)


@pytest.fixture(scope="module")
def bottlenecks() -> Float32:
    vectors = np.random.default_rng(0).random((5, BOTTLENECK_SIZE)).astype(np.float32)
    return unit(vectors)


def test_both_sides_give_unit_vectors_of_one_world(shared: SharedSpace, bottlenecks: Float32) -> None:
    before = bottlenecks.copy()
    for found in (shared.image.encode(bottlenecks), shared.text.encode(WORDS)):
        assert found.shape[1] == SHARED_SIZE and found.dtype == np.float32
        assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert np.array_equal(bottlenecks, before)
    assert shared.image.encode(bottlenecks[:0]).shape == (0, SHARED_SIZE)
    assert shared.text.encode([]).shape == (0, SHARED_SIZE)


def test_a_row_depends_on_its_own_input_alone(shared: SharedSpace, bottlenecks: Float32) -> None:
    assert np.allclose(shared.image.encode(bottlenecks)[3], shared.image.encode(bottlenecks[3:4])[0], atol=1e-5)
    assert np.allclose(shared.text.encode(WORDS)[1], shared.text.encode(WORDS[1:2])[0], atol=1e-5)


def test_spelling_and_order_of_words_do_not_matter(shared: SharedSpace) -> None:
    a, b, c = shared.text.encode(["Red WINE, bottle!", "bottle of red wine".replace("of ", ""), "blue cotton shirt"])
    assert a @ b == pytest.approx(1.0, abs=1e-5)
    assert a @ c < 0.9


def test_a_text_that_says_nothing_lies_nowhere_and_cannot_be_searched_by(shared: SharedSpace) -> None:
    assert not shared.text.encode(["", " - !", "red"])[:2].any()
    with pytest.raises(UsageError, match="no letter or digit"):
        shared.query("?!")


@pytest.mark.parametrize("bad", [np.zeros((2, 7), np.float32), np.full((1, BOTTLENECK_SIZE), np.nan, np.float32)])
def test_bottlenecks_of_another_shape_or_without_values_are_refused(shared: SharedSpace, bad: Float32) -> None:
    with pytest.raises(UsageError, match="expected"):
        shared.image.encode(bad)


def test_a_product_lies_between_its_name_and_its_photos(shared: SharedSpace, bottlenecks: Float32) -> None:
    look = shared.look(bottlenecks[:2])
    name = shared.text.encode(["red wine"])[0]
    none = np.zeros(SHARED_SIZE, np.float32)
    both, named, seen, silent = shared.place(["red wine", "red wine", "", ""], np.stack([look, none, look, none]))
    assert np.allclose(named, name, atol=1e-6) and np.allclose(seen, look, atol=1e-6) and not silent.any()
    between = 0.6 * name + 0.4 * look
    assert np.allclose(both, between / np.linalg.norm(between), atol=1e-5)
    assert not shared.look(bottlenecks[:0]).any()


def test_words_move_what_a_photo_asks_for(shared: SharedSpace, bottlenecks: Float32) -> None:
    photo, words = shared.image.encode(bottlenecks[:1])[0], shared.query("red wine")
    refined = shared.query("red wine", bottlenecks[0])
    assert np.linalg.norm(refined) == pytest.approx(1.0, abs=1e-5)
    assert refined @ words > photo @ words
    assert refined @ photo > words @ photo


def test_a_products_text_is_its_name_and_what_its_row_says_beside_it() -> None:
    told = ProductWords("Sahara Jersey", "Nike", None, "Blue", "Apparel > Topwear > Jerseys")
    assert told.text() == "Sahara Jersey Nike Blue Jerseys"
    assert ProductWords(type="Shirts", category="Apparel > Topwear").text() == "Shirts"
    assert ProductWords().text() == ""


def test_what_is_loaded_encodes_exactly_as_what_was_saved(tmp_path: Path, bottlenecks: Float32) -> None:
    loaded = made_bundle(tmp_path, WORDS)
    made = made_shared(WORDS)
    assert np.array_equal(loaded.shared.image.encode(bottlenecks), made.image.encode(bottlenecks))
    assert np.array_equal(loaded.shared.text.encode(WORDS), made.text.encode(WORDS))
    assert np.array_equal(loaded.shared.query("red", bottlenecks[0]), made.query("red", bottlenecks[0]))
    assert loaded.match is not None and loaded.match.words("the red shoe", "the red shirt") == pytest.approx(2.1 / 6.1)
    assert loaded.restricted is not None and loaded.restricted.thresholds == {0.95: 0.5}


def _rewritten(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and its hash in the manifest, as someone might who wants it loaded."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = file_sha256(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("shared.npz", b"no archive"),
        ("subwords.model", b"no model"),
        ("settings.json", b"{}"),
        ("settings.json", b'{"name_share": 0.6, "match": {"models": {}}, "restricted": null}'),
        ("settings.json", b'{"name_share": 0.6, "match": null, "restricted": {"weights": [1], "bias": 0}}'),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    made_bundle(tmp_path, WORDS)
    _rewritten(tmp_path / "v1", name, content)
    with pytest.raises(BundleDamaged):
        SharedBundle.load(tmp_path / "v1")


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    made_bundle(tmp_path, WORDS)
    (tmp_path / "v1" / "metrics.json").write_text("[]")
    with pytest.raises(BundleDamaged, match=r"metrics\.json"):
        SharedBundle.load(tmp_path / "v1")


def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    made_bundle(tmp_path, WORDS)
    path = tmp_path / "v1" / "shared.npz"
    with np.load(path) as data:
        arrays = dict(data)
    arrays["table"] = arrays["table"][:-1]
    np.savez(tmp_path / "other.npz", **arrays)
    _rewritten(tmp_path / "v1", "shared.npz", (tmp_path / "other.npz").read_bytes())
    with pytest.raises(BundleDamaged, match="table"):
        SharedBundle.load(tmp_path / "v1")
