"""The fusion embedding's forward pass, and its training with TensorFlow once on a small world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import BundleDamaged, NotEnoughData, UsageError
from models.multimodal.modalities import Dense, Encoder, FusionEmbedding, Metric, class_means
from models.training.fit.modalities import ModalityItems, ModalitySettings, fit_modalities
from models.values import Float32

LENGTHS = {"name": 5, "image": 3}


def dense(rng: np.random.Generator, inputs: int, outputs: int) -> Dense:
    return Dense(rng.normal(size=(inputs, outputs)).astype(np.float32), rng.normal(size=outputs).astype(np.float32))


def drawn(metric: Metric = "cosine", seed: int = 0) -> FusionEmbedding:
    """An embedding with random weights."""
    rng = np.random.default_rng(seed)
    encoders = {
        name: Encoder(
            rng.normal(size=length).astype(np.float32),
            rng.uniform(0.5, 2.0, length).astype(np.float32),
            (dense(rng, length, 6), dense(rng, 6, 6), dense(rng, 6, 4)),
        )
        for name, length in LENGTHS.items()
    }
    return FusionEmbedding(encoders, (dense(rng, 2 * 4 + 2, 7), dense(rng, 7, 8)), metric)


def items(count: int, seed: int = 1) -> dict[str, Float32]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(count, length)).astype(np.float32) for name, length in LENGTHS.items()}


@pytest.mark.parametrize("names", [("name",), ("image",), ("name", "image")])
def test_any_subset_is_embedded(names: tuple[str, ...]) -> None:
    values = items(4)
    embedded = drawn().embed({name: values[name] for name in names})
    assert embedded.shape == (4, 8) and embedded.dtype == np.float32
    assert np.linalg.norm(embedded, axis=1) == pytest.approx(np.ones(4), abs=1e-5)


def test_the_forward_pass_is_what_the_module_says() -> None:
    model, values = drawn("euclidean"), items(1)
    encoded = []
    for name in LENGTHS:
        encoder = model._encoders[name]
        out = (values[name][0] - encoder.mean) / encoder.scale
        for layer in encoder.layers:
            out = np.maximum(out @ layer.weight + layer.bias, 0.0)
        encoded.append(out)
    first, second = model._fusion
    for flags in ((1.0, 1.0), (1.0, 0.0)):
        joined = np.concatenate([encoded[0] * flags[0], encoded[1] * flags[1], flags])
        expected = np.maximum(joined @ first.weight + first.bias, 0.0) @ second.weight + second.bias
        present = {"image": np.array([flags[1] > 0])}
        assert model.embed(values, present)[0] == pytest.approx(expected, rel=1e-4)


def test_a_missing_modality_is_the_same_however_it_is_said_and_is_not_looked_at() -> None:
    model, values = drawn(), items(3)
    alone = model.embed({"name": values["name"]})
    hidden = {"name": values["name"], "image": np.full_like(values["image"], np.nan)}
    assert np.array_equal(alone, model.embed(hidden, {"image": np.zeros(3, bool)}))
    assert not np.allclose(alone, model.embed(values))


def test_a_row_depends_on_its_own_item_and_the_input_stays() -> None:
    model, values = drawn(), items(5)
    before = {name: own.copy() for name, own in values.items()}
    present = {"image": np.array([True, False, True, False, True])}
    together = model.embed(values, present)
    for row in range(5):
        one = {name: own[row : row + 1] for name, own in values.items()}
        alone = model.embed(one, {"image": present["image"][row : row + 1]})
        assert alone[0] == pytest.approx(together[row], abs=1e-6)
    assert all(np.array_equal(values[name], before[name]) for name in values)


def test_no_items_have_no_embeddings() -> None:
    assert drawn().embed(items(0)).shape == (0, 8)


def test_distances_are_the_scaled_cosine_or_euclids() -> None:
    cosine, euclidean = drawn(), drawn("euclidean")
    values = items(6)
    unit, plain = cosine.embed(values), euclidean.embed(values)
    assert cosine.distances(unit[:2], unit) == pytest.approx(1 - (1 + unit[:2] @ unit.T) / 2, abs=1e-6)
    assert np.diag(cosine.distances(unit, unit)) == pytest.approx(np.zeros(6), abs=1e-6)
    expected = np.linalg.norm(plain[:2, None] - plain[None], axis=2)
    assert euclidean.distances(plain[:2], plain) == pytest.approx(expected, rel=1e-3, abs=1e-2)


def test_class_means_are_in_class_order_and_of_unit_length_for_the_cosine() -> None:
    vectors = np.array([[1, 0], [0, 2], [3, 0], [0, 4]], np.float32)
    means, classes = class_means(vectors, np.array([7, 2, 7, 2]), "euclidean")
    assert classes.tolist() == [2, 7] and means.tolist() == [[0, 3], [2, 0]]
    assert class_means(vectors, np.array([7, 2, 7, 2]), "cosine")[0].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_what_was_saved_embeds_exactly_alike(metric: Metric, tmp_path: Path) -> None:
    model, values = drawn(metric), items(4)
    model.save(tmp_path / "fusion.npz")
    loaded = FusionEmbedding.load(tmp_path / "fusion.npz")
    assert loaded.metric == metric and loaded.modalities == ("name", "image") and loaded.size == 8
    assert np.array_equal(model.embed(values), loaded.embed(values))


def test_what_is_no_saved_embedding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fusion.npz"
    with pytest.raises(BundleDamaged, match="train again"):
        FusionEmbedding.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(BundleDamaged, match="train again"):
        FusionEmbedding.load(path)
    drawn().save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(BundleDamaged, match="train again"):
        FusionEmbedding.load(path)


def test_wrong_items_are_named() -> None:
    model, values = drawn(), items(3)
    with pytest.raises(UsageError, match="at least one of name, image"):
        model.embed({})
    with pytest.raises(UsageError, match="'sound'"):
        model.embed({"sound": values["name"]})
    with pytest.raises(UsageError, match=r"expected \(n, 5\)"):
        model.embed({"name": values["image"]})
    with pytest.raises(UsageError, match="same items"):
        model.embed({"name": values["name"], "image": values["image"][:2]})
    with pytest.raises(UsageError, match="item 1 has no modality"):
        model.embed({"name": values["name"]}, {"name": np.array([True, False, True])})
    with pytest.raises(UsageError, match="NaN"):
        model.embed({"name": np.full((1, 5), np.nan, np.float32)})


def test_layers_that_do_not_fit_are_refused() -> None:
    model = drawn()
    with pytest.raises(UsageError, match="at least one modality"):
        FusionEmbedding({}, model._fusion)
    with pytest.raises(UsageError, match="fusion"):
        FusionEmbedding({"name": model._encoders["name"]}, model._fusion)
    with pytest.raises(UsageError, match="metric"):
        FusionEmbedding(model._encoders, model._fusion, "manhattan")  # type: ignore[arg-type]


def world(seed: int) -> ModalityItems:
    """Four labels in two modalities; neither tells all of them apart, both together do. A third lacks an image."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 30)
    centres = {
        "name": np.repeat(rng.normal(size=(2, 5)), 2, axis=0) * 3,
        "image": np.tile(rng.normal(size=(2, 3)), (2, 1)) * 3,
    }
    inputs = {
        name: (own[labels] + 0.3 * rng.normal(size=(len(labels), own.shape[1]))).astype(np.float32)
        for name, own in centres.items()
    }
    there = rng.uniform(size=len(labels)) > 1 / 3
    inputs["image"][~there] = np.nan
    return ModalityItems(inputs, labels, {"image": there})


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_training_brings_alike_items_together_in_every_subset(metric: Metric) -> None:
    learned = world(0)
    settings = ModalitySettings(
        metric, width=16, size=8, steps=120, labels_a_step=4, items_a_label=4, learning_rate=0.01
    )
    model = fit_modalities(learned, settings)
    there = learned.present["image"]
    both = model.embed({name: own[there] for name, own in learned.inputs.items()})
    means, _ = class_means(both, learned.labels[there], metric)
    assert (model.distances(both, means).argmin(axis=1) == learned.labels[there]).mean() > 0.95
    named = model.embed({"name": learned.inputs["name"]})
    means, _ = class_means(named, learned.labels // 2, metric)
    assert (model.distances(named, means).argmin(axis=1) == learned.labels // 2).mean() > 0.95
    if metric == "cosine":
        again = fit_modalities(learned, settings).embed({"name": learned.inputs["name"]})
        assert again == pytest.approx(named, abs=1e-4)


def test_too_little_to_learn_from_is_said() -> None:
    given = world(0)
    with pytest.raises(NotEnoughData, match="two different"):
        fit_modalities(ModalityItems(given.inputs, np.zeros(120, np.intp), given.present))
    with pytest.raises(NotEnoughData, match="no item has image"):
        fit_modalities(ModalityItems(given.inputs, given.labels, {"image": np.zeros(120, bool)}))
    with pytest.raises(UsageError, match="image holds NaN"):
        fit_modalities(ModalityItems(given.inputs, given.labels, {}))
    with pytest.raises(UsageError, match=r"expected \(120, m\)"):
        fit_modalities(ModalityItems({"name": given.inputs["name"][:5]}, given.labels, {}))
