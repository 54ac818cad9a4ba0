"""Callers that share one network: at once while it is idle, together while it is busy, never longer than they want."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from models.backbone.batching import SharedBackbone
from models.backbone.projection import Projection
from models.backbone.store import load_backbone
from models.errors import BackboneError, DeadlineExceeded, NetworkBusy, UsageError
from models.values import Backbone, Deadline, Float32, UInt8
from tests.contracts.backbone import SAME, BackboneContract, sample_inputs
from tests.contracts.fake_backbone import FakeBackbone
from tests.contracts.tiny_backbone import prepare_tiny_backbone

WAIT_S = 20.0


class Gated(FakeBackbone):
    """Says when a batch has begun, and ends it when it is let; ``broken`` batches raise."""

    @property
    def projection(self) -> Projection:
        raise AssertionError("nobody asks")

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.batches: list[int] = []
        self.broken: BaseException | None = None

    def extract(self, inputs: Sequence[UInt8], deadline: Deadline | None = None) -> Float32:
        self.batches.append(len(inputs))
        self.begun.release()
        assert self.go_on.acquire(timeout=WAIT_S)
        if self.broken is not None:
            raise self.broken
        return super().extract(inputs)


@contextmanager
def callers(count: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(count) as pool:
        yield pool


def until_waiting(shared: SharedBackbone, count: int) -> None:
    """Until so many wait in the queue."""
    limit = time.monotonic() + WAIT_S
    while shared.waiting != count:
        assert time.monotonic() < limit, f"{shared.waiting} wait, not {count}"
        time.sleep(0.001)


def ask(
    pool: ThreadPoolExecutor, shared: SharedBackbone, inputs: Sequence[UInt8], within_s: float | None = None
) -> Future[Float32]:
    """Ask from a thread of the pool."""
    return pool.submit(shared.extract, inputs, None if within_s is None else Deadline.after(within_s))


@pytest.fixture(scope="module")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tiny")
    prepare_tiny_backbone(home)
    return home


class TestSharedOpenVino(BackboneContract):
    @pytest.fixture
    def backbone(self, tiny_home: Path) -> Backbone:
        return SharedBackbone(load_backbone("embedded", tiny_home, threads=2))


def test_many_threads_of_a_real_network_each_get_their_own_vector(tiny_home: Path) -> None:
    backbone = load_backbone("embedded", tiny_home, threads=2)
    sizes: list[int] = []
    shared = SharedBackbone(backbone, on_batch=lambda photos, seconds: sizes.append(photos))
    shared.warm_up()
    assert sizes == []
    pictures = sample_inputs(48)
    expected = backbone.extract(pictures)
    with callers(16) as pool:
        rows = list(pool.map(lambda picture: shared.extract([picture], Deadline.after(WAIT_S))[0], pictures))
    assert np.linalg.norm(np.stack(rows) - expected, axis=1).max() < SAME
    assert sum(sizes) == 48 and max(sizes) <= 4
    assert shared.waiting == 0


def test_an_idle_network_is_used_at_once_and_what_queues_meanwhile_goes_together() -> None:
    network, waits = Gated(), []
    shared = SharedBackbone(network, on_waiting=waits.append)
    pictures = sample_inputs(7)
    with callers(7) as pool:
        answers = [ask(pool, shared, pictures[:1])]
        assert network.begun.acquire(timeout=WAIT_S)
        for number in range(1, 7):
            answers.append(ask(pool, shared, [pictures[number]]))
            until_waiting(shared, number)
        network.go_on.release(3)
        rows = [answer.result(WAIT_S)[0] for answer in answers]
    assert network.batches == [1, 4, 2]
    assert np.array_equal(np.stack(rows), FakeBackbone().extract(pictures))
    assert waits == [1, 2, 3, 4, 5, 6, 2, 0]


def test_inputs_of_one_caller_stay_together_and_a_large_call_goes_alone() -> None:
    network = Gated()
    shared = SharedBackbone(network)
    pictures = sample_inputs(11)
    with callers(4) as pool:
        answers = [ask(pool, shared, pictures[:1])]
        assert network.begun.acquire(timeout=WAIT_S)
        for place, part in enumerate((pictures[1:4], pictures[4:6], pictures[6:11]), start=1):
            answers.append(ask(pool, shared, part))
            until_waiting(shared, place)
        network.go_on.release(4)
        rows = np.concatenate([answer.result(WAIT_S) for answer in answers])
    assert network.batches == [1, 3, 2, 5]
    assert np.array_equal(rows, FakeBackbone().extract(pictures))


def test_lanes_run_side_by_side() -> None:
    network = Gated()
    shared = SharedBackbone(network, lanes=2)
    with callers(2) as pool:
        answers = [ask(pool, shared, sample_inputs(1)) for _ in range(2)]
        assert network.begun.acquire(timeout=WAIT_S) and network.begun.acquire(timeout=WAIT_S)
        network.go_on.release(2)
        assert [len(answer.result(WAIT_S)) for answer in answers] == [1, 1]


def test_an_error_reaches_every_caller_of_its_batch_and_nobody_else() -> None:
    network = Gated()
    shared = SharedBackbone(network)
    pictures = sample_inputs(4)
    with callers(4) as pool:
        first = ask(pool, shared, pictures[:1])
        assert network.begun.acquire(timeout=WAIT_S)
        others = [ask(pool, shared, [picture]) for picture in pictures[1:]]
        until_waiting(shared, 3)
        network.go_on.release()
        assert len(first.result(WAIT_S)) == 1
        assert network.begun.acquire(timeout=WAIT_S)
        network.broken = BackboneError("out of order")
        network.go_on.release()
        for other in others:
            with pytest.raises(BackboneError, match="out of order"):
                other.result(WAIT_S)
        network.broken = None
        network.go_on.release()
        assert len(shared.extract(pictures[:1])) == 1
    assert network.batches == [1, 3, 1]


def test_a_bad_input_harms_its_sender_alone() -> None:
    network = Gated()
    shared = SharedBackbone(network)
    with pytest.raises(UsageError, match="input 0"):
        shared.extract([np.zeros((10, 10, 3), np.uint8)])
    assert network.batches == []


def test_who_has_waited_too_long_is_told_so_and_the_photo_is_not_computed() -> None:
    network = Gated()
    shared = SharedBackbone(network)
    pictures = sample_inputs(3)
    with callers(3) as pool:
        first = ask(pool, shared, pictures[:1])
        assert network.begun.acquire(timeout=WAIT_S)
        with pytest.raises(DeadlineExceeded):
            ask(pool, shared, pictures[1:2], within_s=0.02).result(WAIT_S)
        assert shared.waiting == 0
        patient = ask(pool, shared, pictures[2:], within_s=WAIT_S)
        until_waiting(shared, 1)
        network.go_on.release(2)
        assert len(first.result(WAIT_S)) == len(patient.result(WAIT_S)) == 1
    assert network.images == 2


def test_a_caller_whose_time_ends_in_the_queue_is_passed_over() -> None:
    """The lane comes free before the caller itself has noticed."""
    network = Gated()
    shared = SharedBackbone(network)
    with callers(2) as pool:
        first = ask(pool, shared, sample_inputs(1))
        assert network.begun.acquire(timeout=WAIT_S)
        late = ask(pool, shared, sample_inputs(1), within_s=WAIT_S)
        until_waiting(shared, 1)
        shared._waiting[0].deadline = Deadline(time.monotonic() - 1)
        network.go_on.release()
        with pytest.raises(DeadlineExceeded):
            late.result(WAIT_S)
        first.result(WAIT_S)
    assert network.images == 1
    network.go_on.release()
    assert len(shared.extract(sample_inputs(1))) == 1, "the lane is free again"


def test_the_queue_is_bounded() -> None:
    network = Gated()
    shared = SharedBackbone(network, places=1)
    with callers(2) as pool:
        answers = [ask(pool, shared, sample_inputs(1))]
        assert network.begun.acquire(timeout=WAIT_S)
        answers.append(ask(pool, shared, sample_inputs(1)))
        until_waiting(shared, 1)
        with pytest.raises(NetworkBusy, match="1 photos"):
            shared.extract(sample_inputs(1))
        network.go_on.release(2)
        assert [len(answer.result(WAIT_S)) for answer in answers] == [1, 1]


@pytest.mark.parametrize("wrong", [{"lanes": 0}, {"max_shared": 0}, {"places": -1}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected"):
        SharedBackbone(Gated(), **wrong)  # type: ignore[arg-type]
