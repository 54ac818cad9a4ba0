"""Spaces that lack photos when they are wanted: one that nobody kept, and one beside a damaged cache."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from app.jobs import training
from app.jobs.bottlenecks import fill_bottlenecks
from app.jobs.training import TrainOptions, train_and_publish
from app.store.outbox import Lacking
from models.bundle import Bundle
from tests.app.jobs.test_switching import Switched, other_network, switched  # noqa: F401  fixtures
from tests.app.learning import shots


def test_a_training_in_a_space_that_nobody_kept_gives_it_what_came_meanwhile(
    switched: Switched,  # noqa: F811  the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = switched.reports
    switched.serve_alone(old)
    assert switched.spaces[new.space].state == "unused"
    made_bundle = training.made_bundle

    def and_then_a_photo_comes(*arguments: Any) -> Bundle:
        bundle = made_bundle(*arguments)
        switched.import_photo("beans", shots(1, 1, first=72)[0])
        return bundle

    monkeypatch.setattr("app.jobs.training.made_bundle", and_then_a_photo_comes)
    options = TrainOptions(folds=2, variants=())
    report = train_and_publish(switched.new, switched.shop.engine, switched.shop.media, options)
    assert report.space == new.space
    assert (switched.spaces[new.space].state, switched.spaces[new.space].lacking) == ("served", Lacking())


def test_a_damaged_cache_keeps_no_other_space_from_its_photos(
    switched: Switched,  # noqa: F811  the fixture
) -> None:
    old, new = switched.reports
    switched.serve(old)
    switched.serve(new)
    cache = switched.old.home / "bottlenecks" / new.space
    cache.rename(cache.with_name("elsewhere"))
    cache.mkdir()
    (cache / "index.sqlite").write_bytes(b"no index at all" * 100)
    switched.import_photo("tea", shots(3, 1, first=73)[0])
    served, before = switched.fill_outbox()
    assert (served.space, served.written) == (new.space, 0) and "cannot be opened" in (served.problem or "")
    assert (before.space, before.written, before.problem) == (old.space, 1, None)
    assert switched.fill_outbox() == [], "left alone for a while"
    shutil.rmtree(cache)
    cache.with_name("elsewhere").rename(cache)
    assert fill_bottlenecks(switched.new, switched.shop.engine, switched.shop.media, variants=()).fill.new == 1
