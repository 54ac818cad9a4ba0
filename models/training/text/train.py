"""Text training as a whole: split, fit, calibrate, measure; then fit once more on everything."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from models.errors import NotEnoughData
from models.multimodal.calibration import Calibration
from models.multimodal.classifier import TYPE, CategoryClassifier
from models.multimodal.features import NameFeatures
from models.multimodal.names import CategoryWords
from models.multimodal.sources import Malls
from models.multimodal.stop_words import StopWords, without_stop_words
from models.multimodal.subwords import Subwords
from models.training.text.calibrate import LEAST_ROWS as CALIBRATION_ROWS
from models.training.text.calibrate import count_malls, fit_calibration, fit_threshold, fit_trust
from models.training.text.care import care_for_types
from models.training.text.confusions import category_report
from models.training.text.evaluate import evaluate_text, probabilities_of, shown_as
from models.training.text.learn import learn
from models.training.text.rows import (
    Answers,
    Codes,
    TextRows,
    category_words,
    codes_of,
    encode_rows,
    known_answers,
)
from models.training.text.settings import TextSettings
from models.values import Float32

LEAST_ROWS: Final = 2
"""Rows a type needs to be named at all."""

MEMBERS: Final = 2
"""Networks that differ by their seed and average their logits."""

_TENTHS: Final = {"validation": 1, "test": 1}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Which rows are used for what: intp arrays."""

    training: Codes
    validation: Codes
    test: Codes


@dataclass(frozen=True, slots=True, eq=False)
class TrainedText:
    """What ``train_text`` made. counts: training rows of each type; metrics: see there.

    trial: what was measured; it has not seen the rows of the skus ``held``. None of what was fitted to measure only.
    """

    classifier: CategoryClassifier
    words: CategoryWords
    counts: Mapping[str, int]
    metrics: dict[str, Any] = field(default_factory=dict)
    trial: TrainedText | None = None
    held: tuple[str, ...] = ()


def split_rows(rows: TextRows) -> Parts:
    """Eight tenths to learn from, one to calibrate on, one to measure, by a hash of the label: variants of one product
    stay together, and a row keeps its place when others come.
    """
    tenth = np.array([int(hashlib.sha256(label.encode()).hexdigest()[:8], 16) % 10 for label in rows.labels])
    test = tenth < _TENTHS["test"]
    validation = ~test & (tenth < _TENTHS["test"] + _TENTHS["validation"])
    return Parts(np.flatnonzero(~test & ~validation), np.flatnonzero(validation), np.flatnonzero(test))


def train_text(
    rows: TextRows,
    settings: TextSettings | None = None,
    members: int = MEMBERS,
    say: Say = lambda line: None,
    stop_words: StopWords | None = None,
) -> TrainedText:
    """Train on nine tenths and measure on one, then train what is served on everything.

    The served networks keep temperatures, threshold and trust of the measured ones: those were fitted on rows that had
    taught nothing, of which the served ones have none left.

    metrics: ``{data, measured (see ``evaluate_text``), categories (see ``category_report``), trust, seconds}``.
    :raise NotEnoughData: no row with a name and a type.
    """
    settings = settings or TextSettings()
    started = time.monotonic()
    parts = split_rows(rows)
    say(f"learning from {len(parts.training):,} of {len(rows):,} rows")
    trial = fit_classifier(rows.subset(parts.training), settings, members, say, stop_words=stop_words)
    trial = calibrated(trial, rows.subset(parts.validation))
    say(f"measuring on {len(parts.test):,} rows")
    measured = evaluate_text(trial.classifier, trial.words, trial.counts, rows.subset(parts.test))
    apart = np.sort(np.concatenate([parts.validation, parts.test]))
    report = category_report(trial.classifier, rows.subset(apart), trial.words)
    say("learning from all rows")
    final = fit_classifier(rows, settings, members, say, stop_words=stop_words)
    served = with_calibration(final, trial.classifier.calibration, trial.classifier.malls)
    metrics = {
        "data": {
            "rows": len(rows),
            "with_image": int(rows.has_image.sum()),
            "types": len(served.classifier.answers[TYPE]),
            "training": len(parts.training),
            "validation": len(parts.validation),
            "test": len(parts.test),
        },
        "measured": measured,
        "categories": report,
        "trust": dict(served.classifier.malls.trust),
        "seconds": time.monotonic() - started,
    }
    return replace(served, metrics=metrics, trial=trial, held=tuple(rows.skus[row] for row in parts.test))


