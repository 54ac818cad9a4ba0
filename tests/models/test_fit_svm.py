"""Fitting the SVM: the optimum is scikit-learn's, and C is chosen on the validation photos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from models.errors import NotEnoughData
from models.training.fit.svm import C_GRID, fit_svm, search_c
from models.values import Float32
from tests.models.synthetic import make_photos

Taught = tuple[Float32, list[str]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As ``train`` does: threads that wait for each other cost more than they save."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="module")
def taught() -> Taught:
    photos, _ = make_photos({f"label {i}": [2] * 6 for i in range(5)}, variants=1)
    return photos.augmented()


@pytest.mark.parametrize("c", [0.3, 3.0, 30.0])
def test_the_optimum_equals_scikit_learns_linear_svc(taught: Taught, c: float) -> None:
    """Squared hinge, one against the rest, on centred vectors, at the same C."""
    vectors, labels = taught
    centre = vectors.mean(axis=0)
    reference = LinearSVC(loss="squared_hinge", C=c, tol=1e-6, max_iter=200_000, random_state=0)
    reference.fit((vectors - centre).astype(np.float64), labels)
    ours = fit_svm(vectors, labels, c)
    assert ours.labels == tuple(reference.classes_)
    margins = vectors @ ours.weight + ours.bias
    expected = reference.decision_function((vectors - centre).astype(np.float64))
    assert np.abs(margins - expected).max() < 0.03
    assert (margins.argmax(axis=1) == expected.argmax(axis=1)).all()

    def objective(weight: np.ndarray, bias: np.ndarray, scores: np.ndarray) -> float:
        sign = np.where(np.array(labels)[:, None] == reference.classes_, 1.0, -1.0)
        return float(
            0.5 * (weight**2).sum() + 0.5 * (bias**2).sum() + c * (np.maximum(0, 1 - sign * scores) ** 2).sum()
        )

    found = objective(ours.weight, ours.bias + centre @ ours.weight, margins)
    assert found == pytest.approx(objective(reference.coef_, reference.intercept_, expected), rel=1e-3)


def test_two_labels_get_opposite_hyperplanes(taught: Taught) -> None:
    vectors, labels = taught
    chosen = [i for i, label in enumerate(labels) if label in ("label 0", "label 1")]
    model = fit_svm(vectors[chosen], [labels[i] for i in chosen], 3.0)
    assert np.abs(model.weight.sum(axis=1)).max() < 1e-2
    assert model.bias.sum() == pytest.approx(0.0, abs=1e-2)


def test_the_photos_are_left_untouched_and_the_same_call_gives_the_same_model(taught: Taught) -> None:
    vectors, labels = taught
    before = vectors.copy()
    first, second = fit_svm(vectors, labels, 3.0), fit_svm(vectors, labels, 3.0)
    assert np.array_equal(vectors, before)
    assert np.array_equal(first.weight, second.weight)
    assert np.array_equal(first.bias, second.bias)


@pytest.fixture(scope="module")
def noisy() -> tuple[Taught, Taught, Taught]:
    """Training photos of which a third are mislabelled; the same photos rightly labelled; others."""
    photos, _ = make_photos({f"label {i}": [1] * 40 for i in range(4)}, spread=1.6)
    rng = np.random.default_rng(1)
    teach, ask = np.arange(0, 160, 2), np.arange(1, 160, 2)
    wrong = [f"label {rng.integers(4)}" if rng.random() < 0.45 else photos.labels[i] for i in teach]
    return (
        (photos.originals[teach], wrong),
        (photos.originals[teach], [photos.labels[i] for i in teach]),
        (photos.originals[ask], [photos.labels[i] for i in ask]),
    )


def test_c_is_chosen_on_the_validation_photos(noisy: tuple[Taught, Taught, Taught]) -> None:
    """Asked what the mislabelled photos are called, a large C that learned them by heart is best; asked about
    other photos, a small one is."""
    taught, _, others = noisy
    by_heart, honest = search_c(taught, taught, (0.3, 30.0)), search_c(taught, others, (0.3, 30.0))
    assert by_heart.c == 30.0
    assert honest.c == 0.3


def test_the_grid_says_the_top_1_of_each_c_and_the_model_is_the_best_ones(
    noisy: tuple[Taught, Taught, Taught],
) -> None:
    taught, _, (vectors, labels) = noisy
    found = search_c(taught, (vectors, labels), (3.0, 0.03, 0.3))
    assert [c for c, _ in found.grid] == [0.03, 0.3, 3.0]
    assert dict(found.grid)[found.c] == max(top1 for _, top1 in found.grid)
    right = [p.ranked[0].label == label for p, label in zip(found.model.predict(vectors), labels, strict=True)]
    assert np.mean(right) == pytest.approx(dict(found.grid)[found.c])


def test_among_equals_the_smallest_c_wins(taught: Taught) -> None:
    found = search_c(taught, taught, (10.0, 1.0, 3.0))
    assert {top1 for _, top1 in found.grid} == {1.0}
    assert found.c == 1.0


def test_a_validation_label_that_was_not_taught_counts_as_wrong(taught: Taught) -> None:
    vectors, labels = taught
    half_strange = ["stranger" if i % 2 else label for i, label in enumerate(labels)]
    assert search_c(taught, (vectors, half_strange), (1.0,)).grid == ((1.0, 0.5),)


def test_too_little_data_is_said(taught: Taught) -> None:
    vectors, labels = taught
    with pytest.raises(NotEnoughData, match="two labels, got 1"):
        fit_svm(vectors[:3], ["a"] * 3, 1.0)
    with pytest.raises(NotEnoughData, match="got 0 and 5"):
        search_c(taught, (vectors[:0], []), C_GRID)
    with pytest.raises(NotEnoughData, match="and 0"):
        search_c(taught, (vectors, labels), ())
