"""FCN, k-NN and SVM under the suite of their role, and what is special about each."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from models.classifiers.base import Classifier, LinearModel
from models.classifiers.exact import ExactNeighbours
from models.classifiers.fcn import FcnClassifier
from models.classifiers.knn import KnnClassifier
from models.classifiers.svm import SvmClassifier
from models.errors import BundleDamaged, UsageError
from models.training.fit.fcn import FcnFit
from models.training.fit.svm import fit_svm
from models.values import BOTTLENECK_SIZE
from tests.contracts.classifier import TIED, WORLD, ClassifierContract, SavedClassifierContract, queries


def equal_model(kind: type[LinearModel]) -> LinearModel:
    """A model to which all of ``TIED`` look alike."""
    return kind(np.zeros((BOTTLENECK_SIZE, 6), np.float32), np.zeros(6, np.float32), TIED)


class TestKnn(ClassifierContract):
    @pytest.fixture
    def classifier(self) -> Classifier:
        return KnnClassifier(ExactNeighbours(*WORLD))

    @pytest.fixture
    def tied(self) -> Classifier:
        return KnnClassifier(ExactNeighbours(np.repeat(WORLD[0][:1], 6, axis=0), TIED[::-1]))


class _SavedLinear(SavedClassifierContract):
    kind: type[LinearModel]

    @pytest.fixture
    def tied(self) -> Classifier:
        return equal_model(self.kind)

    @pytest.fixture
    def reload(self, tmp_path: Path) -> Callable[[Classifier], Classifier]:
        def through_a_file(model: Classifier) -> Classifier:
            assert isinstance(model, LinearModel)
            model.save(tmp_path / "model.npz")
            return self.kind.load(tmp_path / "model.npz")

        return through_a_file


@pytest.fixture(scope="module")
def contract_svm() -> SvmClassifier:
    with threadpool_limits(1, user_api="blas"):
        return fit_svm(*WORLD, 10.0)


class TestSvm(_SavedLinear, ClassifierContract):
    kind = SvmClassifier

    @pytest.fixture
    def classifier(self, contract_svm: SvmClassifier) -> Classifier:
        return contract_svm


class TestFcn(_SavedLinear, ClassifierContract):
    kind = FcnClassifier

    @pytest.fixture
    def classifier(self, contract_fcn: FcnFit) -> Classifier:
        return contract_fcn.model


def test_fcn_probabilities_sum_to_1_over_all_labels_and_over_a_category(contract_fcn: FcnFit) -> None:
    model = contract_fcn.model
    category = frozenset(model.labels[:4])
    for within, k in ((None, 12), (category, 12)):
        for prediction in model.predict(queries(), within, k):
            scores = [scored.score for scored in prediction.ranked]
            assert sum(scores) == pytest.approx(1.0, abs=1e-5)
            assert all(0.0 <= score <= 1.0 for score in scores)


def test_labels_whose_probability_rounds_to_0_keep_the_order_of_their_logits() -> None:
    bias = np.array([0.0, -300.0, -200.0, -250.0], np.float32)
    model = FcnClassifier(np.zeros((BOTTLENECK_SIZE, 4), np.float32), bias, ["a", "b", "c", "d"])
    [prediction] = model.predict(queries(1))
    assert [(scored.label, scored.score) for scored in prediction.ranked] == [("a", 1), ("c", 0), ("d", 0), ("b", 0)]


def test_knn_scores_are_cosines_of_the_nearest_photo_of_each_label() -> None:
    vectors, labels = WORLD
    for photo, prediction in zip(queries(), KnnClassifier(ExactNeighbours(*WORLD)).predict(queries()), strict=True):
        assert prediction.known is None
        for scored in prediction.ranked:
            nearest = max(float(v @ photo) for v, label in zip(vectors, labels, strict=True) if label == scored.label)
            assert scored.score == pytest.approx(nearest, abs=1e-4)


@pytest.mark.parametrize(
    ("weight", "bias", "labels", "complaint"),
    [
        (np.zeros((2048, 2)), np.zeros(2), ["b", "a"], "sorted"),
        (np.zeros((2048, 2)), np.zeros(2), ["a", "a"], "distinct"),
        (np.zeros((2048, 3)), np.zeros(2), ["a", "b"], r"\(2048, 2\)"),
        (np.zeros((2048, 2)), np.zeros(3), ["a", "b"], r"\(2,\)"),
        (np.full((2048, 2), np.nan), np.zeros(2), ["a", "b"], "NaN"),
        (np.zeros((2048, 2)), np.array([0, np.inf]), ["a", "b"], "infinity"),
    ],
)
def test_a_linear_model_that_does_not_fit_together_is_refused(
    weight: np.ndarray, bias: np.ndarray, labels: list[str], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        SvmClassifier(weight.astype(np.float32), bias.astype(np.float32), labels)


def _bytes_of(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def _bomb() -> bytes:
    """An npz of some megabytes that unpacks to more than the limit."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for number in range(33):
            packed.writestr(f"{number}.npy", bytes(2**20))
    raw = out.getvalue()
    # Every member says 64 MiB in the central directory; only that is looked at before anything is unpacked.
    return raw.replace((2**20).to_bytes(4, "little"), (2**26).to_bytes(4, "little"))


_GOOD = {"weight": np.zeros((2048, 2), np.float32), "bias": np.zeros(2, np.float32), "labels": np.array(["a", "b"])}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a saved classifier"),
        (b"hello", "not a saved classifier"),
        (_bytes_of(**_GOOD)[:-200], "not a saved classifier"),
        (_bytes_of(**_GOOD).replace(b"NUMPY", b"NUMPX"), "not a saved classifier"),
        (_bytes_of(weight=_GOOD["weight"]), "bias"),
        (_bytes_of(**{**_GOOD, "labels": np.array(["a", None], dtype=object)}), "allow_pickle"),
        (_bytes_of(**{**_GOOD, "labels": np.array("ab")}), "0-d"),
        (_bytes_of(**{**_GOOD, "bias": np.zeros(9, np.float32)}), "bias"),
        (_bytes_of(**{**_GOOD, "bias": np.array([0, np.nan], np.float32)}), "NaN"),
        (_bomb(), "unpacks to"),
    ],
    ids=["empty", "text", "cut", "broken", "lacking", "pickle", "scalar", "shape", "nan", "bomb"],
)
def test_a_damaged_classifier_file_is_named_and_no_code_in_it_runs(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "svm.npz"
    path.write_bytes(content)
    with pytest.raises(BundleDamaged, match=r"svm\.npz") as caught:
        SvmClassifier.load(path)
    assert complaint in str(caught.value)


def test_a_classifier_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleDamaged, match=r"fcn\.npz"):
        FcnClassifier.load(tmp_path / "fcn.npz")
