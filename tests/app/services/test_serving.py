"""Which model is served: loading, swapping, refusing, watching; and the places for searches."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

import pytest

from app.errors import NotReady, Overloaded
from app.services.serving import Admission, Memory, Served, ServedModel
from app.services.withdrawn import WithdrawnLabels
from app.store.database import make_engine
from models.attributes import TypeGuess
from models.errors import BackboneNotReady, BundleDamaged, BundleNotFound
from models.recognizer import Withdrawn, nothing_withdrawn
from models.values import Advice, Answer, ClassifierName, Deadline, Features, Float32, Photo


class Named:
    """A recognizer that has nothing but its version."""

    weights = "fake"
    space = "fake-space"

    def __init__(self, version: str) -> None:
        self.version = version

    def features(self, photo: Photo, deadline: Deadline | None = None) -> Features:
        raise AssertionError("nobody asks")

    def answer(
        self,
        features: Features,
        advice: tuple[Advice, ...] = (),
        *,
        within: frozenset[str] | None = None,
        top_k: int = 5,
        withdrawn: Withdrawn = nothing_withdrawn,
        explain: bool = False,
    ) -> Answer:
        raise AssertionError("nobody asks")

    def guess_type(self, vectors: Float32) -> TypeGuess | None:
        raise AssertionError("nobody asks")

    def known_since(self, label: str) -> Mapping[ClassifierName, str | None]:
        return {}


class Publisher:
    """Says who is champion, and fails to load the versions it is told to."""

    def __init__(self, version: str | None) -> None:
        self.version = version
        self.damaged: set[str] = set()
        self.loaded: list[str] = []

    def champion(self) -> str | None:
        return self.version

    def load(self, version: str) -> Served:
        self.loaded.append(version)
        if version in self.damaged:
            raise BundleDamaged(f"{version} is damaged")
        nowhere = make_engine("postgresql://nowhere.invalid/none")
        return Served(Named(version), WithdrawnLabels(nowhere, frozenset()), Memory(1, lambda vectors: vectors))


def model_of(publisher: Publisher, interval_s: float = 0.0) -> ServedModel:
    """A model that looks for a newer version at every call, unless told otherwise."""
    return ServedModel(publisher.champion, publisher.load, interval_s)


def test_a_model_is_loaded_once_and_a_newly_published_one_is_served_without_restart() -> None:
    publisher = Publisher("1")
    model = model_of(publisher)
    first = model.current()
    assert model.current() is first and publisher.loaded == ["1"]
    publisher.version = "2"
    assert model.current().recognizer.version == "2"
    assert first.recognizer.version == "1"
    publisher.version = "1"
    assert model.current().recognizer.version == "1"
    assert publisher.loaded == ["1", "2", "1"]


def test_between_two_looks_the_database_is_left_alone() -> None:
    publisher = Publisher("1")
    model = model_of(publisher, interval_s=3600)
    model.current()
    publisher.version = "2"
    assert model.current().recognizer.version == "1"


def test_a_damaged_version_leaves_the_one_before_in_service_and_is_tried_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher = Publisher("1")
    model = model_of(publisher)
    model.current()
    publisher.version = "2"
    publisher.damaged = {"2"}
    with caplog.at_level(logging.ERROR):
        assert [model.current().recognizer.version for _ in range(3)] == ["1", "1", "1"]
    assert publisher.loaded == ["1", "2"]
    assert len(caplog.records) == 1 and "2 is damaged" in caplog.text
    publisher.version = "3"
    assert model.current().recognizer.version == "3"


def test_the_first_model_is_tried_again_until_it_can_be_loaded() -> None:
    publisher = Publisher("1")
    publisher.damaged = {"1"}
    model = model_of(publisher)
    for _ in range(2):
        with pytest.raises(BundleDamaged):
            model.current()
    publisher.damaged = set()
    assert model.current().recognizer.version == "1"


def test_nothing_published_says_what_to_run() -> None:
    with pytest.raises(BundleNotFound, match="make train"):
        model_of(Publisher(None)).current()


def test_who_only_wants_to_know_what_is_served_is_told_none_where_nothing_is() -> None:
    publisher = Publisher(None)
    model = model_of(publisher)
    assert model.serving() is None and model.now() is None
    publisher.version = "1"
    publisher.damaged = {"1"}
    assert model.now() is None
    with pytest.raises(BundleDamaged):
        model.serving()
    publisher.damaged = set()
    served = model.serving()
    assert served is not None and served is model.now()


def test_errors_of_the_backbone_come_through() -> None:
    def load(version: str) -> Served:
        raise BackboneNotReady("run `make train-bottlenecks`")

    with pytest.raises(BackboneNotReady, match="make train-bottlenecks"):
        ServedModel(lambda: "1", load, 0.0).current()


def test_while_the_first_model_loads_callers_are_told_to_wait_and_later_they_keep_the_old_one() -> None:
    publisher = Publisher(None)
    loading, finish = threading.Event(), threading.Event()

    def slowly(version: str) -> Served:
        loading.set()
        assert finish.wait(10)
        return publisher.load(version)

    model = ServedModel(publisher.champion, slowly, 0.01)
    model.watch()
    try:
        publisher.version = "1"
        assert loading.wait(10)
        with pytest.raises(NotReady, match="being loaded"):
            model.current()
        finish.set()
        assert _until_served(model, "1")
        finish.clear()
        loading.clear()
        publisher.version = "2"
        assert loading.wait(10)
        assert model.current().recognizer.version == "1"
        finish.set()
        assert _until_served(model, "2")
    finally:
        finish.set()
        model.close()


def test_watching_begins_with_a_model_in_place() -> None:
    publisher = Publisher("1")
    model = model_of(publisher, interval_s=3600)
    model.watch()
    try:
        assert publisher.loaded == ["1"]
        assert model.current().recognizer.version == "1"
    finally:
        model.close()


def test_where_a_thread_watches_no_request_waits_for_the_next_model_to_load() -> None:
    publisher = Publisher("1")
    model = model_of(publisher, interval_s=3600)
    model.watch()
    try:
        publisher.version = "2"
        model._checked_at = float("-inf")  # the watcher is late
        assert model.current().recognizer.version == "1" and publisher.loaded == ["1"]
    finally:
        model.close()
    assert model.current().recognizer.version == "2", "without a watcher requests look themselves"


def _until_served(model: ServedModel, version: str) -> bool:
    waiting = threading.Event()
    for _ in range(1000):
        try:
            if model.current().recognizer.version == version:
                return True
        except (NotReady, BundleNotFound):
            pass
        waiting.wait(0.01)
    return False


def test_the_watcher_survives_a_database_that_is_away() -> None:
    answers = iter([RuntimeError("away"), "1"])
    asked = threading.Event()

    def champion() -> str:
        found = next(answers, "1")
        if isinstance(found, Exception):
            asked.set()
            raise found
        return found

    model = ServedModel(champion, Publisher("1").load, 0.01)
    model.watch()
    try:
        assert asked.wait(10)
        assert _until_served(model, "1")
    finally:
        model.close()


def test_places_are_counted_and_given_back_even_after_a_failure() -> None:
    admission = Admission(2)
    with (
        admission.enter(),
        admission.enter(),
        pytest.raises(Overloaded, match="2 searches"),
        admission.enter(),
    ):
        raise AssertionError("a third place")
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), admission.enter():
            raise ZeroDivisionError
    with admission.enter(), admission.enter():
        pass
