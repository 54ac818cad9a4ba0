"""Whether a newer text model may replace the one in use: pairs, and what speaks against it."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.replacing import LEAST_ASKED, against, paired


def table(before: int, after: int, asked: int = 1000) -> dict[str, object]:
    """``before`` and ``after`` right answers; those that both have are the same ones."""
    rows = np.arange(asked)
    return paired((rows < before).astype(int), (rows < after).astype(int), [str(row) for row in rows])


def test_a_comparison_tells_shares_and_an_interval() -> None:
    found = table(800, 810)
    assert (found["asked"], found["champion"], found["challenger"]) == (1000, 0.8, 0.81)
    assert found["difference"] == pytest.approx(0.01)
    assert found["low"] < 0.01 < found["high"]
    assert found["p_worse"] == 1.0


@pytest.mark.parametrize(("after", "refused"), [(800, False), (797, False), (790, True), (700, True), (900, False)])
def test_losses_beyond_chance_speak_against_the_newer(after: int, refused: bool) -> None:
    assert bool(against({"types": table(800, after)}, 0.02)) is refused


def test_a_drop_beyond_the_bound_speaks_against_the_newer_though_it_may_be_chance() -> None:
    before = np.array([1] * 20 + [0] * 17 + [1] * 63)
    after = np.array([0] * 20 + [1] * 17 + [1] * 63)
    found = {"types": paired(before, after, list(range(100)))}
    assert found["types"]["p_worse"] > 0.3
    assert "larger than the bound of 2.0 points" in against(found, 0.02)[0] and against(found, 0.05) == []


def test_questions_of_one_unit_stand_or_fall_together() -> None:
    before, after = np.ones(60, int), np.array([0] * 10 + [1] * 50)
    apart = paired(before, after, list(range(60)))
    together = paired(before, after, ["one"] * 10 + list(range(50)))
    assert apart["p_worse"] < 0.01 and together["p_worse"] == 0.5


def test_several_tries_a_question_count_each() -> None:
    found = paired(np.array([10, 5]), np.array([10, 7]), ["red shirt", "blue shirt"], tries=10)
    assert (found["asked"], found["champion"], found["challenger"]) == (20, 0.75, 0.85)


def test_where_little_is_asked_nothing_is_told() -> None:
    few = table(LEAST_ASKED - 1, 0, LEAST_ASKED - 1)
    assert against({"types": few}, 0.0) == []
    nothing = paired(np.zeros(0, int), np.zeros(0, int), [])
    assert nothing["asked"] == 0 and nothing["champion"] is None and against({"types": nothing}, 0.0) == []
