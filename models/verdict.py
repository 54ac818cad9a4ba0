"""The verdict: does the photo show a product of this catalogue? known, unsure or unknown.

A logistic model judges six signs of the predictions; two thresholds on its probability make three
answers. It is fitted by ``models.training.fit.verdict`` as it is used: on photos the classifiers never
saw, on labels hidden from FCN and SVM (new products), and on products hidden from all three (foreign).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleDamaged
from models.values import CLASSIFIER_NAMES, Prediction, Ranking, VerdictName

SIGNS: tuple[str, ...] = (
    "knn_similarity",
    "knn_margin",
    "fcn_log_probability",
    "svm_margin",
    "agreement",
    "support",
)
"""What is looked at: cosine to the nearest photo; how much nearer it is than the second label; log of
FCN's first probability; SVM's first margin; how many of the three classifiers put the first candidate first,
over three (a lone k-NN agrees with nobody); log odds of the first candidate's score. A classifier without an
answer gives NaN for its own signs."""


@dataclass(frozen=True, slots=True)
class VerdictSettings:
    """The fitted judge.

    mean, scale: a sign's mean and spread in fitting; coefficients, intercept: of the standardised
    signs; missing signs count as their mean. low, high: probability thresholds, low <= high:
    below low *unknown*, from high on *known*, else *unsure*.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    low: float
    high: float
    calibrated: bool

    @classmethod
    def prior(cls) -> VerdictSettings:
        """Where there is too little data: agreement and support alone, which need no scale of their own.

        Two of three classifiers agreeing at even odds lies on the border of *known*; no agreement at
        a support below one tenth lies on the border of *unknown*.
        """
        return cls(
            mean=(0.0,) * 6,
            scale=(1.0,) * 6,
            coefficients=(0.0, 0.0, 0.0, 0.0, 3.0, 0.6),
            intercept=-1.0,
            low=0.2,
            high=0.7,
            calibrated=False,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> VerdictSettings:
        """Read what ``to_json`` wrote.

        :raise BundleDamaged: a key is missing or a length wrong.
        """
        try:
            plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
            settings = cls(**plain)
            if {len(settings.mean), len(settings.scale), len(settings.coefficients)} != {len(SIGNS)}:
                raise ValueError("wrong number of signs")
            numbers = [*settings.mean, *settings.scale, *settings.coefficients, settings.intercept]
            if not all(math.isfinite(number) for number in numbers) or min(settings.scale) <= 0:
                raise ValueError("a number is not finite, or a scale not positive")
            if not settings.low <= settings.high:
                raise ValueError("low lies above high")
        except (AttributeError, TypeError, ValueError) as error:
            raise BundleDamaged(f"the verdict's settings are damaged ({error}); train again") from error
        return settings


class Verdict:
    """Judges one photo's predictions and ranking."""

    def __init__(self, settings: VerdictSettings) -> None:
        self.settings = settings

    def probability(self, predictions: Sequence[Prediction], ranking: Ranking) -> float:
        """Estimated probability in [0, 1] that the product is in the catalogue; 0 without candidates."""
        if not ranking.candidates:
            return 0.0
        return float(self.probabilities(signs(predictions, ranking)[None, :])[0])

    def probabilities(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for many photos' signs (n, 6)."""
        standard = (rows - np.array(self.settings.mean)) / np.array(self.settings.scale)
        logits = np.nan_to_num(standard) @ np.array(self.settings.coefficients) + self.settings.intercept
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0))))

    def judge(self, predictions: Sequence[Prediction], ranking: Ranking) -> VerdictName:
        """The verdict; *unknown* where nothing was recognised at all."""
        return self.name(self.probability(predictions, ranking)) if ranking.candidates else VerdictName.UNKNOWN

    def name(self, probability: float) -> VerdictName:
        """The verdict of a probability."""
        if probability < self.settings.low:
            return VerdictName.UNKNOWN
        return VerdictName.KNOWN if probability >= self.settings.high else VerdictName.UNSURE


def signs(predictions: Sequence[Prediction], ranking: Ranking) -> NDArray[np.float64]:
    """The signs (6,) in the order of ``SIGNS``; the ranking must not be empty."""
    ranked = {p.classifier: p.ranked for p in predictions if p.ranked}
    knn, fcn, svm = ranked.get("knn", ()), ranked.get("fcn", ()), ranked.get("svm", ())
    first = ranking.candidates[0]
    score = min(max(first.score, 1e-4), 1.0 - 1e-4)
    return np.array(
        [
            knn[0].score if knn else math.nan,
            knn[0].score - knn[1].score if len(knn) > 1 else math.nan,
            math.log(max(fcn[0].score, 1e-12)) if fcn else math.nan,
            svm[0].score if svm else math.nan,
            sum(scored[0].label == first.label for scored in ranked.values()) / len(CLASSIFIER_NAMES),
            math.log(score / (1.0 - score)),
        ]
    )
