"""Rows: seasons, codes, splits, and what a subset keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.errors import UsageError
from models.multimodal.seasons import season_of
from models.training.text.compare import odd_and_even_years, without_brands
from models.training.text.noise import flipped
from models.training.text.rows import UNKNOWN, category_words, codes_of, known_answers
from models.training.text.train import levels_of, paths_of, split_rows
from tests.models.text.world import catalogue


@pytest.mark.parametrize(
    ("month", "season"),
    [("2012-01", "Winter"), ("2012-02", "Winter"), ("2012-03", "Spring"), ("2012-06", "Summer"), ("2012-12", "Winter")],
)
def test_months_belong_to_seasons(month: str, season: str) -> None:
    assert season_of(int(month[5:])) == season
    assert replace(catalogue(1), months=(month,)).seasons() == (season,)


def test_a_shop_that_names_its_seasons_is_not_asked_about_months() -> None:
    rows = replace(catalogue(3), given_seasons=("SS24", None, "FW24"))
    assert rows.seasons() == ("SS24", None, "FW24")


def test_a_subset_keeps_each_row_with_its_picture() -> None:
    rows = catalogue(40)
    chosen = np.array([7, 3])
    some = rows.subset(chosen)
    assert some.skus == ("p7", "p3")
    assert (some.vectors(np.arange(2)) == rows.vectors(chosen)).all()
    assert not rows.vectors(np.flatnonzero(~rows.has_image)).any()


def test_rows_that_disagree_are_refused() -> None:
    with pytest.raises(UsageError, match="disagree"):
        replace(catalogue(8), names=("one",))


def test_answers_need_rows_enough_and_others_are_unknown() -> None:
    values = ["a", "b", "a", None]
    assert known_answers(values, 2) == ("a",)
    assert codes_of(values, ("a",)).tolist() == [0, UNKNOWN, 0, UNKNOWN]


def test_the_split_is_by_label_and_does_not_move() -> None:
    rows = replace(catalogue(400), labels=tuple(f"g{row // 4}" for row in range(400)))
    parts = split_rows(rows)
    places = {
        label: name for name in ("training", "validation", "test") for label in _labels(rows, getattr(parts, name))
    }
    assert len(places) == 100 and sum(map(len, (parts.training, parts.validation, parts.test))) == 400
    assert set(places.values()) == {"training", "validation", "test"}
    again = split_rows(rows.subset(np.arange(200)))
    assert set(again.test.tolist()) == {row for row in parts.test.tolist() if row < 200}


def _labels(rows: object, chosen: np.ndarray) -> set[str]:
    return {rows.labels[row] for row in chosen}  # type: ignore[attr-defined]


def test_odd_years_teach_and_even_ones_are_asked() -> None:
    rows = catalogue(300)
    parts = odd_and_even_years(rows)
    assert {rows.months[row][:4] for row in [*parts.training, *parts.validation]} == {"2011"}
    assert {rows.months[row][:4] for row in parts.test} == {"2010", "2012"}
    assert not set(parts.training) & set(parts.validation)


def test_brands_are_taken_out_of_names() -> None:
    rows = without_brands(catalogue(8))
    assert all(not name.startswith(brand.lower()) for name, brand in zip(rows.names, rows.brands, strict=True))


def test_flipping_changes_the_share_asked_for() -> None:
    rows = catalogue(200)
    changed = sum(a != b for a, b in zip(rows.types, flipped(rows, 0.4, 0).types, strict=True))
    assert changed == 80


def test_paths_and_levels_come_from_the_categories() -> None:
    rows = catalogue(8)
    assert paths_of(rows)["watch"] == "Goods > Watch"
    assert set(levels_of(rows)) == {"level 1"} and set(levels_of(rows)["level 1"]) == {"Goods"}
    assert category_words(rows).mask("Akko Watch A1234") == "akko a1234"
