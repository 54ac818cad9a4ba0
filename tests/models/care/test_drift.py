"""The stability index, its bounds, and what counts as a change."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.care.drift import (
    LEAST_QUERIES,
    MOST_CATEGORIES,
    NOTHING,
    OTHER,
    QueryFact,
    chance_bound,
    compare_queries,
    level,
    stability_index,
)


def searches(
    count: int, seed: int, shift: float = 0.0, unknown: float = 0.1, category: str | None = None
) -> list[QueryFact]:
    rng = np.random.default_rng(seed)
    return [
        QueryFact(
            "unknown" if rng.random() < unknown else "known",
            float(np.clip(rng.normal(0.7 + shift, 0.1), 0, 1)),
            float(np.clip(rng.normal(0.8 + shift, 0.05), 0, 1)),
            category,
        )
        for _ in range(count)
    ]


def test_the_index_is_the_formula() -> None:
    before, now = np.array([50.0, 50.0]), np.array([25.0, 75.0])
    assert stability_index(before, now) == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(1.5))
    assert stability_index(before, before) == 0.0
    assert stability_index(before, now * 8) == pytest.approx(stability_index(before, now))
    assert np.isfinite(stability_index(np.array([10.0, 0.0]), np.array([0.0, 10.0])))


def test_the_bounds_are_the_usual_ones_unless_chance_reaches_as_far() -> None:
    assert [level(psi, 0.01) for psi in (0.09, 0.1, 0.25, 0.26)] == ["none", "some", "some", "large"]
    assert level(0.3, 0.31) == "none"


def test_chance_alone_exceeds_its_bound_once_in_a_hundred_times() -> None:
    rng = np.random.default_rng(4)
    share = np.full(10, 0.1)
    found = [
        stability_index(*(rng.multinomial(n, share).astype(float) for n in (400, 150))) > chance_bound(400, 150, 10)
        for _ in range(2000)
    ]
    assert 0.003 < np.mean(found) < 0.03


def test_two_months_alike_show_no_change() -> None:
    drift = compare_queries(searches(400, 1), searches(400, 2))
    assert [change.name for change in drift.changes] == ["verdict", "score", "nearest", "category"]
    assert drift.worst == "none"
    for change in drift.changes:
        assert sum(a for a, _ in change.shares.values()) == pytest.approx(1.0)
        assert sum(b for _, b in change.shares.values()) == pytest.approx(1.0)


def test_photos_from_elsewhere_and_new_products_are_seen() -> None:
    drift = compare_queries(searches(400, 1), searches(400, 2, shift=-0.2, unknown=0.6))
    assert {c.name: c.level for c in drift.changes} | {"category": ""} == {
        "verdict": "large",
        "score": "large",
        "nearest": "large",
        "category": "",
    }
    verdict = drift.changes[0].shares
    assert verdict["unknown"][1] > 0.5 > 0.2 > verdict["unknown"][0]


def test_other_categories_are_seen_and_rare_ones_are_one_bin() -> None:
    before = [q for i in range(30) for q in searches(10, i, category=f"c{i:02}")]
    now = searches(300, 99, category="new")
    change = compare_queries(before, now).changes[3]
    assert change.level == "large"
    assert len(change.shares) == MOST_CATEGORIES + 1
    assert change.shares["new"] == (0.0, 1.0)
    assert change.shares[OTHER][0] > 0.3
    assert NOTHING in compare_queries(searches(60, 1), searches(60, 2)).changes[3].shares


def test_too_few_searches_are_not_compared_and_missing_values_leave_their_property_out() -> None:
    few = compare_queries(searches(400, 1), searches(LEAST_QUERIES - 1, 2))
    assert (few.before, few.now, few.changes, few.worst) == (400, LEAST_QUERIES - 1, (), "none")
    old = [QueryFact(q.verdict, q.score, None, None) for q in searches(100, 1)]
    assert [c.name for c in compare_queries(old, searches(100, 2)).changes] == ["verdict", "score", "category"]


def test_equal_scores_make_one_bin() -> None:
    same = [QueryFact("known", 1.0, 1.0, None)] * 60
    drift = compare_queries(same, same)
    assert [change.psi for change in drift.changes] == [0.0] * 4
