"""Hyper-parameters: searched on the split's validation photos, reported once on its test photos.

Everything is fitted on the *train* role alone. One parameter is varied at a time, from the default, in the order
listed; the best value is kept for the parameters after it, and a value must be strictly better than the default to
replace it. The vote of both the default and the chosen setting is fitted on the *calibration* role. The *test* role is
looked at twice: with the default setting and with the chosen one. The hold-out is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from models.classifiers.base import Classifier
from models.classifiers.exact import ExactNeighbours
from models.classifiers.fcn import FcnClassifier
from models.classifiers.knn import KnnClassifier
from models.classifiers.svm import SvmClassifier
from models.errors import NotEnoughData
from models.training.crossfit import Judged
from models.training.data import TrainingPhotos
from models.training.experiments.folds import places_of
from models.training.fit.fcn import FcnSettings, fit_fcn
from models.training.fit.svm import C_GRID, fit_svm
from models.training.fit.vote import fit_vote
from models.training.measures import paired_interval, summary
from models.training.splits import Split
from models.training.train import BLAS_THREADS
from models.values import CLASSIFIER_NAMES, TOP_K, Float32, Prediction
from models.vote import Vote

DEFAULT_NORMALISATION: Final = "sqrt_l2"
NORMALISATIONS: Final[tuple[str, ...]] = (DEFAULT_NORMALISATION, "l2", "l1", "sqrt_l2_centred")
"""What k-NN measures distances between: the bottlenecks as they are stored, the plain averages at unit length (order
as by cosine), the plain averages summing to 1, and the stored ones less their mean, at unit length again."""

FCN_GRID: Final[Mapping[str, tuple[Any, ...]]] = {
    "learning_rate": (0.001, 0.0003, 0.003, 0.01),
    "batch_size": (100, 32, 400),
    "dropout": (0.0, 0.2, 0.5),
    "label_smoothing": (0.0, 0.05, 0.1, 0.2),
}
"""Values tried, the default first."""

SVM_GRID: Final[tuple[float, ...]] = (0.1, 0.3, *C_GRID, 300.0, 1000.0)
"""Wider than what training searches (``C_GRID``)."""

_ROLES: Final = ("train", "validation", "calibration", "test")
_NEEDED: Final = ("train", "validation", "test")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to fit the three classifiers; fcn_variants, svm_variants: how many variants a photo they learn from."""

    normalisation: str
    fcn: FcnSettings
    fcn_variants: int
    svm_c: float
    svm_variants: int


class _Data:
    """The roles' photos. A label that the train role lacks is asked nowhere; photos in ``seen``, which the weights
    were trained on, neither fit the vote nor count in the test."""

    def __init__(self, photos: TrainingPhotos, split: Split, seen: frozenset[str]) -> None:
        places = places_of(photos, split)
        taught = {label for label, place in zip(photos.labels, places, strict=True) if place.role == "train"}
        of = {
            role: [i for i, place in enumerate(places) if place.role == role and photos.labels[i] in taught]
            for role in _ROLES
        }
        for role in ("calibration", "test"):
            of[role] = [i for i in of[role] if photos.hashes[i] not in seen]
        short = [role for role in _NEEDED if not of[role]]
        if short or len(taught) < 2:
            counts = ", ".join(f"{len(of[role])} to {role}" for role in _NEEDED)
            raise NotEnoughData(
                f"the split gives photos of {len(taught)} labels, {counts}; two labels and some of each are needed: "
                "labels give photos to all roles once they have several scenes"
            )
        self.train, self.validation, self.calibration, self.test = (
            photos.subset(np.array(of[role], dtype=np.intp)) for role in _ROLES
        )
        self.variants = int(photos.variants.shape[1])
        # Which variants come first is drawn, not listed: the first of the list would all be crops.
        self._order = np.random.default_rng(0).permutation(self.variants)

    def taught(self, variants: int) -> tuple[Float32, list[str]]:
        """The train role with that many variants a photo."""
        photos = self.train
        return replace(photos, variants=photos.variants[:, self._order[:variants]]).augmented()


def normalised(vectors: Float32, kind: str, mean: Float32) -> Float32:
    """Bottlenecks under another normalisation.

    vectors: float32 (n, 2048) as stored: the square root of pool_3 at unit length, so its square is pool_3 divided
        by its sum; pool_3's own length is not stored. mean: float32 (2048,), of the photos in memory.
    """
    if kind == "l1":
        return np.square(vectors)
    if kind == "l2":
        return _unit(np.square(vectors))
    if kind == "sqrt_l2_centred":
        return _unit(vectors - mean)
    return vectors


