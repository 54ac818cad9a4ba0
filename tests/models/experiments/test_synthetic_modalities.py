"""The drawn world, the search by members, and how the table is put together; the network is drawn, not trained."""

from __future__ import annotations

import numpy as np
import pytest

from app.cli.modality_tables import modality_lines
from models.errors import UsageError
from models.multimodal.modalities import Encoder, FusionEmbedding
from models.training.experiments import synthetic_modalities as experiment
from models.training.experiments.synthetic_modalities import PAPER, SUBSETS, Run, SyntheticPlan, synthetic_modalities
from models.training.experiments.synthetic_search import (
    RANGES,
    Gallery,
    by_class_means,
    by_members,
    by_members_in_all,
)
from models.training.experiments.synthetic_world import CLASSES, LENGTHS, World
from models.training.fit.modalities import ModalityItems, ModalitySettings
from tests.models.test_modalities import dense, drawn


def test_a_world_is_the_same_by_its_seed_and_each_draw_is_new() -> None:
    first, again, other = World(3).draw(2), World(3).draw(2), World(4).draw(2)
    assert {name: values.shape for name, values in first.inputs.items()} == {
        name: (2 * CLASSES, length) for name, length in LENGTHS.items()
    }
    assert np.array_equal(first.inputs["1"], again.inputs["1"])
    assert not np.array_equal(first.inputs["1"], other.inputs["1"])
    world = World(3)
    assert not np.array_equal(world.draw(2).inputs["0"], world.draw(2).inputs["0"])


def test_items_have_their_classes_place_and_spread() -> None:
    world = World(0)
    items = world.draw(2000)
    for name, own in world.modalities.items():
        values = items.inputs[name].reshape(CLASSES, -1)
        assert values.mean(axis=1) == pytest.approx(own.places, abs=0.02)
        assert values.std(axis=1) == pytest.approx(own.spreads, abs=0.02)
        reach = np.abs(values - own.places[:, None]).max(axis=1) / np.maximum(own.spreads, 1e-9)
        assert (reach[~own.normal] <= np.sqrt(3) + 1e-3).all() and (reach[own.normal] > 2.5).all()
        assert 20 < own.normal.sum() < 80


def clear_gallery(classes: int = 100, members: int = 4) -> Gallery:
    """Classes a unit apart on a line, queries on their class's place, but that class 1's query lies on class 40."""
    labels = np.repeat(np.arange(classes), members)
    found = np.zeros((len(labels), 8), np.float32)
    found[:, 0] = labels
    asked = np.zeros((classes, 8), np.float32)
    asked[:, 0] = np.arange(classes)
    asked[1, 0] = 40
    return Gallery(drawn("euclidean"), asked, np.arange(classes), found, labels)


def test_search_names_the_nearest_class_within_each_range() -> None:
    rng = np.random.default_rng(0)
    for found in (*by_members(clear_gallery(), 3, rng).values(), by_class_means(clear_gallery())):
        assert {name: one.top1 for name, one in found.items()} == pytest.approx(
            {name: 1 - 1 / count for name, count in RANGES.items()}
        )
        assert found["all"].top5 == 0.99


def test_more_members_than_a_class_has_are_drawn_again() -> None:
    assert by_members(clear_gallery(), 2000, np.random.default_rng(0))["mean"]["all"].top1 == 0.99


def test_members_in_all_cannot_name_a_class_without_any() -> None:
    found = by_members_in_all(clear_gallery(), 5, np.random.default_rng(0))
    assert found["nearest"]["all"].top1 <= 0.05 and found["centroid"]["known"].top5 <= 5 / 30
    many = by_members_in_all(clear_gallery(), 5000, np.random.default_rng(0))
    assert many["nearest"]["all"].top1 == 0.99


def test_of_equally_distant_classes_the_first_is_named() -> None:
    gallery = clear_gallery()
    same = Gallery(
        gallery.embedding, gallery.queries * 0, gallery.query_labels, gallery.members * 0, gallery.member_labels
    )
    found = by_class_means(same)
    assert found["all"].top1 == 0.01 and found["all"].top5 == 0.05


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> list[ModalitySettings]:
    """Every network is drawn at random, every class has a few items; gives the settings of what would be trained."""
    fitted: list[ModalitySettings] = []

    def draw(items: ModalityItems, settings: ModalitySettings) -> FusionEmbedding:
        assert set(np.unique(items.labels)) == set(range(30))
        fitted.append(settings)
        rng = np.random.default_rng(settings.seed)
        encoders = {name: _encoder(rng, length) for name, length in LENGTHS.items()}
        fusion = (dense(rng, 3 * 5, 6), dense(rng, 6, 8))
        return FusionEmbedding(encoders, fusion, settings.metric)

    monkeypatch.setattr(experiment, "fit_modalities", draw)
    monkeypatch.setattr(experiment, "SIZES", {"ten_times": (6, 2), "within": (3, 1)})
    return fitted


def _encoder(rng: np.random.Generator, length: int) -> Encoder:
    layers = (dense(rng, length, 4), dense(rng, 4, 4), dense(rng, 4, 4))
    return Encoder(np.zeros(length, np.float32), np.ones(length, np.float32), layers)


def test_the_table_has_every_cell_of_the_seeds_with_its_figures(untrained: list[ModalitySettings]) -> None:
    result = synthetic_modalities(SyntheticPlan(seeds=2))
    assert len(untrained) == 8 and {one.seed for one in untrained} == {0, 1}
    cells = {(c["modalities"], c["k"], c["classes"], c["metric"]): c for c in result["cells"]}
    assert len(cells) == len(result["cells"]) == len(PAPER) * 3 * 2
    assert all(cell["paper"] is not None for cell in cells.values())
    assert cells["0,2", 200, "mixed", "cosine"]["paper"] == pytest.approx({"top1": 0.7124, "top5": 0.9565})
    assert cells["0,1,2", 2000, "all", "euclidean"]["paper"] == pytest.approx({"top1": 0.7282, "top5": 0.9321})
    one = cells["0,1,2", 5, "known", "cosine"]["top1"]
    assert one["low"] <= one["mean"] <= one["high"] and one["std"] >= 0
    assert {row["modalities"] for row in result["readings"]["91 + 9 items a class"]} == set(SUBSETS)
    assert all(row["k"] is None for row in result["readings"]["class means"])
    text = modality_lines(result)
    assert "known (0-29)" in text and "K in all, nearest" in text and "(97.6)" in text
    assert all(choice in text for choice in result["choices"])


def test_a_run_is_the_same_by_its_seed(untrained: list[ModalitySettings]) -> None:
    run = Run(1, "cosine", "within", ModalitySettings(seed=1))
    assert experiment.measure(run) == experiment.measure(run)


def test_nothing_to_run_is_refused() -> None:
    with pytest.raises(UsageError, match="seeds=0"):
        synthetic_modalities(SyntheticPlan(seeds=0))
