"""The store of vectors: what is added is found, what is torn or damaged is noticed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from models.backbone.preprocessing import normalise
from models.errors import TrainingError, UsageError
from models.training.bottlenecks.cache import ROW_BYTES, BottleneckCache, open_cache
from models.training.bottlenecks.descriptor import SCENE_SIZE, scene_descriptor
from models.training.bottlenecks.keys import BottleneckKey, PhotoFacts, variant_key
from models.values import Float32

SPACE = "fake-space"


def vectors_of(count: int, seed: int = 0) -> Float32:
    return normalise(np.random.default_rng(seed).random((count, 2048)))


def keys_of(names: str) -> list[BottleneckKey]:
    return [BottleneckKey(name, "original") for name in names]


def facts_of(name: str, value: float = 0.5) -> PhotoFacts:
    return PhotoFacts(name, 40, 30, np.full(SCENE_SIZE, value, np.float32))


@pytest.fixture
def cache(tmp_path: Path) -> BottleneckCache:
    cache = open_cache(tmp_path, SPACE)
    yield cache  # type: ignore[misc]
    cache.close()


def test_what_is_added_is_found_in_any_order_also_by_another_reader(cache: BottleneckCache) -> None:
    vectors = vectors_of(3)
    with cache.writing():
        cache.add(keys_of("ab"), vectors[:2], [facts_of("a"), facts_of("b", 0.25)])
        cache.add([BottleneckKey("a", variant_key("blur", 7))], vectors[2:])
    with BottleneckCache(cache.folder, SPACE) as reader:
        assert len(reader) == 3
        assert reader.contains([*keys_of("acb"), BottleneckKey("b", variant_key("blur", 7))]) == [
            True, False, True, False,
        ]  # fmt: skip
        assert np.array_equal(reader.originals(["b", "a", "b"]), vectors[[1, 0, 1]])
        assert reader.get([]).shape == (0, 2048)
        assert reader.scenes(["b"]).shape == (1, SCENE_SIZE)
        assert reader.scenes(["b"])[0, 0] == 0.25
        assert reader.facts(["a"])[0].width == 40
        assert np.array_equal(reader.vectors(), vectors)


def test_variant_seed_and_version_are_part_of_the_key_but_not_for_the_original() -> None:
    assert variant_key("original", 1) == variant_key("original", 2) == "original"
    assert variant_key("blur", 1) != variant_key("blur", 2)
    assert variant_key("blur", 1).startswith("blur|v")


def test_a_missing_bottleneck_is_an_error_that_names_the_command(cache: BottleneckCache) -> None:
    with pytest.raises(TrainingError, match="make train-bottlenecks"):
        cache.originals(["a"])
    with pytest.raises(TrainingError, match="1 of 1 photos"):
        cache.facts(["a"])


def test_a_torn_tail_is_ignored_and_overwritten(cache: BottleneckCache) -> None:
    vectors = vectors_of(3)
    with cache.writing():
        cache.add(keys_of("a"), vectors[:1])
    path = cache.folder / "vectors.f32"
    path.write_bytes(path.read_bytes() + b"\x7f" * (2 * ROW_BYTES + 123))
    with cache.writing():
        cache.add(keys_of("b"), vectors[1:2])
    assert np.array_equal(cache.originals(["a", "b"]), vectors[:2])
    assert path.stat().st_size == 2 * ROW_BYTES


def test_vectors_the_disk_lost_are_forgotten_and_may_be_added_again(cache: BottleneckCache) -> None:
    vectors = vectors_of(3)
    with cache.writing():
        cache.add(keys_of("abc"), vectors, [facts_of(name) for name in "abc"])
    path = cache.folder / "vectors.f32"
    path.write_bytes(path.read_bytes()[: ROW_BYTES + 5])
    with pytest.raises(TrainingError, match="damaged"):
        cache.originals(["c"])
    with cache.writing():
        assert cache.contains(keys_of("abc")) == [True, False, False]
        cache.add(keys_of("bc"), vectors[1:], [facts_of("b"), facts_of("c")])
    assert np.array_equal(cache.originals(["a", "b", "c"]), vectors)


def test_a_zeroed_row_is_noticed(cache: BottleneckCache) -> None:
    with cache.writing():
        cache.add(keys_of("ab"), vectors_of(2))
    path = cache.folder / "vectors.f32"
    path.write_bytes(path.read_bytes()[:ROW_BYTES] + bytes(ROW_BYTES))
    cache.originals(["a"])
    with pytest.raises(TrainingError, match="unit length"):
        cache.originals(["b"])


def test_a_key_twice_stores_nothing_of_the_batch(cache: BottleneckCache) -> None:
    with cache.writing():
        cache.add(keys_of("a"), vectors_of(1))
        with pytest.raises(TrainingError, match="could not be stored"):
            cache.add(keys_of("ba"), vectors_of(2))
        assert cache.contains(keys_of("ab")) == [True, False]
        cache.add(keys_of("b"), vectors_of(1, seed=5))
    assert np.array_equal(cache.originals(["b"]), vectors_of(1, seed=5))


def test_adding_needs_the_lock_and_fitting_shapes(cache: BottleneckCache) -> None:
    with pytest.raises(UsageError, match="writing"):
        cache.add(keys_of("a"), vectors_of(1))
    with cache.writing(), pytest.raises(UsageError, match=r"\(2, 2048\)"):
        cache.add(keys_of("ab"), vectors_of(1))


def test_there_is_one_writer_among_threads_and_openers(cache: BottleneckCache) -> None:
    refused: list[str] = []

    def intrude() -> None:
        with BottleneckCache(cache.folder, SPACE) as other:
            try:
                with other.writing():
                    refused.append("got in")
            except TrainingError as error:
                refused.append(str(error))

    with cache.writing():
        intruder = threading.Thread(target=intrude)
        intruder.start()
        intruder.join()
    assert len(refused) == 1
    assert "another run is filling" in refused[0]
    with cache.writing():
        cache.add(keys_of("a"), vectors_of(1))


def test_a_folder_of_another_space_or_with_a_broken_index_is_refused(tmp_path: Path) -> None:
    open_cache(tmp_path, SPACE).close()
    with pytest.raises(TrainingError, match="another folder"):
        BottleneckCache(tmp_path / "bottlenecks" / SPACE, "another-space")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "index.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(TrainingError, match="cannot be opened"):
        BottleneckCache(broken, SPACE)


def test_scene_descriptors_are_unit_vectors_alike_for_one_scene_only() -> None:
    generator = np.random.default_rng(4)
    first = np.kron(generator.integers(40, 200, (8, 8, 3)), np.ones((30, 40, 1))).astype(np.uint8)
    shifted = np.roll(first, 25, axis=1)
    other = np.kron(generator.integers(40, 200, (8, 8, 3)), np.ones((30, 40, 1))).astype(np.uint8)
    scene = scene_descriptor(first)
    assert scene.shape == (SCENE_SIZE,) == (864,)
    assert scene.dtype == np.float32
    assert scene.min() >= 0
    assert np.linalg.norm(scene) == pytest.approx(1.0, abs=1e-5)
    assert scene_descriptor(shifted) @ scene > 0.97
    assert scene_descriptor(other) @ scene < 0.6
    with pytest.raises(UsageError, match="expected uint8"):
        scene_descriptor(first[..., 0])
