"""What every ``models.classifiers.base.Classifier`` promises.

Subclass ``ClassifierContract`` and provide ``classifier``, fitted on ``WORLD``, and ``tied``, to which six labels
look alike. A classifier with a file of its own also inherits ``SavedClassifierContract``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.classifiers.base import Classifier
from models.errors import UsageError
from models.values import BOTTLENECK_SIZE, Float32, Prediction
from tests.contracts.neighbours import clustered, unit

WORLD = clustered(np.random.default_rng(21), labels=12, photos=6)
"""Vectors and labels that the classifier under test was fitted on: 12 labels of six photos."""

LABELS = tuple(sorted(set(WORLD[1])))
TIED = ("Z", "a", "b", "c", "é", "가")
"""The labels of ``tied``, in code point order."""

SAME = 1e-4
"""Difference of scores that float32 sums in another order may make; cosines and margins are of size 1."""


def queries(count: int = 8) -> Float32:
    """Photos near known ones, of different labels."""
    rng = np.random.default_rng(22)
    picked = WORLD[0][rng.permutation(len(WORLD[0]))[:count]]
    return unit(picked + 0.004 * rng.gamma(0.5, size=picked.shape))


def names(prediction: Prediction) -> list[str]:
    """The labels, best first."""
    return [scored.label for scored in prediction.ranked]


def assert_same(found: list[Prediction], expected: list[Prediction]) -> None:
    """The same labels in the same order, with the same scores up to rounding."""
    assert [names(p) for p in found] == [names(p) for p in expected]
    for one, other in zip(found, expected, strict=True):
        assert [s.score for s in one.ranked] == pytest.approx([s.score for s in other.ranked], abs=SAME)


class ClassifierContract:
    """The suite of the role."""

    @pytest.fixture
    def classifier(self) -> Classifier:
        raise NotImplementedError

    @pytest.fixture
    def tied(self) -> Classifier:
        raise NotImplementedError

    def test_a_photo_it_was_shown_gets_its_own_label_first(self, classifier: Classifier) -> None:
        vectors, labels = WORLD
        right = [names(p)[0] == label for p, label in zip(classifier.predict(vectors), labels, strict=True)]
        assert np.mean(right) > 0.95

    @pytest.mark.parametrize("k", [1, 5, 12, 40])
    def test_exactly_k_distinct_labels_best_first_or_all_there_are(self, classifier: Classifier, k: int) -> None:
        for prediction in classifier.predict(queries(), k=k):
            assert prediction.classifier == classifier.name
            assert len(names(prediction)) == len(set(names(prediction))) == min(k, len(LABELS))
            scores = [scored.score for scored in prediction.ranked]
            assert scores == sorted(scores, reverse=True)

    def test_it_knows_every_label_it_names(self, classifier: Classifier) -> None:
        prediction = classifier.predict(queries(1), k=12)[0]
        assert all(prediction.knows(label) for label in LABELS)

    def test_a_subset_gives_the_same_answers_as_the_whole(self, classifier: Classifier) -> None:
        photos = queries()
        together = classifier.predict(photos)
        assert_same([classifier.predict(photo[None, :])[0] for photo in photos], together)
        assert_same(classifier.predict(photos[[5, 1, 3]]), [together[i] for i in (5, 1, 3)])

    def test_the_same_call_gives_the_same_answer(self, classifier: Classifier) -> None:
        assert classifier.predict(queries()) == classifier.predict(queries())

    def test_the_input_is_left_untouched_and_may_be_read_only(self, classifier: Classifier) -> None:
        photos = queries()
        before = photos.copy()
        photos.setflags(write=False)
        classifier.predict(photos, frozenset(LABELS[:3]))
        assert np.array_equal(photos, before)

    @pytest.mark.parametrize("wrong", [np.nan, np.inf])
    def test_nan_and_infinity_are_refused(self, classifier: Classifier, wrong: float) -> None:
        photos = queries()
        photos[3, 7] = wrong
        with pytest.raises(UsageError, match="NaN or infinity"):
            classifier.predict(photos)

    def test_other_shapes_and_k_below_1_are_refused(self, classifier: Classifier) -> None:
        photos = queries()
        for shape in (photos[0], photos[:, :100], photos[None]):
            with pytest.raises(UsageError, match="2048"):
                classifier.predict(shape)
        with pytest.raises(UsageError, match="k must be at least 1"):
            classifier.predict(photos, k=0)

    def test_no_photos_no_predictions(self, classifier: Classifier) -> None:
        assert classifier.predict(np.zeros((0, BOTTLENECK_SIZE), np.float32)) == []

    def test_narrowing_happens_before_the_top_5_so_that_five_remain(self, classifier: Classifier) -> None:
        """The category is the five labels the classifier likes least: none of them is in its own top five."""
        for photo, everything in zip(queries(), classifier.predict(queries(), k=12), strict=True):
            last = names(everything)[-5:]
            narrowed = classifier.predict(photo[None, :], frozenset(last))[0]
            assert names(narrowed) == last

    def test_a_category_smaller_than_k_gives_all_it_has_and_ignores_strangers(self, classifier: Classifier) -> None:
        within = frozenset({LABELS[2], LABELS[9], "nobody"})
        for prediction in classifier.predict(queries(), within):
            assert set(names(prediction)) == {LABELS[2], LABELS[9]}

    def test_an_empty_category_names_none(self, classifier: Classifier) -> None:
        photos = queries()
        for prediction in classifier.predict(photos, frozenset()):
            assert prediction.ranked == ()
        assert len(classifier.predict(photos, frozenset())) == len(photos)

    def test_ties_are_ordered_by_label(self, tied: Classifier) -> None:
        photo = queries(1)
        assert names(tied.predict(photo, k=6)[0]) == list(TIED)
        assert names(tied.predict(photo, k=2)[0]) == list(TIED[:2])
        assert names(tied.predict(photo, frozenset("éca"), k=2)[0]) == ["a", "c"]


class SavedClassifierContract:
    """For classifiers that are saved to a file."""

    @pytest.fixture
    def reload(self, tmp_path: Path) -> Callable[[Classifier], Classifier]:
        raise NotImplementedError

    def test_saved_and_loaded_it_predicts_exactly_alike(
        self, classifier: Classifier, tied: Classifier, reload: Callable[[Classifier], Classifier]
    ) -> None:
        loaded = reload(classifier)
        assert loaded.name == classifier.name
        assert loaded.predict(queries(), k=12) == classifier.predict(queries(), k=12)
        assert reload(tied).predict(queries(1), k=6) == tied.predict(queries(1), k=6)
