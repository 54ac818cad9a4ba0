"""The depth experiment on the toy network: every depth at every share, measured on the same photos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import TrainingError, UsageError
from models.training.finetune.depth import DepthPlan, DepthTable, run_depth
from models.training.finetune.run import Workshop
from tests.models.finetune.world import QUICK, build_toy, toy_start, world

PLAN = DepthPlan(("last", "all"), (0.5, 1.0), replace(QUICK, epochs=1, seed=4), all_input_size=75)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> DepthTable:
    folder = tmp_path_factory.mktemp("depth")
    told: list[str] = []
    made = run_depth(*world(), toy_start(folder), folder / "run", PLAN, told.append, build_toy)
    assert sum(line.startswith("views through") for line in told) == 1  # the shares have one set of maps
    part = replace(PLAN, depths=("last",))
    repeated = run_depth(*world(), toy_start(folder), folder / "run", part, told.append, build_toy)
    assert sum(line == "going on after epoch 1" for line in told) == 2
    assert repeated.to_json()["rows"][1]["probe"] == made.to_json()["rows"][1]["probe"]
    assert {path.name for path in (folder / "run").iterdir()} == {"maps", "last-0.5", "last-1.0", "all-0.5", "all-1.0"}
    other = replace(part, settings=replace(PLAN.settings, learning_rate=0.1))
    with pytest.raises(TrainingError, match="give it the options that it began with, or remove"):
        run_depth(*world(), toy_start(folder), folder / "run", other, build=build_toy)
    Workshop.clean(folder / "run")
    assert not (folder / "run").exists()
    return made


def test_every_depth_and_share_has_a_row_after_none(table: DepthTable) -> None:
    assert [(row.depth, row.share, row.photos) for row in table.rows] == [
        ("none", 0.5, 8),
        ("last", 0.5, 8),
        ("all", 0.5, 8),
        ("none", 1.0, 16),
        ("last", 1.0, 16),
        ("all", 1.0, 16),
    ]
    assert [row.epochs for row in table.rows] == [0, 1, 1, 0, 1, 1]
    assert (table.judged, table.scenes, table.labels, table.start) == (8, 8, 4, "toy")


def test_figures_and_differences_fit_together(table: DepthTable) -> None:
    found = json.loads(json.dumps(table.to_json(), allow_nan=False))
    for none, *trained in (found["rows"][:3], found["rows"][3:]):
        assert none["difference"] is None
        for row in trained:
            for name in ("probe", "knn"):
                for measure in ("top1", "top5", "macro_f1"):
                    gap = row["difference"][name][measure]
                    assert gap["mean"] == pytest.approx(row[name][measure] - none[name][measure])
                    assert gap["low"] <= gap["mean"] + 1e-9 and gap["mean"] <= gap["high"] + 1e-9


def test_the_table_for_people_has_a_line_a_row(table: DepthTable) -> None:
    lines = table.lines()
    assert len(lines) == 2 + len(table.rows)
    assert lines[0].startswith("start weights toy; 8 photos of 8 scenes, 4 labels")
    assert [line.split()[0] for line in lines[2:]] == ["none", "last", "all"] * 2


def test_a_plan_gives_the_whole_network_its_own_input_size() -> None:
    assert PLAN.of("all", 0.5).input_size == 75
    assert PLAN.of("last", 0.5).input_size == QUICK.input_size
    assert DepthPlan().of("last-two", 0.3).photos_share == 0.3


def test_a_plan_without_depths_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of each at least"):
        run_depth(*world(), toy_start(tmp_path), tmp_path, DepthPlan(depths=()), build=build_toy)
