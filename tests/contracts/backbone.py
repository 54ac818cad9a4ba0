"""What every ``models.values.Backbone`` promises. Subclass, and provide the fixture ``backbone``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models.backbone.preprocessing import normalise
from models.errors import UsageError
from models.values import BOTTLENECK_SIZE, INPUT_SIZE, Backbone, UInt8

SAME = 2e-5
"""Relative L2 difference that float32 arithmetic in another batch size may make."""


def sample_inputs(count: int, seed: int = 3) -> list[UInt8]:
    """``count`` different pictures, uint8 (299, 299, 3): coloured noise at several scales over a ramp."""
    generator = np.random.default_rng(seed)
    ramp = np.linspace(0, 90, INPUT_SIZE)[:, None, None]
    pictures = []
    for _ in range(count):
        cells = int(generator.integers(2, 40))
        noise = generator.uniform(0, 165, (cells, cells, 3))
        places = np.arange(INPUT_SIZE) * cells // INPUT_SIZE
        pictures.append((noise[places][:, places] + ramp).astype(np.uint8))
    return pictures


class BackboneContract:
    """The suite."""

    @pytest.fixture
    def backbone(self) -> Backbone:
        raise NotImplementedError

    def test_vectors_are_float32_non_negative_and_of_unit_length(self, backbone: Backbone) -> None:
        vectors = backbone.extract(sample_inputs(3))
        assert vectors.shape == (3, BOTTLENECK_SIZE)
        assert vectors.dtype == np.float32
        assert (vectors >= 0).all()
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)

    def test_different_pictures_have_different_vectors(self, backbone: Backbone) -> None:
        first, second = backbone.extract(sample_inputs(2))
        assert np.linalg.norm(first - second) > 100 * SAME

    def test_a_row_depends_on_its_own_input_alone(self, backbone: Backbone) -> None:
        pictures = sample_inputs(5)
        together = backbone.extract(pictures)
        alone = np.concatenate([backbone.extract([picture]) for picture in pictures])
        shuffled = backbone.extract([pictures[i] for i in (4, 2, 0)])
        assert np.linalg.norm(together - alone, axis=1).max() < SAME
        assert np.linalg.norm(together[[4, 2, 0]] - shuffled, axis=1).max() < SAME

    def test_the_same_call_gives_the_same_answer(self, backbone: Backbone) -> None:
        pictures = sample_inputs(2)
        assert np.array_equal(backbone.extract(pictures), backbone.extract(pictures))

    def test_the_input_is_left_untouched_and_may_be_read_only(self, backbone: Backbone) -> None:
        pictures = sample_inputs(2)
        before = [picture.copy() for picture in pictures]
        for picture in pictures:
            picture.setflags(write=False)
        backbone.extract(pictures)
        assert all(np.array_equal(now, then) for now, then in zip(pictures, before, strict=True))

    def test_no_inputs_give_no_rows(self, backbone: Backbone) -> None:
        assert backbone.extract([]).shape == (0, BOTTLENECK_SIZE)
        assert backbone.extract([]).dtype == np.float32

    def test_maps_average_to_the_bottlenecks(self, backbone: Backbone) -> None:
        pictures = sample_inputs(3)
        vectors, maps = backbone.extract_with_maps(pictures)
        assert maps.shape == (3, 8, 8, BOTTLENECK_SIZE) and maps.dtype == np.float32
        assert np.linalg.norm(vectors - backbone.extract(pictures), axis=1).max() < SAME
        assert np.linalg.norm(normalise(maps.mean(axis=(1, 2))) - vectors, axis=1).max() < SAME
        assert float(np.abs(maps[0] - maps[1]).max()) > 0

    def test_maps_of_no_inputs_are_no_maps(self, backbone: Backbone) -> None:
        vectors, maps = backbone.extract_with_maps([])
        assert vectors.shape == (0, BOTTLENECK_SIZE) and maps.shape == (0, 8, 8, BOTTLENECK_SIZE)

    def test_a_wrong_input_is_named(self, backbone: Backbone) -> None:
        good = sample_inputs(1)[0]
        with pytest.raises(UsageError, match="input 1"):
            backbone.extract([good, good[:100]])
        with pytest.raises(UsageError, match="float32"):
            backbone.extract([good.astype(np.float32)])

    def test_threads_may_call_at_once(self, backbone: Backbone) -> None:
        pictures = sample_inputs(4)
        expected = backbone.extract(pictures)
        with ThreadPoolExecutor(4) as executor:
            rows = list(executor.map(lambda picture: backbone.extract([picture])[0], pictures))
        assert np.linalg.norm(np.stack(rows) - expected, axis=1).max() < SAME

    def test_it_says_which_space_and_weights_it_has(self, backbone: Backbone) -> None:
        assert backbone.space
        assert backbone.weights
