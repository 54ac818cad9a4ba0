"""The type model on a small world with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from models.attributes.types import TypeModel
from models.errors import BundleDamaged, UsageError
from models.training.fit.types import FEWEST_PHOTOS, fit_types

CENTRES = {"shirt": 0, "shoe": 1, "milk": 2}


def photos(rng: np.random.Generator, types: list[str], noise: float = 0.02) -> np.ndarray:
    centres = np.random.default_rng(5).random((len(CENTRES), 2048))
    x = np.abs(centres[[CENTRES[name] for name in types]] + rng.normal(0, noise * 20, (len(types), 2048)))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, list[str], TypeModel]:
    types = ["shirt"] * 40 + ["shoe"] * 30 + ["milk"] * 130
    x = photos(np.random.default_rng(1), types)
    return x, types, fit_types(x, types)


def test_types_are_found_on_new_photos_with_calibrated_confidence(world) -> None:
    _, _, model = world
    wanted = ["milk", "shirt", "shoe"] * 20
    guesses = model.predict(photos(np.random.default_rng(2), wanted))
    assert model.types == ("milk", "shirt", "shoe")
    assert [guess.type for guess in guesses] == wanted
    assert all(0.5 < guess.confidence <= 1 for guess in guesses)
    assert model.temperature > 0


def test_a_product_is_judged_by_the_mean_over_its_photos(world) -> None:
    x, _, model = world
    mixed = x[[0, 1, 45]]
    guess = model.predict_product(mixed)
    assert guess.type == "shirt"
    assert guess.confidence == pytest.approx(model.probabilities(mixed).mean(axis=0)[1])
    assert model.predict_product(x[:0]) is None


def test_the_same_data_give_the_same_model_and_are_left_untouched(world) -> None:
    x, types, model = world
    before = x.copy()
    again = fit_types(x, types)
    assert (again.weights == model.weights).all() and again.temperature == model.temperature
    assert (x == before).all()


def test_saved_and_loaded_it_predicts_alike(world, tmp_path) -> None:
    x, _, model = world
    model.save(tmp_path / "types.npz")
    loaded = TypeModel.load(tmp_path / "types.npz")
    assert (loaded.probabilities(x) == model.probabilities(x)).all()
    assert loaded.types == model.types


def test_a_damaged_file_is_refused(world, tmp_path) -> None:
    path = tmp_path / "types.npz"
    world[2].save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleDamaged):
        TypeModel.load(path)
    with pytest.raises(BundleDamaged):
        TypeModel.load(tmp_path / "absent.npz")
    with path.open("wb") as file:
        np.savez(
            file,
            format=np.array(1),
            types=np.array(["a"]),
            weights=np.zeros((3, 1)),
            bias=np.zeros(1),
            temperature=1,
        )
    with pytest.raises(BundleDamaged, match="do not fit"):
        TypeModel.load(path)
    with path.open("wb") as file:
        np.savez(file, types=np.array([{"code": "runs"}], dtype=object))
    with pytest.raises(BundleDamaged):
        TypeModel.load(path)


def test_a_type_with_too_few_photos_is_never_named(world) -> None:
    x, types, _ = world
    few = ["rare"] * (FEWEST_PHOTOS - 1) + types[FEWEST_PHOTOS - 1 :]
    assert "rare" not in fit_types(x, few).types
    enough = ["rare"] * FEWEST_PHOTOS + types[FEWEST_PHOTOS:]
    assert "rare" in fit_types(x, enough).types


def test_with_one_type_or_none_it_abstains(world, tmp_path) -> None:
    x, types, _ = world
    for model in (fit_types(x[:40], types[:40]), fit_types(x[:0], [])):
        assert model.types == ()
        assert model.predict(x[:3]) == [None, None, None]
        assert model.predict_product(x[:3]) is None
        model.save(tmp_path / "none.npz")
        assert TypeModel.load(tmp_path / "none.npz").predict(x[:2]) == [None, None]


def test_two_types_make_two_probabilities(world) -> None:
    x, types, _ = world
    model = fit_types(x[:70], types[:70])
    probabilities = model.probabilities(x[[0, 50]])
    assert probabilities.shape == (2, 2) and probabilities.sum(axis=1) == pytest.approx([1, 1])
    assert [guess.type for guess in model.predict(x[[0, 50]])] == ["shirt", "shoe"]


def test_photos_of_a_group_are_held_out_together_without_losing_a_type(world) -> None:
    x, types, _ = world
    one_group_a_type = fit_types(x, types, groups=types)
    assert one_group_a_type.types == ("milk", "shirt", "shoe")
    assert one_group_a_type.temperature == 1.0  # nothing can be held out


def test_input_that_does_not_fit_is_refused(world) -> None:
    x, types, model = world
    with pytest.raises(UsageError, match="one type"):
        fit_types(x, types[:-1])
    with pytest.raises(UsageError, match="2048"):
        model.predict(x[:, :5])
