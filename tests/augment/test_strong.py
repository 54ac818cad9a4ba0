"""Strong views: shape, determinism, what is left alone, and the change of background."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from augment.render import make_catalogue, render_phone_photo
from augment.strong import on_clutter, strong_view


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    product = make_catalogue(1, 3, "training")[0]
    return render_phone_photo(product, 1, camera="training", backgrounds="training", size=(240, 320))


@pytest.fixture(scope="module")
def studio() -> np.ndarray:
    """A red ellipse on white."""
    picture = np.full((200, 200, 3), 250, np.uint8)
    return cv2.ellipse(picture, (100, 100), (50, 70), 0, 0, 360, (190, 30, 40), cv2.FILLED)


@pytest.mark.parametrize("size", [32, 75, 299])
def test_a_view_is_a_fresh_rgb_square(photo: np.ndarray, size: int) -> None:
    before = photo.copy()
    view = strong_view(photo, np.random.default_rng(0), size)
    assert view.shape == (size, size, 3) and view.dtype == np.uint8 and view.flags.c_contiguous
    assert np.array_equal(photo, before)


def test_views_depend_on_the_generator_alone(photo: np.ndarray) -> None:
    first, again, other = (strong_view(photo, np.random.default_rng(seed), 96) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_views_stay_pictures_of_the_photo(photo: np.ndarray) -> None:
    """They keep light and contrast: none of many is nearly black, white or flat."""
    rng = np.random.default_rng(1)
    views = [strong_view(photo, rng, 96) for _ in range(40)]
    assert all(15 < view.mean() < 245 and view.std() > 5 for view in views)


def test_half_of_the_views_are_mirrored_unless_print_matters() -> None:
    """A picture that is dark on its left: without flipping, the left stays the darker side."""
    picture = np.tile(np.linspace(0, 255, 200, dtype=np.uint8)[None, :, None], (200, 1, 3))

    def rising(flip: bool) -> int:
        rng = np.random.default_rng(2)
        views = [strong_view(picture, rng, 64, flip=flip) for _ in range(40)]
        return sum(view[:, :32].mean() < view[:, 32:].mean() for view in views)

    assert rising(flip=False) == 40
    assert 10 < rising(flip=True) < 30


def test_a_studio_product_moves_before_another_picture(studio: np.ndarray, photo: np.ndarray) -> None:
    placed = on_clutter(studio, photo, np.random.default_rng(0))
    assert placed.shape == studio.shape and placed.dtype == np.uint8
    corners = [placed[:8, :8], placed[:8, -8:], placed[-8:, :8], placed[-8:, -8:]]
    assert sum(corner.mean() < 225 for corner in corners) >= 3, "the white border should be gone"
    red = (placed[..., 0] > 150) & (placed[..., 1] < 80)
    assert 0.1 < red.mean() < 0.4, "the product itself should have stayed"


def test_what_is_no_studio_photo_stays_as_it_is(studio: np.ndarray, photo: np.ndarray) -> None:
    assert on_clutter(photo, studio, np.random.default_rng(0)) is photo


def test_bad_arguments_are_named(photo: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least 32"):
        strong_view(photo, np.random.default_rng(0), 16)
    with pytest.raises(ValueError, match="uint8 RGB"):
        strong_view(photo.astype(np.float32), np.random.default_rng(0), 64)
    with pytest.raises(ValueError, match="uint8 RGB"):
        on_clutter(photo, photo[..., 0], np.random.default_rng(0))
