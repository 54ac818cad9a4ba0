"""Confident learning on probabilities whose outcome is known by hand, and on flipped labels."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import UsageError
from models.training.care.confident import (
    confident_joint,
    confident_labels,
    find_suspects,
    normalised_margins,
    precision_at_recall,
    thresholds,
)
from models.training.care.likelihood import leave_one_out
from tests.models.care.world import flipped

GIVEN = np.array([0, 0, 0, 0, 1, 1, 1])
SURE = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9]])
"""Photo 3 looks like label 1. Thresholds: 0.625 for label 0; 0.7667 for label 1, which photos 3, 4 and 6 reach."""


def test_a_threshold_is_the_mean_of_the_labels_own_probabilities() -> None:
    assert thresholds(SURE, GIVEN) == pytest.approx([0.625, 0.76667], abs=1e-4)


def test_the_joint_counts_confident_photos_and_is_scaled_to_the_labels_sizes() -> None:
    assert confident_labels(SURE, GIVEN).tolist() == [0, 0, 0, 1, 1, 1, 1]
    joint = confident_joint(SURE, GIVEN)
    # Row 0: three of its four confident photos stay; row 1: photo 5 is counted nowhere, so its two stand for three.
    assert joint == pytest.approx(np.array([[3.0, 1.0], [0.0, 3.0]]) / 7.0)


def test_suspects_are_off_the_diagonal_with_the_label_they_look_like() -> None:
    found = find_suspects(SURE, GIVEN)
    assert found.rows.tolist() == [3]
    assert found.suggested.tolist() == [1]
    assert found.margins == pytest.approx([0.1])
    assert found.noise == pytest.approx(1 / 7)


def test_margins_lie_between_0_and_1_and_the_most_suspicious_come_first() -> None:
    assert normalised_margins(SURE, GIVEN) == pytest.approx([0.9, 0.8, 0.7, 0.1, 0.8, 0.6, 0.9])
    two_wrong = SURE.copy()
    two_wrong[4] = [0.95, 0.05]
    found = find_suspects(two_wrong, GIVEN)
    assert found.rows.tolist() == [4, 3]
    assert sorted(found.margins) == found.margins.tolist()


def test_equal_margins_go_by_row() -> None:
    same = SURE.copy()
    same[2] = same[3]
    assert find_suspects(same, GIVEN).rows.tolist() == [2, 3]


def test_a_low_threshold_of_another_label_is_no_reason_to_doubt_the_more_probable_given_one() -> None:
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.7, 0.3]])
    given = np.array([0, 0, 0, 1, 1, 1])
    assert thresholds(probabilities, given)[1] < 0.4
    assert thresholds(probabilities, given)[0] > 0.6
    assert 0 not in find_suspects(probabilities, given).rows


def test_labels_of_fewer_than_three_photos_neither_claim_others_nor_are_doubted() -> None:
    probabilities = np.array([[0.3, 0.1, 0.6], [0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.7, 0.2, 0.1]])
    given = np.array([0, 0, 0, 2, 2])
    assert np.isinf(thresholds(probabilities, given)[1:]).all()
    assert find_suspects(probabilities, given).rows.tolist() == []


def test_flipped_labels_are_found_and_told_from_right_ones() -> None:
    world = flipped(0.2)
    probabilities = leave_one_out(world.photos.originals, world.codes, 10)
    found = find_suspects(probabilities, world.codes)
    assert world.wrong[found.rows].mean() > 0.9
    assert world.wrong[found.rows].sum() > 0.6 * world.wrong.sum()
    right = [f"label {s}" == world.truth[row] for row, s in zip(found.rows, found.suggested, strict=True)]
    assert np.mean(right) > 0.75
    assert found.noise == pytest.approx(0.2, abs=0.1)
    order = np.argsort(normalised_margins(probabilities, world.codes), kind="stable")
    assert precision_at_recall(order, world.wrong) > 0.95


def test_right_labels_are_left_alone() -> None:
    world = flipped(0.0)
    found = find_suspects(leave_one_out(world.photos.originals, world.codes, 10), world.codes)
    assert len(found.rows) <= 2
    assert found.noise < 0.02


def test_precision_is_cut_at_the_photo_that_reaches_the_recall() -> None:
    wrong = np.array([True, False, True, True, False, True])
    order = np.arange(6)
    assert precision_at_recall(order, wrong, 0.5) == pytest.approx(2 / 3)
    assert precision_at_recall(order, wrong, 1.0) == pytest.approx(4 / 6)
    assert np.isnan(precision_at_recall(order, np.zeros(6, bool)))


def test_no_photo_no_suspect_and_what_cannot_be_probabilities_is_refused() -> None:
    assert find_suspects(np.zeros((0, 3)), np.zeros(0, np.intp)).rows.tolist() == []
    with pytest.raises(UsageError, match=r"\(7, 2\) and 6"):
        find_suspects(SURE, GIVEN[:6])
    with pytest.raises(UsageError, match="finite"):
        find_suspects(np.full((7, 2), np.nan), GIVEN)
