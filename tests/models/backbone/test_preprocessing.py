"""The numbers before and after the network."""

from __future__ import annotations

import numpy as np
import pytest

from models.backbone.preprocessing import fit_input, normalise, scale_pixels
from models.errors import UsageError


@pytest.mark.parametrize("shape", [(1, 1, 3), (299, 299, 3), (40, 900, 3), (600, 450, 3)])
def test_fit_input_gives_the_network_its_shape_and_leaves_the_photo_alone(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before = pixels.copy()
    pixels.setflags(write=False)
    fitted = fit_input(pixels)
    assert fitted.shape == (299, 299, 3)
    assert fitted.dtype == np.uint8
    assert fitted.flags["C_CONTIGUOUS"]
    assert not np.shares_memory(fitted, pixels)
    assert np.array_equal(pixels, before)


def test_fit_input_keeps_the_edges_of_a_wide_photo() -> None:
    pixels = np.zeros((100, 1000, 3), np.uint8)
    pixels[:, :50, 0] = 255
    pixels[:, -50:, 2] = 255
    fitted = fit_input(pixels)
    assert fitted[150, 0].tolist() == [255, 0, 0]
    assert fitted[150, -1].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3)),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_fit_input_refuses_what_is_no_photo(pixels: np.ndarray) -> None:
    with pytest.raises(UsageError, match="expected uint8"):
        fit_input(pixels)


def test_pixels_are_scaled_to_minus_one_and_one() -> None:
    scaled = scale_pixels(np.array([0, 255], np.uint8))
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [-1.0, 1.0]


def test_normalise_is_the_square_root_at_unit_length() -> None:
    pooled = np.zeros((2, 2048), np.float32)
    pooled[0, :2] = (9.0, 16.0)
    pooled[1, 5] = 1e-30
    pooled.setflags(write=False)
    vectors = normalise(pooled)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors[0, :3], (0.6, 0.8, 0.0))
    assert np.allclose(vectors[1, 5], 1.0)


def test_normalised_products_are_bhattacharyya_coefficients() -> None:
    """The dot product of two results is the Hellinger kernel of the L1-normalised inputs."""
    pooled = np.random.default_rng(1).random((2, 2048))
    shares = pooled / pooled.sum(axis=1, keepdims=True)
    vectors = normalise(pooled)
    assert np.isclose(vectors[0] @ vectors[1], np.sqrt(shares[0] * shares[1]).sum(), atol=1e-5)


def test_a_row_of_zeros_becomes_the_uniform_vector() -> None:
    vectors = normalise(np.zeros((1, 2048), np.float32))
    assert np.allclose(vectors, 1 / np.sqrt(2048))


def test_rounding_below_zero_is_forgiven_and_nothing_else() -> None:
    pooled = np.ones((1, 2048), np.float32)
    pooled[0, 0] = -1e-6
    assert normalise(pooled)[0, 0] == 0
    pooled[0, 0] = -0.1
    with pytest.raises(UsageError, match="never below 0"):
        normalise(pooled)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_normalise_refuses_nan_and_infinity(bad: float) -> None:
    pooled = np.ones((1, 2048), np.float32)
    pooled[0, 7] = bad
    with pytest.raises(UsageError, match="NaN or infinity"):
        normalise(pooled)


def test_normalise_of_nothing_is_nothing_and_another_width_is_refused() -> None:
    assert normalise(np.empty((0, 2048), np.float32)).shape == (0, 2048)
    with pytest.raises(UsageError, match="2048"):
        normalise(np.ones((1, 1280), np.float32))
