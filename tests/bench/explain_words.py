"""Whether word shares can be believed, by deletion: ``python -m tests.bench.explain_words DIR``.

DIR is a catalogue folder; the text model of PICKTURE_HOME (``text train``) answers for its names, without pictures,
which would answer for the words. Words are taken out of each name one after the other, by their share or at random;
where the shares say what the answer rests on, its probability falls sooner. Writes ``bench/explain-words.json`` in
PICKTURE_HOME.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.config import Settings
from app.services.catalogue.reading import read_table
from app.services.catalogue.rows import check_rows
from app.services.name_shares import name_shares, score_of
from app.store.text_models import TextModelStore
from models.explain import deletion_order
from models.multimodal.classifier import CategoryClassifier, Listing
from models.training.measures import spread

DELETED: Final = (0, 1, 2, 3)
"""Words taken out so far when the model is asked again."""

_LEAST_WORDS: Final = 4
_RANDOM_ORDERS: Final = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 where no row can be asked about."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.explain_words")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=300, help="names asked about, drawn at random")
    options = parser.parse_args(arguments)
    settings = Settings.from_env()
    classifier = TextModelStore(settings.home).load().classifier
    listed = check_rows(read_table(options.directory).records, settings.currency).rows
    names = sorted({row.name for row in listed if row.name and len(row.name.split()) >= _LEAST_WORDS})
    if not names:
        print(f"{options.directory} has no name of {_LEAST_WORDS} words", file=sys.stderr)
        return 1
    chosen = np.random.default_rng(0).permutation(len(names))[: options.rows]
    result = deletion(classifier, [names[place] for place in chosen])
    folder = settings.home / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "explain-words.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['names']} names; probability of the first answer, and share of names that keep it")
    for order in ("by_share", "random"):
        told = (f"{p:.3f} ({100 * k:.0f} %)" for p, k in zip(result[order]["left"], result[order]["kept"], strict=True))
        print(f"{order:9} " + "   ".join(f"{count} out: {figure}" for count, figure in zip(DELETED, told, strict=True)))
    print(f"by share lower in {100 * result['better']:.0f} % of names, by {result['gap']['mean']:.3f} on average")
    return 0


def deletion(classifier: CategoryClassifier, names: Sequence[str]) -> dict[str, Any]:
    """``by_share`` and ``random``: {left, kept}, mean probability of the first answer and share of names whose first
    answer it still is, after each number of ``DELETED``; ``gap``: random less by share, mean over those numbers."""
    rng = np.random.default_rng(1)
    left: dict[str, list[Any]] = {"by_share": [], "random": []}
    kept: dict[str, list[Any]] = {"by_share": [], "random": []}
    for name in names:
        listing = Listing.of_names([name])
        label = classifier.classify(listing, 1)[0].ranked[0].label
        shares = name_shares(classifier, listing, label)
        orders = {"by_share": [deletion_order(shares)]}
        orders["random"] = [rng.permutation(len(shares)).tolist() for _ in range(_RANDOM_ORDERS)]
        for kind, own in orders.items():
            found = [_without(classifier, listing, label, order) for order in own]
            left[kind].append(np.mean([one[0] for one in found], axis=0))
            kept[kind].append(np.mean([one[1] for one in found], axis=0))
    gaps = np.mean(left["random"], axis=1) - np.mean(left["by_share"], axis=1)
    return {
        "names": len(names),
        "deleted": list(DELETED),
        **{
            kind: {"left": np.mean(left[kind], axis=0).tolist(), "kept": np.mean(kept[kind], axis=0).tolist()}
            for kind in left
        },
        "gap": spread(gaps.tolist()),
        "better": float((gaps > 0).mean()),
    }


def _without(
    classifier: CategoryClassifier, listing: Listing, label: str, order: Sequence[int]
) -> tuple[list[float], list[bool]]:
    words = listing.names[0].split()
    texts = [" ".join(word for place, word in enumerate(words) if place not in order[:count]) for count in DELETED]
    left = np.exp(score_of(classifier, listing, label)(texts)).tolist()
    first = [answer.ranked[0].label == label for answer in classifier.classify(Listing.of_names(texts), 1)]
    return left, first


if __name__ == "__main__":
    sys.exit(main())
