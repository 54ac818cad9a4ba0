"""Fair comparisons of what a network is taught with and how: the same rows, encoders and budget, several seeds.

Nothing is chosen by the test rows: the default is what the validation rows like best, and both are told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from models.errors import UsageError
from models.multimodal.classifier import TYPE
from models.multimodal.fusion import FUSIONS
from models.multimodal.names import words
from models.training.measures import spread
from models.training.text.evaluate import INPUTS, measures, probabilities_of, shown_as
from models.training.text.rows import TextRows
from models.training.text.settings import TextSettings
from models.training.text.train import Parts, TrainedText, fit_classifier

SEEDS: Final = 5
MEASURES: Final = ("accuracy", "top5", "macro_f1")
VOCABULARIES: Final = (500, 1_000, 2_000, 20_000)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to teach. changes: of the settings. asked: which of ``INPUTS`` it is measured on. bare: names are shown
    without their brand. added: names are learned first, and the picture added to what reads them.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    asked: Sequence[str] = INPUTS
    bare: bool = False
    added: bool = False


_NAMES: Final = ("name", "name_masked")

COMPARISONS: Final[dict[str, tuple[Way, ...]]] = {
    "inputs": (
        Way("name", {"taught_with": "name"}, _NAMES),
        Way("masked name", {"taught_with": "name_masked"}, ("name_masked",)),
        Way("picture", {"taught_with": "image"}, ("image",)),
        *(Way(f"both, {name}", {"fusion": name}) for name in FUSIONS),
        Way("both, picture added to a trained text model", {"fusion": "concatenation"}, added=True),
    ),
    "vocabulary": tuple(
        Way(f"{size:,} subwords", {"vocabulary": size, "taught_with": "name"}, _NAMES) for size in VOCABULARIES
    ),
    "brand": (Way("with brand"), Way("without brand", bare=True)),
    "balance": tuple(
        Way(f"drawn by frequency to the power {1.0 - power:g}", {"balance": power}) for power in (0.0, 0.25, 0.5, 1.0)
    ),
    "months": (Way("as they come", {"even_months": False}), Way("months alike", {"even_months": True})),
    "hierarchy": (
        Way("flat", {"levels": 0.0}),
        Way("hierarchy-aware", {"levels": 0.3}),
    ),
}
"""What can be compared, by name."""


def compare(
    rows: TextRows,
    parts: Parts,
    ways: Sequence[Way],
    settings: TextSettings,
    seeds: int = SEEDS,
    say: Say = lambda line: None,
) -> list[dict[str, Any]]:
    """A row a way: ``{way, seeds, validation|test: {input: {measure: {mean, std}}}}``, with the inputs that the way
    reads, on rows with a picture (all rows where none has one), and ``all_rows`` for what is served on all of them.

    :raise UsageError: fewer than one seed.
    """
    if seeds < 1:
        raise UsageError(f"expected at least one seed, got {seeds}")
    table = []
    for way in ways:
        chosen = without_brands(rows) if way.bare else rows
        training = chosen.subset(parts.training)
        found = []
        for seed in range(seeds):
            say(f"{way.name}, seed {seed + 1} of {seeds}")
            wanted = replace(settings, **way.changes, seed=seed)
            trained = fit_classifier(training, wanted, 1, text_first=way.added)
            found.append(
                {part: measured(trained, chosen.subset(getattr(parts, part)), way) for part in ("validation", "test")}
            )
        table.append({"way": way.name, "seeds": seeds, **_merged(found)})
    return table


def measured(trained: TrainedText, rows: TextRows, way: Way) -> dict[str, dict[str, float]]:
    """Measures of what a way reads, and of ``all_rows`` with what they have."""
    shown = np.flatnonzero(rows.has_image)
    compared = rows.subset(shown) if len(shown) else rows
    answers, counts = trained.classifier.answers[TYPE], trained.counts
    found = {
        name: measures(
            probabilities_of(trained.classifier, shown_as(compared, name, trained.words)),
            answers,
            compared.types,
            counts,
        )
        for name in way.asked
    }
    widest = way.asked[0] if "fused" not in way.asked else "fused"
    listing = shown_as(rows, widest, trained.words)
    found["all_rows"] = measures(probabilities_of(trained.classifier, listing), answers, rows.types, counts)
    return found


def without_brands(rows: TextRows) -> TextRows:
    """The rows with the words of their brand taken out of their names."""
    names = []
    for name, brand in zip(rows.names, rows.brands, strict=True):
        of_brand = set(words(brand or ""))
        names.append(" ".join(word for word in words(name) if word not in of_brand))
    return replace(rows, names=tuple(names))


def odd_and_even_years(rows: TextRows) -> Parts:
    """Odd years teach, even years are asked; a tenth of the odd years' rows, drawn at random, is kept for validation.
    Rows without a date are left out.
    """
    years = np.array([0 if month is None else int(month[:4]) for month in rows.months])
    odd = np.flatnonzero((years % 2 == 1) & (years > 0))
    even = np.flatnonzero((years % 2 == 0) & (years > 0))
    kept = np.random.default_rng(0).permutation(len(odd)) < len(odd) // 10
    return Parts(odd[~kept], odd[kept], even)


def _merged(found: Sequence[Mapping[str, Mapping[str, Mapping[str, float]]]]) -> dict[str, Any]:
    return {
        part: {
            name: {measure: spread([one[part][name][measure] for one in found]) for measure in MEASURES}
            for name in found[0][part]
        }
        for part in ("validation", "test")
    }
