"""The fixed projection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.backbone.preprocessing import normalise
from models.backbone.projection import Projection
from models.errors import BackboneError, UsageError
from models.values import Float32


@pytest.fixture(scope="module")
def projection() -> Projection:
    return Projection.random_orthogonal()


def test_the_columns_are_orthogonal_and_the_seed_decides(projection: Projection) -> None:
    gram = projection.matrix.T @ projection.matrix
    assert projection.matrix.shape == (2048, 256)
    assert np.allclose(gram, 8 * np.eye(256), atol=1e-2)
    assert Projection.random_orthogonal().sha256 == projection.sha256
    assert Projection.random_orthogonal(1).sha256 != projection.sha256


def test_distances_survive_within_the_johnson_lindenstrauss_bound(projection: Projection) -> None:
    """sqrt(2 / 256) = 9 % standard error; five of them bound all pairs."""
    vectors = normalise(np.random.default_rng(2).gamma(0.3, size=(60, 2048)))
    projected = projection.apply(vectors)
    assert projected.dtype == np.float32
    assert projected.shape == (60, 256)
    first, second = np.triu_indices(60, 1)
    before = np.linalg.norm(vectors[first] - vectors[second], axis=1)
    after = np.linalg.norm(projected[first] - projected[second], axis=1)
    assert np.abs(after / before - 1).max() < 5 * np.sqrt(2 / 256)
    assert abs((after / before).mean() - 1) < 0.02


def bottlenecks(seed: int, count: int) -> Float32:
    """As a trained network makes them: 300 directions of falling strength, the same for every seed, and noise."""
    directions = np.random.default_rng(0).gamma(0.3, size=(300, 2048))
    random = np.random.default_rng(seed)
    strengths = random.gamma(0.3, size=(count, 300)) * np.exp(-np.arange(300) / 60)
    return normalise(strengths @ directions + 0.02 * random.random((count, 2048)))


@pytest.fixture(scope="module")
def fitted() -> Projection:
    return Projection.fitted(bottlenecks(1, 600))


def test_the_fitted_plane_keeps_the_distances_of_other_vectors_of_its_kind_from_below(
    projection: Projection, fitted: Projection
) -> None:
    others = bottlenecks(2, 60)
    first, second = np.triu_indices(60, 1)
    before = np.linalg.norm(others[first] - others[second], axis=1)
    kept, drawn = (
        np.linalg.norm(p.apply(others)[first] - p.apply(others)[second], axis=1) / before for p in (fitted, projection)
    )
    assert kept.max() <= 1.0003
    assert kept.min() > 0.97
    assert np.abs(1 - kept).max() < np.abs(1 - drawn).max() / 3


def test_the_fitted_plane_is_orthonormal_and_fits_float16(fitted: Projection) -> None:
    assert (fitted.matrix.shape, fitted.matrix.dtype) == ((2048, 256), np.float32)
    assert np.allclose(fitted.matrix.T @ fitted.matrix, np.eye(256), atol=2e-3)
    assert np.array_equal(fitted.matrix.astype(np.float16).astype(np.float32), fitted.matrix)


def test_signs_and_directions_do_not_depend_on_the_order_of_the_vectors(fitted: Projection) -> None:
    assert (fitted.matrix.max(axis=0) >= -fitted.matrix.min(axis=0)).all()
    backwards = Projection.fitted(bottlenecks(1, 600)[::-1])
    strongest = (fitted.matrix * backwards.matrix).sum(axis=0)[:20]
    assert (strongest > 0.999).all()


def test_the_mean_is_not_subtracted(fitted: Projection) -> None:
    mean = bottlenecks(1, 600).mean(axis=0)
    assert abs(mean @ fitted.matrix[:, 0]) > 0.99 * np.linalg.norm(mean)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((255, 2048), np.float32), "n >= 256"),
        (np.ones((300, 256), np.float32), r"\(300, 256\)"),
        (np.full((300, 2048), np.nan, np.float32), "NaN"),
    ],
)
def test_a_plane_cannot_be_fitted_on_anything(vectors: Float32, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Projection.fitted(vectors)


def test_apply_leaves_its_input_alone_and_refuses_other_widths(projection: Projection) -> None:
    vectors = np.ones((1, 2048), np.float32)
    vectors.setflags(write=False)
    projection.apply(vectors)
    assert projection.apply(np.empty((0, 2048), np.float32)).shape == (0, 256)
    with pytest.raises(UsageError, match="2048"):
        projection.apply(np.ones((1, 256), np.float32))


def test_save_load_and_verification(projection: Projection, tmp_path: Path) -> None:
    path = tmp_path / "projection.npz"
    projection.save(path)
    assert np.array_equal(Projection.load(path, projection.sha256).matrix, projection.matrix)
    with pytest.raises(BackboneError, match="another backbone"):
        Projection.load(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BackboneError, match="not a readable projection"):
        Projection.load(path, projection.sha256)
    np.savez(path, matrix=np.eye(3))
    with pytest.raises(BackboneError, match=r"\(2048, 256\)"):
        Projection.load(path, projection.sha256)
