from __future__ import annotations

import numpy as np
import pytest

from augment.geometry import limit_short_edge, resize_square


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(10, 10), (299, 299), (1000, 700), (40, 900), (900, 40), (1, 1)])
def test_result_is_a_fresh_square_of_bytes(shape: tuple[int, int]) -> None:
    pixels = _noise(*shape)
    before = pixels.copy()
    result = resize_square(pixels, 299)
    assert result.shape == (299, 299, 3)
    assert result.dtype == np.uint8
    assert not np.shares_memory(result, pixels)
    assert np.array_equal(pixels, before)


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    checks = np.zeros((400, 400, 3), dtype=np.uint8)
    checks[::2, ::2] = 255
    checks[1::2, 1::2] = 255
    assert np.abs(resize_square(checks, 200).astype(int) - 127.5).max() <= 1


def test_the_aspect_ratio_is_not_kept() -> None:
    tall = np.zeros((400, 100, 3), dtype=np.uint8)
    tall[200:] = 200
    result = resize_square(tall, 100)
    assert result[:49].max() == 0
    assert result[51:].min() == 200


def test_axes_resize_on_their_own_so_a_shrinking_axis_never_aliases() -> None:
    """One axis grows, the other shrinks: fine stripes along the shrinking axis must average out."""
    stripes = np.zeros((50, 1000, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize_square(stripes, 100).astype(int) - 127.5).max() <= 1


def test_limit_short_edge_keeps_the_ratio_and_small_photos() -> None:
    assert limit_short_edge(_noise(1200, 900), 598).shape == (797, 598, 3)
    small = _noise(300, 200)
    assert limit_short_edge(small, 598) is small


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_photo_is_refused_by_name(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a non-empty uint8 RGB array"):
        resize_square(bad, 299)


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 pixel, got 0"):
        resize_square(_noise(4, 4), 0)
