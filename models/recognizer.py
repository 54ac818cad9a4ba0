"""The order of the stages: photo -> bottleneck -> three predictions -> vote -> verdict -> answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.backbone.preprocessing import fit_input
from models.bundle import Bundle
from models.classifiers.base import Classifier
from models.classifiers.knn import KnnClassifier
from models.errors import BundleMismatch, UsageError
from models.values import (
    TOP_K,
    Answer,
    Backbone,
    ClassifierName,
    Features,
    Neighbours,
    Photo,
    Prediction,
    Ranking,
    VerdictName,
)
from models.verdict import Verdict
from models.vote import Vote, cast_vote


class Recognizer:
    """One model version, ready to answer. Thread-safe as far as its backbone and neighbours are.

    :raise BundleMismatch: the bundle was trained in another space than the backbone's.
    """

    def __init__(self, bundle: Bundle, backbone: Backbone, neighbours: Neighbours) -> None:
        if bundle.space != backbone.space:
            raise BundleMismatch(
                f"bundle {bundle.version} belongs to space {bundle.space}, but the backbone in use "
                f"({backbone.weights}) is {backbone.space}; set PICKTURE_WEIGHTS as in training, or train again"
            )
        self.bundle = bundle
        self.backbone = backbone
        models: list[Classifier | None] = [bundle.fcn, KnnClassifier(neighbours), bundle.svm]
        self._classifiers = [model for model in models if model is not None]
        self._vote = Vote(bundle.vote)
        self._verdict = Verdict(bundle.verdict)

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.bundle.version

    @property
    def space(self) -> str:
        """The space of its vectors."""
        return self.bundle.space

    @property
    def calibrated(self) -> bool:
        """Whether vote and verdict were fitted on this catalogue, or are the shipped prior."""
        return self.bundle.vote.calibrated and self.bundle.verdict.calibrated

    @property
    def weights(self) -> str:
        """Where the backbone's weights come from, for people."""
        return self.backbone.weights

    def known_since(self, label: str) -> Mapping[ClassifierName, str | None]:
        """When FCN and SVM learned ``label`` (ISO 8601), None where they have not; k-NN is the caller's."""
        bundle = self.bundle
        return {
            "fcn": bundle.created_at if bundle.fcn and label in bundle.fcn.known else None,
            "svm": bundle.created_at if bundle.svm and label in bundle.svm.known else None,
        }

    def features(self, photo: Photo) -> Features:
        """The photo's bottleneck."""
        return Features(self.backbone.extract([fit_input(photo.pixels)])[0], self.space)

    def predict(self, features: Features, within: frozenset[str] | None = None, top_k: int = TOP_K) -> list[Prediction]:
        """Each classifier's best labels.

        :raise BundleMismatch: features of another space.
        """
        if features.space != self.space:
            raise BundleMismatch(f"features of space {features.space} cannot be judged in {self.space}")
        return [model.predict(features.vector[None, :], within, top_k)[0] for model in self._classifiers]

    def judge(
        self,
        predictions: Sequence[Prediction],
        top_k: int = TOP_K,
        within: frozenset[str] | None = None,
        everywhere: Sequence[Prediction] = (),
    ) -> tuple[Ranking, VerdictName]:
        """The vote and the verdict on one photo's predictions.

        The first five candidates come from the first five labels of each list, whatever ``top_k``; more are
        appended behind them. within, everywhere: where ``predictions`` are narrowed to a category, its labels and
        the predictions over the whole catalogue: the verdict is fitted on those, and is *unsure* at best where
        the catalogue's first label lies outside the category.
        """
        first = self._vote.merge([_shortened(prediction) for prediction in predictions], min(top_k, TOP_K))
        ranking = first if top_k <= TOP_K else self._extended(first, predictions, top_k)
        if within is None:
            return ranking, self._verdict.judge(predictions, first)
        whole = self._vote.merge([_shortened(prediction) for prediction in everywhere])
        verdict = self._verdict.judge(everywhere, whole)
        if verdict is VerdictName.KNOWN and whole.candidates[0].label not in within:
            verdict = VerdictName.UNSURE
        return ranking, verdict if ranking.candidates else VerdictName.UNKNOWN

    def _extended(self, first: Ranking, predictions: Sequence[Prediction], top_k: int) -> Ranking:
        """``first`` with the further labels of the longer lists behind it, scores never rising."""
        taken = {candidate.label for candidate in first.candidates}
        least = first.candidates[-1].score if first.candidates else 0.0
        votes = {label: {p.classifier: cast_vote(p, label) for p in predictions} for label in taken}
        longer = self._vote.merge(predictions, top_k + len(taken)).candidates
        further = [replace(c, score=min(c.score, least)) for c in longer if c.label not in taken]
        kept = tuple(replace(c, votes=votes[c.label]) for c in first.candidates)
        return Ranking((kept + tuple(further))[:top_k])

    def recognize(
        self,
        photo: Photo,
        *,
        within: frozenset[str] | None = None,
        top_k: int = TOP_K,
        decode_ms: float = 0.0,
    ) -> Answer:
        """Answer one photo.

        within: only these labels compete; None for all. top_k: 1..20 candidates. decode_ms: what
        reading the photo took, for the timings.
        :raise UsageError: top_k out of range.
        """
        if not 1 <= top_k <= 20:
            raise UsageError(f"top_k must lie in 1..20, got {top_k}")
        started = time.perf_counter()
        features = self.features(photo)
        seen = time.perf_counter()
        everywhere = () if within is None else self.predict(features)
        ranking, verdict = self.judge(self.predict(features, within, max(top_k, TOP_K)), top_k, within, everywhere)
        done = time.perf_counter()
        timings = {
            "decode": decode_ms,
            "network": (seen - started) * 1000.0,
            "classify": (done - seen) * 1000.0,
            "total": decode_ms + (done - started) * 1000.0,
        }
        return Answer(ranking, verdict, self.calibrated, photo.advice, self.version, self.weights, timings)


def _shortened(prediction: Prediction) -> Prediction:
    """The first five labels alone: what the vote and the verdict were fitted on."""
    return replace(prediction, ranked=prediction.ranked[:TOP_K])