def fit_classifier(
    rows: TextRows,
    settings: TextSettings,
    members: int,
    say: Say = lambda line: None,
    *,
    text_first: bool = False,
    stop_words: StopWords | None = None,
) -> TrainedText:
    """Vocabulary, tables and networks, uncalibrated, learned from all of the rows.

    stop_words: left out of the names of their categories.
    text_first: learn from names alone, then add the picture while what reads names stays as it is.
    :raise NotEnoughData: no name, or no type that ``LEAST_ROWS`` rows give.
    """
    words = category_words(rows)
    if stop_words:
        named = zip(rows.names, rows.categories, strict=True)
        rows = replace(rows, names=tuple(without_stop_words(name, path, stop_words) for name, path in named))
    features = NameFeatures(Subwords.train(rows.names, settings.vocabulary), settings.buckets)
    encoded = encode_rows(rows, features, words)
    answers = answers_of(rows, settings)
    cared = care_for_types(encoded, answers.codes[TYPE], len(answers.names[TYPE]), settings.care, settings.seed)
    say(f"probably wrong types: {cared.noise:.1%}; {int((cared.codes != answers.codes[TYPE]).sum()):,} are mended")
    taught = Answers(answers.names, {**answers.codes, TYPE: cared.codes})
    fitted = []
    for number in range(members):
        began = time.monotonic()
        chosen = replace(settings, vocabulary=features.subwords.size, seed=settings.seed + number)
        if text_first:
            read = learn(encoded, taught, replace(chosen, taught_with="name"), cared.used).parameters
            fitted.append(learn(encoded, taught, chosen, cared.used, read_only(read), ("text/",)))
        else:
            fitted.append(learn(encoded, taught, chosen, cared.used))
        say(f"network {number + 1} of {members}: {time.monotonic() - began:.0f} s")
    names = {head: answers.names[head] for head in fitted[0].architecture.heads}
    malls = count_malls(rows.sources, rows.mall_categories, answers.codes[TYPE], len(names[TYPE]))
    classifier = CategoryClassifier(
        features, fitted, names, Calibration.prior(), malls, paths_of(rows), words, stop_words
    )
    counts = Counter(kind for kind in rows.types if kind is not None)
    return TrainedText(classifier, words, dict(sorted(counts.items())))


def read_only(parameters: Mapping[str, Float32]) -> dict[str, Float32]:
    """Those of the text encoder."""
    return {name: values for name, values in parameters.items() if name.startswith("text/")}


def answers_of(rows: TextRows, settings: TextSettings) -> Answers:
    """What the heads are asked, and the rows' own answers."""
    given: dict[str, tuple[str | None, ...]] = {TYPE: rows.types, "colour": rows.colours, "season": rows.seasons()}
    given = {head: values for head, values in given.items() if head in settings.heads}
    given |= levels_of(rows) if settings.levels else {}
    names = {head: known_answers(values, LEAST_ROWS) for head, values in given.items()}
    if not names[TYPE]:
        raise NotEnoughData("no type is given by two rows; the catalogue needs types or categories to learn them")
    return Answers(names, {head: codes_of(values, names[head]) for head, values in given.items()})


def levels_of(rows: TextRows) -> dict[str, tuple[str | None, ...]]:
    """The category path down to each level above the last one, by the name of its head; None where there is none."""
    paths = [[] if path is None else path.split(" > ") for path in rows.categories]
    depth = max((len(path) for path in paths), default=0)
    return {
        f"level {level}": tuple(" > ".join(path[:level]) if len(path) > level else None for path in paths)
        for level in range(1, depth)
    }


def paths_of(rows: TextRows) -> dict[str, str]:
    """The category that most rows of a type have; equal counts go to the one that sorts first."""
    found: dict[str, Counter[str]] = {}
    for kind, path in zip(rows.types, rows.categories, strict=True):
        if kind is not None and path is not None:
            found.setdefault(kind, Counter())[path] += 1
    return {kind: min(paths, key=lambda path: (-paths[path], path)) for kind, paths in found.items()}


def calibrated(trained: TrainedText, validation: TextRows) -> TrainedText:
    """The same with temperatures, threshold and trust fitted on rows that taught nothing."""
    classifier = trained.classifier
    known = validation.subset(np.flatnonzero([kind is not None for kind in validation.types]))
    if len(known) < CALIBRATION_ROWS:
        return with_calibration(trained, Calibration.prior(), Malls.nothing(len(classifier.answers[TYPE])))
    codes = codes_of(known.types, classifier.answers[TYPE])
    encoded = classifier.features.encode(known.names)
    views = classifier.type_logits(encoded, known.vectors(np.arange(len(known))), known.has_image)
    told = {view: logits.astype(np.float64) for view, logits in views.items()}
    named, shown = encoded.pieces[:, 0] > 0, known.has_image
    both = named & shown
    masked = classifier.features.encode([trained.words.mask(name) for name in known.names])
    bare = np.flatnonzero((masked.pieces[:, 0] > 0) & shown)
    untold = classifier.type_logits(masked.subset(bare), known.vectors(bare), shown[bare])
    calibration = fit_calibration(
        {"name": (told["name"][named], codes[named]), "image": (told["image"][shown], codes[shown])},
        ({view: logits[both] for view, logits in told.items()}, codes[both]),
        ({view: logits.astype(np.float64) for view, logits in untold.items()}, codes[bare]),
    )
    listing = shown_as(known, "fused", trained.words)
    nowhere = Malls.nothing(len(classifier.answers[TYPE]))
    probabilities = probabilities_of(with_calibration(trained, calibration, nowhere).classifier, listing)
    threshold = fit_threshold(probabilities.max(axis=1), probabilities.argmax(axis=1) == codes)
    rows = (known.sources, known.mall_categories, codes)
    malls = fit_trust(classifier.malls, probabilities, rows, threshold)
    return with_calibration(trained, replace(calibration, threshold=threshold), malls)


def with_calibration(trained: TrainedText, calibration: Calibration, trust: Malls) -> TrainedText:
    """The same with these temperatures and threshold, and sources trusted as ``trust`` says."""
    old = trained.classifier
    malls = (
        replace(old.malls, trust=trust.trust, usual=trust.usual) if trust.keys else Malls.nothing(len(old.malls.prior))
    )
    classifier = CategoryClassifier(
        old.features, old.members, old.answers, calibration, malls, old.paths, old.words, old.stop_words
    )
    return replace(trained, classifier=classifier)