def _unit(vectors: Float32) -> Float32:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))


def search_hyper_parameters(
    photos: TrainingPhotos,
    split: Split,
    fcn: FcnSettings | None = None,
    progress: Progress = lambda line: None,
    *,
    seen: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Search, then report.

    fcn: the default FCN setting. seen: content hashes that the weights were trained on: calibration and test do without
    them; validation, which only chooses, keeps them, and ``validation_seen`` says how many.
    Returns ``{photos: {role: n}, validation_seen, labels, searched: [{classifier, parameter, value, default, top1,
    top5, macro_f1}], chosen, default: {...}, test: {chosen|default: {fcn|knn|svm|vote: {top1, top5, macro_f1}},
    difference: {rule: {top1|top5: {mean, interval_95}}}}}``; searched is measured on the validation role. The default C
    is the best of ``C_GRID`` on the validation role, as training chooses it.
    :raise NotEnoughData: no photos of two labels in train, or none in validation or test.
    :raise SplitError: a photo has no place in the split.
    """
    data = _Data(photos, split, seen)
    with threadpool_limits(BLAS_THREADS, user_api="blas"):
        search = _Search(data, fcn or FcnSettings(), progress)
        chosen, default = search.run()
        progress("test")
        test = _test(data, chosen, default)
    return {
        "photos": {role: len(getattr(data, role)) for role in _ROLES},
        "validation_seen": len(seen & set(data.validation.hashes)),
        "labels": len(set(data.train.labels)),
        "searched": search.rows,
        "chosen": asdict(chosen),
        "default": asdict(default),
        "test": test,
    }


class _Search:
    """The validation role's rows, gathered one parameter after the other."""

    def __init__(self, data: _Data, fcn: FcnSettings, progress: Progress) -> None:
        self._data, self._fcn, self._progress = data, fcn, progress
        self.rows: list[dict[str, Any]] = []

    def run(self) -> tuple[Setting, Setting]:
        """(chosen, default)."""
        data = self._data
        counts = sorted({0, 1, 2, 4, data.variants} & set(range(data.variants + 1)), reverse=True)
        normalisation = self._best("knn", "normalisation", NORMALISATIONS, self._knn)
        widest = self._best("svm", "c", sorted(SVM_GRID), lambda value: fit_svm(*data.taught(data.variants), value))
        usual, gains = self._usual_c()
        c = widest if gains else usual
        self._losses()
        svm_variants = self._best("svm", "variants", counts, lambda count: fit_svm(*data.taught(count), c))
        fcn = self._fcn
        for parameter, values in FCN_GRID.items():
            tried = dict.fromkeys((getattr(self._fcn, parameter), *values))
            best = self._best("fcn", parameter, list(tried), self._with(fcn, parameter))
            fcn = replace(fcn, **{parameter: best})
        fcn_variants = self._best("fcn", "variants", counts, lambda count: _fit_fcn(data, fcn, count))
        chosen = Setting(normalisation, fcn, fcn_variants, c, svm_variants)
        return chosen, Setting(DEFAULT_NORMALISATION, self._fcn, data.variants, usual, data.variants)

    def _with(self, fcn: FcnSettings, parameter: str) -> Callable[[Any], Classifier]:
        return lambda value: _fit_fcn(self._data, replace(fcn, **{parameter: value}), self._data.variants)

    def _knn(self, kind: str) -> Classifier:
        return _Normalised(self._data.train, kind)

    def _losses(self) -> None:
        """Hinge against squared hinge, each at its best C, both by LIBLINEAR on the originals alone: our own solver
        knows the latter only, and LIBLINEAR takes too long for all variants. Told, never chosen."""
        for loss in ("squared_hinge", "hinge"):
            best = max((self._loss_row(loss, c) for c in C_GRID), key=lambda row: row["top1"])
            self.rows.append(best)

    def _loss_row(self, loss: str, c: float) -> dict[str, Any]:
        self._progress(f"svm loss {loss}, C {c:g}, originals only")
        figures = self._measure(_liblinear(*self._data.train.plain(), c, loss))
        value = f"{loss}, C {c:g}"
        return {"classifier": "svm", "parameter": "loss_originals_only", "value": value, "default": False, **figures}

    def _best(self, classifier: str, parameter: str, values: Sequence[Any], fit: Callable[[Any], Classifier]) -> Any:
        best, top = values[0], -1.0
        for place, value in enumerate(values):
            self._progress(f"{classifier} {parameter} {value}")
            figures = self._measure(fit(value))
            usual = place == 0 and parameter != "c"  # see _usual_c
            row = {"classifier": classifier, "parameter": parameter, "value": value, "default": usual}
            self.rows.append({**row, **figures})
            if figures["top1"] > top:
                best, top = value, figures["top1"]
        return best

    def _usual_c(self) -> tuple[float, bool]:
        """What training would choose, whose row is marked, and whether any other C is better."""
        rows = [row for row in self.rows if row["parameter"] == "c"]
        usual = max((row for row in rows if row["value"] in C_GRID), key=lambda row: row["top1"])
        usual["default"] = True
        return float(usual["value"]), max(row["top1"] for row in rows) > usual["top1"]

    def _measure(self, model: Classifier) -> dict[str, float]:
        held = self._data.validation
        named = [[s.label for s in p.ranked] for p in model.predict(held.originals)]
        return summary(named, list(held.labels))


def _fit_fcn(data: _Data, settings: FcnSettings, variants: int) -> FcnClassifier:
    return fit_fcn(data.taught(variants), data.validation.plain(), settings).model


class _Normalised(KnnClassifier):
    """k-NN that normalises its queries as it did its memory."""

    def __init__(self, memory: TrainingPhotos, kind: str) -> None:
        self._kind, self._mean = kind, memory.originals.mean(axis=0)
        super().__init__(ExactNeighbours(normalised(memory.originals, kind, self._mean), memory.labels))

    def predict(self, vectors: Float32, within: frozenset[str] | None = None, k: int = TOP_K) -> list[Prediction]:
        return super().predict(normalised(vectors, self._kind, self._mean), within, k)


def _liblinear(vectors: Float32, labels: Sequence[str], c: float, loss: str) -> SvmClassifier:
    from sklearn.svm import LinearSVC

    centre = vectors.mean(axis=0)
    model = LinearSVC(C=c, loss=loss, dual=True, random_state=0, max_iter=5000).fit(vectors - centre, list(labels))
    weight, bias = model.coef_.T, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps only the second one's margin
        weight, bias = np.hstack([-weight, weight]), np.array([-1.0, 1.0]) * bias
    bias = bias - centre.astype(np.float64) @ weight
    names = [str(name) for name in model.classes_]
    return SvmClassifier(weight.astype(np.float32), bias.astype(np.float32), names)


def _test(data: _Data, chosen: Setting, default: Setting) -> dict[str, Any]:
    truth = list(data.test.labels)
    named = {name: _answers(data, setting) for name, setting in (("default", default), ("chosen", chosen))}
    figures = {name: {rule: summary(lists, truth) for rule, lists in rules.items()} for name, rules in named.items()}
    difference: dict[str, Any] = {}
    for rule in named["chosen"]:
        difference[rule] = {}
        for measure, k in (("top1", 1), ("top5", 5)):
            ours, theirs = (
                np.array([label in row[:k] for row, label in zip(named[name][rule], truth, strict=True)])
                for name in ("chosen", "default")
            )
            gap = float(ours.mean() - theirs.mean())
            difference[rule][measure] = {"mean": gap, "interval_95": paired_interval(ours, theirs)}
    return {**figures, "difference": difference}


def _answers(data: _Data, setting: Setting) -> dict[str, list[list[str]]]:
    """What each classifier and the vote name for the test photos."""
    models: list[Classifier] = [
        _fit_fcn(data, setting.fcn, setting.fcn_variants),
        _Normalised(data.train, setting.normalisation),
        fit_svm(*data.taught(setting.svm_variants), setting.svm_c),
    ]
    known = data.calibration
    judged = zip(known.hashes, known.labels, _rows(models, known.originals), strict=True)
    vote = Vote(fit_vote([Judged(content_hash, label, 0, row) for content_hash, label, row in judged]))
    rows = _rows(models, data.test.originals)
    named: dict[str, list[list[str]]] = {
        name: [[s.label for s in row[place].ranked] for row in rows] for place, name in enumerate(CLASSIFIER_NAMES)
    }
    named["vote"] = [[candidate.label for candidate in vote.merge(row).candidates] for row in rows]
    return named


def _rows(models: Sequence[Classifier], vectors: Float32) -> list[tuple[Prediction, ...]]:
    return list(zip(*(model.predict(vectors) for model in models), strict=True)) if len(vectors) else []
