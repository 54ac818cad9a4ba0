"""Heat maps against differences worked out by changing one cell at a time; words against a model that counts them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from models.backbone.preprocessing import normalise
from models.classifiers.fcn import FcnClassifier
from models.classifiers.svm import SvmClassifier
from models.errors import UsageError
from models.explain import AREA, attention, deletion_order, direction_of, heat_map, word_shares
from models.training.reports.heat import HeatPictures, overlaid
from models.values import BOTTLENECK_SIZE, INPUT_SIZE, Area, Float32, HeatMap
from tests.contracts.fake_backbone import FakeBackbone


@pytest.fixture(scope="module")
def feature_map() -> Float32:
    """Sparse, as after a ReLU; a tenth of the values are 0 in every cell."""
    rng = np.random.default_rng(5)
    values = np.maximum(rng.normal(size=(8, 8, BOTTLENECK_SIZE)) - 0.5, 0.0)
    values[:, :, : BOTTLENECK_SIZE // 10] = 0.0
    return values.astype(np.float32)


@pytest.fixture(scope="module")
def models() -> tuple[FcnClassifier, SvmClassifier]:
    rng = np.random.default_rng(6)
    weight = rng.normal(size=(BOTTLENECK_SIZE, 4)).astype(np.float32)
    labels = ["a", "b", "c", "d"]
    return FcnClassifier(weight, np.zeros(4, np.float32), labels), SvmClassifier(weight, np.ones(4, np.float32), labels)


def vector_of(feature_map: Float32) -> Float32:
    return normalise(feature_map.mean(axis=(0, 1))[None, :])[0]


def test_a_cells_share_is_how_the_score_changes_when_the_cell_grows(feature_map: Float32) -> None:
    direction = np.random.default_rng(1).normal(size=BOTTLENECK_SIZE).astype(np.float32)
    shares = attention(feature_map, direction)
    step = 1e-3
    for row, column in ((0, 0), (3, 6), (7, 7)):
        scores = []
        for sign in (-1.0, 1.0):
            changed = feature_map.astype(np.float64)
            changed[row, column] *= 1.0 + sign * step
            root = np.sqrt(changed.mean(axis=(0, 1)))
            scores.append(float(direction @ (root / np.linalg.norm(root))))
        assert shares[row, column] == pytest.approx((scores[1] - scores[0]) / (2 * step), rel=1e-4, abs=1e-7)


def test_shares_add_up_to_nothing_as_brightness_alone_says_nothing(feature_map: Float32) -> None:
    direction = np.random.default_rng(2).normal(size=BOTTLENECK_SIZE).astype(np.float32)
    shares = attention(feature_map, direction)
    assert abs(shares.sum()) < 1e-9 < np.abs(shares).max()
    assert attention(7.0 * feature_map, direction) == pytest.approx(shares, rel=1e-5)


def test_a_map_of_zeros_has_no_heat() -> None:
    nothing = np.zeros((8, 8, BOTTLENECK_SIZE), np.float32)
    found = heat_map(nothing, np.ones(BOTTLENECK_SIZE, np.float32), "fcn")
    assert not found.values.any() and found.peak == pytest.approx((37.5 / 299, 37.5 / 299))


def test_heat_is_between_0_and_1_and_hottest_where_the_evidence_is() -> None:
    values = np.full((8, 8, BOTTLENECK_SIZE), 0.1, np.float32)
    values[2, 5, :100] = 3.0
    direction = np.zeros(BOTTLENECK_SIZE, np.float32)
    direction[:100] = 1.0
    found = heat_map(values, direction, "svm")
    assert found.values.dtype == np.float32 and found.values.shape == (8, 8)
    assert found.values.min() == 0.0 and found.values.max() == found.values[2, 5] == 1.0
    assert found.peak == pytest.approx(((37.5 + 5 * 32) / 299, (37.5 + 2 * 32) / 299))
    assert found.classifier == "svm"


def test_the_cells_cover_the_input_but_for_equal_edges() -> None:
    assert pytest.approx(21.5 / INPUT_SIZE) == AREA.x == AREA.y
    assert AREA.x * 2 + AREA.width == pytest.approx(1.0)
    assert AREA.width * INPUT_SIZE == pytest.approx(8 * 32)


def test_an_area_within_a_crop_is_told_in_the_whole_photo() -> None:
    inner = Area(0.5, 0.25, 0.5, 0.5).within(Area(0.2, 0.4, 0.5, 0.4))
    assert (inner.x, inner.y, inner.width, inner.height) == pytest.approx((0.45, 0.5, 0.25, 0.2))


def test_the_first_of_equal_cells_is_the_peak() -> None:
    assert HeatMap(np.ones((8, 8), np.float32), Area(0, 0, 1, 1), "fcn").peak == (1 / 16, 1 / 16)


def test_the_fcns_direction_is_the_gradient_of_its_log_probability(
    models: tuple[FcnClassifier, SvmClassifier], feature_map: Float32
) -> None:
    fcn, vector = models[0], vector_of(feature_map)
    direction = direction_of(fcn, "b", vector)

    def log_probability(at: np.ndarray) -> float:
        logits = at @ fcn.weight.astype(np.float64) + fcn.bias
        return float(logits[1] - np.log(np.exp(logits).sum()))

    for place in (0, 700, 2047):
        step = np.zeros(BOTTLENECK_SIZE)
        step[place] = 1e-4
        slope = (log_probability(vector + step) - log_probability(vector - step)) / 2e-4
        assert direction[place] == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_the_svms_direction_is_its_weights_and_a_copy(models: tuple[FcnClassifier, SvmClassifier]) -> None:
    svm = models[1]
    direction = direction_of(svm, "d", np.zeros(BOTTLENECK_SIZE, np.float32))
    assert np.array_equal(direction, svm.weight[:, 3])
    direction[:] = 0.0
    assert svm.weight[:, 3].any()


def test_a_label_that_a_classifier_does_not_know_is_refused(models: tuple[FcnClassifier, SvmClassifier]) -> None:
    with pytest.raises(UsageError, match="'z'"):
        direction_of(models[1], "z", np.zeros(BOTTLENECK_SIZE, np.float32))


def test_what_is_no_map_is_refused(feature_map: Float32) -> None:
    direction = np.ones(BOTTLENECK_SIZE, np.float32)
    with pytest.raises(UsageError, match="expected"):
        attention(feature_map[0], direction)
    with pytest.raises(UsageError, match="expected"):
        attention(feature_map, direction[:10])
    with pytest.raises(UsageError, match="NaN"):
        attention(feature_map, np.where(np.arange(BOTTLENECK_SIZE) == 3, np.nan, direction).astype(np.float32))


VALUES = {"Red": 0.5, "Shirt": 2.0, "for": -0.25}


def count_words(texts):
    """A model that adds up what it thinks of words."""
    return np.array([sum(VALUES.get(word, 0.0) for word in text.split()) for text in texts])


def test_a_words_share_is_what_the_score_loses_without_it() -> None:
    found = word_shares("Red Shirt for Men", count_words)
    assert [(one.word, one.share) for one in found] == [("Red", 0.5), ("Shirt", 2.0), ("for", -0.25), ("Men", 0.0)]
    assert deletion_order(found) == [1, 0, 3, 2]


def test_a_repeated_word_has_a_share_for_each_place_and_ties_keep_their_order() -> None:
    found = word_shares("Shirt Red Shirt", lambda texts: np.array([float("Shirt" in text) for text in texts]))
    assert [one.share for one in found] == [0.0, 0.0, 0.0]
    assert deletion_order(found) == [0, 1, 2]


def test_an_empty_name_has_no_words_and_asks_nothing() -> None:
    def never(texts):
        raise AssertionError("nobody asks")

    assert word_shares("  ", never) == ()


def test_scores_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="3 texts"):
        word_shares("a b", lambda texts: np.zeros(2))
    with pytest.raises(UsageError, match="finite"):
        word_shares("a b", lambda texts: np.full(3, np.nan))


def test_a_hot_cell_is_reddened_where_it_lies_and_nothing_else() -> None:
    values = np.zeros((8, 8), np.float32)
    values[6, 1] = 1.0
    grey = np.full((300, 400, 3), 128, np.uint8)
    picture = np.asarray(overlaid(grey, HeatMap(values, AREA, "fcn"), 200))
    assert picture.shape == (150, 200, 3)
    red = picture[:, :, 0].astype(int) - picture[:, :, 1]
    row, column = np.unravel_index(red.argmax(), red.shape)
    assert (row / 150, column / 200) == pytest.approx(((37.5 + 6 * 32) / 299, (37.5 + 32) / 299), abs=0.03)
    assert red.max() > 60 and not red[:75].any() and not red[:, 100:].any()
    assert (grey == 128).all()


def test_a_report_shows_heat_where_the_photo_can_be_read_and_the_label_is_known(
    models: tuple[FcnClassifier, SvmClassifier],
) -> None:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (320, 320, 3), dtype=np.uint8)).save(out, "PNG")
    photos = {"good": out.getvalue(), "bad": b"no photo"}
    heat = HeatPictures(photos.__getitem__, FakeBackbone(), models[0], 100)
    assert heat("good", "a").startswith("data:image/jpeg;base64,")
    assert heat("good", "z") == "" and heat("bad", "a") == ""
