"""The order of the stages: photo -> bottleneck -> three predictions -> vote -> verdict -> answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from models.attributes import TypeGuess
from models.backbone.preprocessing import fit_input
from models.bundle import Bundle
from models.classifiers.base import Classifier, LinearModel
from models.classifiers.knn import KnnClassifier
from models.errors import BundleMismatch, UsageError
from models.explain import direction_of, heat_map
from models.values import (
    TOP_K,
    Advice,
    Answer,
    Backbone,
    ClassifierName,
    Deadline,
    Features,
    Float32,
    HeatMap,
    Neighbours,
    Photo,
    Prediction,
    Ranking,
    VerdictName,
)
from models.verdict import Verdict
from models.vote import Vote, cast_vote

Withdrawn = Callable[[frozenset[str]], frozenset[str]]
"""Told the labels that an answer would rest on, gives every label known to have left the catalogue: a superset of
those told that have. Told nothing, it gives what was known before."""


def nothing_withdrawn(named: frozenset[str]) -> frozenset[str]:
    """A ``Withdrawn`` for a catalogue that nothing leaves."""
    return frozenset()


class Recognizer:
    """One model version, ready to answer. Thread-safe as far as its backbone and neighbours are.

    :raise BundleMismatch: the bundle was trained in another space than the backbone's.
    """

    def __init__(self, bundle: Bundle, backbone: Backbone, neighbours: Neighbours) -> None:
        if bundle.space != backbone.space:
            raise BundleMismatch(
                f"bundle {bundle.version} belongs to space {bundle.space}, but the backbone in use "
                f"({backbone.weights}) is {backbone.space}: load the backbone of the bundle's space"
            )
        self.bundle = bundle
        self.backbone = backbone
        self._neighbours = neighbours
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

    def features(self, photo: Photo, deadline: Deadline | None = None) -> Features:
        """The photo's bottleneck. :raise DeadlineExceeded: the network did not get to it by then."""
        return Features(self.backbone.extract([fit_input(photo.pixels)], deadline)[0], self.space)

    def guess_type(self, vectors: Float32) -> TypeGuess | None:
        """The type of a product from the bottlenecks of its photos, float32 (m, 2048); None where none is guessed."""
        return None if self.bundle.types is None else self.bundle.types.predict_product(vectors)

    def predict(
        self,
        features: Features,
        within: frozenset[str] | None = None,
        top_k: int = TOP_K,
        without: frozenset[str] = frozenset(),
    ) -> list[Prediction]:
        """Each classifier's best labels.

        within: only these labels compete; None for all. without: never these; masked before the top k.

        :raise BundleMismatch: features of another space.
        """
        if features.space != self.space:
            raise BundleMismatch(f"features of space {features.space} cannot be judged in {self.space}")
        return [_named(model, features.vector[None, :], within, top_k, without) for model in self._classifiers]

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
        withdrawn: Withdrawn = nothing_withdrawn,
        explain: bool = False,
    ) -> Answer:
        """Answer one photo.

        within: only these labels compete; None for all. top_k: 1..20 candidates. decode_ms: what
        reading the photo took, for the timings. withdrawn: what has left the catalogue; asked about the labels
        that the classifiers name, which are masked before each top five where they have. explain: with a heat map
        of every candidate; its time counts as ``classify``.
        :raise UsageError: top_k out of range.
        """
        _require_top_k(top_k)
        started = time.perf_counter()
        features, feature_map = self.look(photo) if explain else (self.features(photo), None)
        network_ms = (time.perf_counter() - started) * 1000.0
        answer = self.answer(
            features, photo.advice, within=within, top_k=top_k, withdrawn=withdrawn, feature_map=feature_map
        )
        timings = {"decode": decode_ms, "network": network_ms, **answer.timings_ms}
        return replace(answer, timings_ms={**timings, "total": sum(timings.values())})

    def look(self, photo: Photo, deadline: Deadline | None = None) -> tuple[Features, Float32]:
        """The photo's bottleneck and its last feature map, float32 (8, 8, 2048). Raises as ``features``."""
        vectors, maps = self.backbone.extract_with_maps([fit_input(photo.pixels)], deadline)
        return Features(vectors[0], self.space), maps[0]

    def answer(
        self,
        features: Features,
        advice: tuple[Advice, ...] = (),
        *,
        within: frozenset[str] | None = None,
        top_k: int = TOP_K,
        withdrawn: Withdrawn = nothing_withdrawn,
        feature_map: Float32 | None = None,
    ) -> Answer:
        """Answer a photo whose bottleneck is known; ``recognize`` says what the arguments are.

        feature_map: what ``look`` gave beside the bottleneck; with it comes a heat map of every candidate.
        Of the timings only ``classify`` is there.
        :raise UsageError: top_k out of range. :raise BundleMismatch: features of another space.
        """
        _require_top_k(top_k)
        started = time.perf_counter()
        predictions, everywhere = self._predict_present(features, within, max(top_k, TOP_K), withdrawn)
        ranking, verdict = self.judge(predictions, top_k, within, everywhere)
        heat_maps = {} if feature_map is None else self._heat_maps(ranking, features.vector, feature_map)
        timings = {"classify": (time.perf_counter() - started) * 1000.0}
        return Answer(ranking, verdict, self.calibrated, advice, self.version, self.weights, timings, heat_maps)

    def _heat_maps(self, ranking: Ranking, vector: Float32, feature_map: Float32) -> dict[str, HeatMap]:
        labels = [candidate.label for candidate in ranking.candidates]
        found = ((label, self._heat_map(label, vector, feature_map)) for label in labels)
        return {label: own for label, own in found if own is not None}

    def _heat_map(self, label: str, vector: Float32, feature_map: Float32) -> HeatMap | None:
        """As the FCN sees the label, else the SVM, else what the label's nearest photo has in common with this one.

        None where the label's last photo has left the memory since it was named.
        """
        for model in (self.bundle.fcn, self.bundle.svm):
            if model is not None and label in model.known:
                return heat_map(feature_map, direction_of(model, label, vector), model.name)
        nearest = self._neighbours.nearest_photo(vector, label)
        return None if nearest is None else heat_map(feature_map, nearest, "knn")

    def _predict_present(
        self, features: Features, within: frozenset[str] | None, k: int, withdrawn: Withdrawn
    ) -> tuple[list[Prediction], list[Prediction]]:
        """Predictions narrowed to ``within``, and over the whole catalogue where that is another question.

        Nothing withdrawn is among them: whatever turns out to be is masked, and the classifiers are asked again.
        ``without`` grows by at least a label each time, so this ends; as a rule at once.
        """
        without = withdrawn(frozenset())
        while True:
            narrowed = self.predict(features, within, k, without)
            everywhere = [] if within is None else self.predict(features, without=without)
            named = frozenset(scored.label for p in (*narrowed, *everywhere) for scored in p.ranked)
            gone = withdrawn(named)
            if not gone & named:
                return narrowed, everywhere
            without |= gone


def _require_top_k(top_k: int) -> None:
    if not 1 <= top_k <= 20:
        raise UsageError(f"top_k must lie in 1..20, got {top_k}")


def _named(
    model: Classifier, vectors: Float32, within: frozenset[str] | None, k: int, without: frozenset[str]
) -> Prediction:
    if not without:
        return model.predict(vectors, within, k)[0]
    if isinstance(model, LinearModel):
        return model.predict(vectors, (model.known if within is None else within) - without, k)[0]
    # The live memory loses a label with its product: nothing to narrow, and a filter would slow the index down.
    prediction = model.predict(vectors, within, k)[0]
    return replace(prediction, ranked=tuple(scored for scored in prediction.ranked if scored.label not in without))


def _shortened(prediction: Prediction) -> Prediction:
    """The first five labels alone: what the vote and the verdict were fitted on."""
    return replace(prediction, ranked=prediction.ranked[:TOP_K])
