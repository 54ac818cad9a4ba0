"""Far-foreign pictures: computed once a space, and anew where what is stored is not theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.jobs.far_foreign import far_foreign_vectors
from models.values import Float32
from tests.contracts.fake_backbone import FakeBackbone


@pytest.fixture
def backbone() -> FakeBackbone:
    return FakeBackbone()


def file_of(home: Path) -> Path:
    return home / "bottlenecks" / FakeBackbone.space / "far.npz"


def test_they_are_unit_length_and_the_network_sees_them_once(tmp_path: Path, backbone: FakeBackbone) -> None:
    vectors = far_foreign_vectors(tmp_path, backbone, 3)
    assert vectors.shape == (3, 2048) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert len(np.unique(vectors, axis=0)) == 3
    computed = backbone.images
    assert computed == 3
    assert np.array_equal(far_foreign_vectors(tmp_path, backbone, 3), vectors)
    assert backbone.images == computed
    assert [path.name for path in file_of(tmp_path).parent.iterdir()] == ["far.npz"]


def test_another_number_of_them_is_computed(tmp_path: Path, backbone: FakeBackbone) -> None:
    three = far_foreign_vectors(tmp_path, backbone, 3)
    two = far_foreign_vectors(tmp_path, backbone, 2)
    assert np.array_equal(two, three[:2]) and backbone.images == 5


def test_what_is_damaged_or_of_other_pictures_is_computed_anew(
    tmp_path: Path, backbone: FakeBackbone, caplog: pytest.LogCaptureFixture
) -> None:
    right = far_foreign_vectors(tmp_path, backbone, 2)
    path = file_of(tmp_path)
    with np.load(path) as data:
        pictures = data["pictures"]

    def store(vectors: Float32, digest: object = pictures) -> None:
        np.savez(path, vectors=vectors, pictures=digest)

    def torn() -> None:
        path.write_bytes(path.read_bytes()[:1000])

    damages = (
        lambda: path.write_bytes(b"no zip"),
        torn,
        lambda: store(2 * right),
        lambda: store(np.full_like(right, np.nan)),
        lambda: store(right[:1]),
        lambda: store(right.astype(np.float64)),
        lambda: np.savez(path, vectors=right),
    )
    for damage in damages:
        damage()
        caplog.clear()
        before = backbone.images
        assert np.array_equal(far_foreign_vectors(tmp_path, backbone, 2), right)
        assert backbone.images == before + 2 and "computing it anew" in caplog.text
    caplog.clear()
    store(right[::-1], np.roll(pictures, 1))
    assert np.array_equal(far_foreign_vectors(tmp_path, backbone, 2), right)
    assert caplog.text == "", "others are no damage"
