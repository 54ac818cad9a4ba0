"""The fixed projection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.backbone.preprocessing import normalise
from models.backbone.projection import Projection
from models.errors import BackboneError, UsageError


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
