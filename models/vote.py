"""The vote: three classifiers' top lists merged into one ranking (seed 004; mission A8).

1. *Evidence.* Each classifier's listed scores become shares of belief that sum to 1 over its list
   (softmax at that classifier's fitted temperature). A label it does not list gets 0 from it.
2. *Weight.* A label's support is the weighted mean of its evidence over the classifiers that **know**
   the label (a linear opinion pool: Stone 1961), so a label too new for FCN and SVM is judged by k-NN
   alone instead of being outvoted by models that could not have named it.
3. *Majority first.* Labels that more than half of the classifiers knowing them put first come before
   all others; within each part, support decides, then the number of classifiers listing the label,
   then the label itself. Fitting may switch the majority off where support alone finds clearly more
   first places (measured: docs/decisions/0005-vote.md).

Temperatures, weights and the calibration of the scores are fitted by ``models.training.fit.vote`` on
photos that the classifiers were not trained on; ``VoteSettings.prior()`` is used below its data limits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.errors import BundleDamaged, UsageError
from models.values import (
    CLASSIFIER_NAMES,
    TOP_K,
    Candidate,
    CastVote,
    ClassifierName,
    Prediction,
    Ranking,
    VoteState,
)

_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True)
class VoteSettings:
    """What the vote needs to know.

    weights: each classifier's say, positive, summing to 1. temperatures: > 0; larger is flatter.
    slope, intercept: the first candidate's score is ``sigmoid(slope * logit(support) + intercept)``
        (Platt scaling), the probability that it is right, given that the catalogue has the product.
    majority: whether rule 3's majority comes before support.
    calibrated: False for the prior.
    """

    weights: Mapping[ClassifierName, float]
    temperatures: Mapping[ClassifierName, float]
    slope: float = 1.0
    intercept: float = 0.0
    majority: bool = True
    calibrated: bool = False

    @classmethod
    def prior(cls) -> VoteSettings:
        """Used where there is too little data to fit: FCN and SVM count alike, k-NN half as much."""
        return cls(
            weights={"fcn": 0.4, "knn": 0.2, "svm": 0.4},
            temperatures={"fcn": 1.0, "knn": 0.02, "svm": 0.3},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> VoteSettings:
        """Read what ``to_json`` wrote.

        :raise BundleDamaged: a key is missing or a value out of range.
        """
        try:
            settings = cls(**data)
            weights, temperatures = dict(settings.weights), dict(settings.temperatures)
            if not set(weights) == set(temperatures) == set(CLASSIFIER_NAMES):
                raise ValueError(f"weights and temperatures name {sorted({*weights, *temperatures})}")
            numbers = [*weights.values(), *temperatures.values(), settings.slope, settings.intercept]
            if not all(math.isfinite(number) for number in numbers):
                raise ValueError("a number is not finite")
            if min(weights.values()) < 0 or sum(weights.values()) <= 0 or min(temperatures.values()) <= 0:
                raise ValueError("weights or temperatures out of range")
        except (TypeError, ValueError) as error:
            raise BundleDamaged(f"the vote's settings are damaged ({error}); train again") from error
        return settings


class Vote:
    """Merges the predictions of one photo."""

    def __init__(self, settings: VoteSettings) -> None:
        self.settings = settings

    def merge(self, predictions: Sequence[Prediction], k: int = TOP_K) -> Ranking:
        """The ``k`` best distinct labels of all lists; fewer only where the lists hold fewer.

        predictions: at most one a classifier; an absent or empty one has no say.
        :raise UsageError: two predictions of one classifier.
        """
        names = [prediction.classifier for prediction in predictions]
        if len(set(names)) != len(names):
            raise UsageError(f"a classifier voted twice: {names}")
        voting = [prediction for prediction in predictions if prediction.ranked]
        evidence = {p.classifier: self.evidence(p) for p in voting}
        labels = sorted({scored.label for p in voting for scored in p.ranked})
        support = {label: self._support(label, voting, evidence) for label in labels}
        order = sorted(labels, key=lambda label: self._order(label, voting, support[label]))
        scores = self._confidence([support[label] for label in order])
        return Ranking(
            tuple(
                Candidate(label, score, {p.classifier: cast_vote(p, label) for p in predictions})
                for label, score in zip(order[:k], scores[:k], strict=True)
            )
        )

    def evidence(self, prediction: Prediction) -> dict[str, float]:
        """Share of belief, in [0, 1], for each listed label; sums to 1 over the first ``TOP_K``.

        Over those alone, so that a longer list, asked for more candidates, judges the first ones by the same
        measure as the lists the settings were fitted on.
        """
        temperature = self.settings.temperatures[prediction.classifier]
        logits = [
            (math.log(max(s.score, _LEAST_PROBABILITY)) if prediction.classifier == "fcn" else s.score) / temperature
            for s in prediction.ranked
        ]
        top = max(logits)
        powers = [math.exp(logit - top) for logit in logits]
        total = sum(powers[:TOP_K])
        return {s.label: power / total for s, power in zip(prediction.ranked, powers, strict=True)}

    def _support(
        self,
        label: str,
        voting: Sequence[Prediction],
        evidence: Mapping[ClassifierName, Mapping[str, float]],
    ) -> float:
        knowing = [p.classifier for p in voting if p.knows(label)]
        say = sum(self.settings.weights[name] for name in knowing)
        if say <= 0.0:
            return 0.0
        return sum(self.settings.weights[n] * evidence[n].get(label, 0.0) for n in knowing) / say

    def _order(self, label: str, voting: Sequence[Prediction], support: float) -> tuple[int, float, int, str]:
        knowing = [p for p in voting if p.knows(label)]
        firsts = sum(p.ranked[0].label == label for p in knowing)
        listed = sum(p.rank(label) is not None for p in knowing)
        has_majority = self.settings.majority and 2 * firsts > len(knowing)
        return (0 if has_majority else 1, -support, -listed, label)

    def _confidence(self, supports: Sequence[float]) -> list[float]:
        """Scores in [0, 1], never rising: the calibrated first, the rest sharing what it leaves."""
        if not supports:
            return []
        first = platt(supports[0], self.settings.slope, self.settings.intercept)
        rest = sum(supports[1:])
        scores = [first]
        for support in supports[1:]:
            scores.append(min(scores[-1], (1.0 - first) * support / rest if rest > 0 else 0.0))
        return scores


def platt(support: float, slope: float, intercept: float) -> float:
    """``sigmoid(slope * logit(support) + intercept)`` (Platt 1999); support in [0, 1]."""
    clipped = min(max(support, 1e-6), 1.0 - 1e-6)
    return 1.0 / (1.0 + math.exp(-(slope * math.log(clipped / (1.0 - clipped)) + intercept)))


def cast_vote(prediction: Prediction, label: str) -> CastVote:
    """What one classifier says of one candidate."""
    rank = prediction.rank(label)
    if rank is not None:
        return CastVote(VoteState.RANKED, rank, prediction.ranked[rank - 1].score)
    return CastVote(VoteState.NOT_RANKED if prediction.knows(label) else VoteState.LABEL_UNKNOWN)
