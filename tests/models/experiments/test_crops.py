"""A second look, compared in pairs: on photos made so that the right figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.experiments.crops import BOXES, CHOSEN, LookedTwice, compare_ways
from models.values import Area, Candidate, Float32, Ranking, VerdictName

HALF = Area(0.25, 0.25, 0.5, 0.5)
BOX = "energy 0.7"


def direction(number: int) -> Float32:
    """A bottleneck that ``judge`` names by its number."""
    vector = np.zeros(2048, np.float32)
    vector[number] = 1.0
    return vector


def judge(vector: Float32) -> tuple[Ranking, VerdictName]:
    """Names the largest value, as sure of it as it is large; sure enough from 0.9 on."""
    order = np.argsort(-vector, kind="stable")[:5]
    ranking = Ranking(tuple(Candidate(f"label-{i}", float(vector[i]), {}) for i in order))
    return ranking, VerdictName.KNOWN if vector.max() >= 0.9 else VerdictName.UNSURE


def photo(truth: int | None, whole: Float32, part: Float32 | None) -> LookedTwice:
    """A photo and its second look."""
    label = None if truth is None else f"label-{truth}"
    there = {} if part is None else {BOX: part}
    return LookedTwice(label, whole, judge, there, dict.fromkeys(there, HALF))


@pytest.fixture
def photos() -> list[LookedTwice]:
    """Mended by a sure second look; spoilt by an unsure one; without a suggestion; foreign, and taken for known."""
    return [
        photo(1, 0.6 * direction(2) + 0.5 * direction(1), direction(1)),
        photo(3, 0.6 * direction(3) + 0.1 * direction(9), 0.4 * direction(4)),
        photo(5, 0.6 * direction(5), None),
        photo(None, 0.5 * direction(6), direction(7)),
    ]


def test_each_merge_counts_what_it_mends_and_what_it_spoils(photos: list[LookedTwice]) -> None:
    rows = {row["merge"]: row for row in compare_ways(photos, [BOX], 10)}
    told = {merge: (row["mended"], row["spoilt"]) for merge, row in rows.items()}
    assert told == {"crop": (1, 1), "both": (1, 0), "surer": (1, 0)}
    surer = rows["surer"]
    assert (surer["photos"], surer["suggested"], surer["mean_area"]) == (3, 2, 0.25)
    assert surer["top1_before"] == pytest.approx(2 / 3) and surer["top1_after"] == 1.0
    assert surer["gain"] == pytest.approx(1 / 3) and surer["gain_of_all"] == pytest.approx(0.1)
    low, high = surer["interval_95"]
    assert low < 1 / 3 < high
    assert surer["verdicts"] == {"known": 1, "unsure": 2, "unknown": 0} and surer["wrong_known"] == 0
    assert surer["foreign"] == {"photos": 1, "accepted": 1}


def test_known_and_wrong_is_counted() -> None:
    [row] = [r for r in compare_ways([photo(1, 0.6 * direction(1), direction(2))], [BOX], 1) if r["merge"] == "crop"]
    assert row["wrong_known"] == 1 and row["spoilt"] == 1


def test_without_an_unsure_photo_there_are_no_figures_and_no_failure() -> None:
    for row in compare_ways([], list(BOXES), 0):
        assert row["photos"] == 0 and np.isnan(row["gain"]) and row["mean_area"] is None


def test_the_middle_is_in_the_middle_and_what_is_chosen_is_there() -> None:
    area = BOXES["middle 0.6"](np.zeros((8, 8, 2048), np.float32))
    assert area is not None
    assert (area.x, area.y, area.width, area.height) == pytest.approx((0.2, 0.2, 0.6, 0.6))
    assert set(CHOSEN) <= set(BOXES)
