"""The gate: whether a challenger may replace the champion, judged on frozen photos that neither has seen.

Both models answer the same hold-out photos as they would be served: vote over FCN, SVM and a k-NN memory of their
own space that holds everything but the hold-out, with labels masked that have left the catalogue. The champion's memory
lacks the shoppers' photos that were accepted since (``Contender.new_reviewed``): in service k-NN has them with either
model, so what they do to it would be seen nowhere. What counts is the vote's Top-1 on the labels that both know, in
pairs:

1. *Shown to be worse*: refused. An exact sign-flip test over scenes, whose photos stand or fall together: if the two
   were alike, each scene's net gain would be as likely a net loss. With one photo a scene it is McNemar's exact
   test. (Fisher, The Design of Experiments, 1935, ch. 3; McNemar, Psychometrika 12, 1947.)
2. *The drop bound*: refused where more photos are lost, net, than ``max_drop`` of them. One photo never decides.
3. *Groups*: refused where a category of ``LEAST_GROUP_PHOTOS`` photos or more loses more than ``max_group_drop``.

New labels, which the challenger's FCN and SVM have learnt since, are reported apart: gains there must not hide
losses elsewhere. A champion without FCN and SVM knows all labels alike, by k-NN: all are compared then.
Below ``LEAST_PHOTOS`` nothing is decided here: the challenger is kept for a person to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.bundle import Bundle
from models.classifiers.base import Classifier
from models.classifiers.exact import ExactNeighbours
from models.classifiers.knn import KnnClassifier
from models.training.data import TrainingPhotos
from models.training.pairs import LEAST_GROUP_PHOTOS, HeldPhoto, Pairs, plain_table
from models.values import Float32
from models.vote import Vote

LEAST_PHOTOS: Final = 10
"""Photos below which a comparison tells nothing: a single one is ten points."""

WORSE: Final = 0.025
"""One-sided level of rule 1; the lower half of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """max_drop: net share of all compared photos that may be lost. max_group_drop: of a group's. Both in 0..1."""

    max_drop: float = 0.02
    max_group_drop: float = 0.10


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """One of the two models, and what its space knows of the catalogue.

    photos: the catalogue's photos with their bottlenecks in this model's space, as far as it has them, hold-out
    included. trained_on: content hashes that taught it, or its vote and verdict. seen_by_backbone: content hashes that
    its weights were trained on. new_reviewed: content hashes of shoppers' photos that were accepted after its
    training; its memory is without them here.
    """

    bundle: Bundle
    photos: TrainingPhotos
    trained_on: frozenset[str]
    seen_by_backbone: frozenset[str]
    new_reviewed: frozenset[str] = frozenset()

    @property
    def taught_labels(self) -> frozenset[str]:
        """Labels that its FCN and SVM can name."""
        models = (self.bundle.fcn, self.bundle.svm)
        return frozenset[str]().union(*(model.known for model in models if model is not None))


@dataclass(frozen=True, slots=True)
class Ruling:
    """promote: the challenger may be served; None where too little could be compared to say. reason: for people."""

    promote: bool | None
    reason: str
    comparison: Mapping[str, Any]


def judge(
    champion: Contender, challenger: Contender, held: Sequence[HeldPhoto], settings: GateSettings | None = None
) -> Ruling:
    """Compare the two on the hold-out.

    held: every hold-out photo of the catalogue; none of them is in the k-NN memories, compared or not.
    """
    settings = settings or GateSettings()
    fair, left_out = fair_photos(champion, challenger, held)
    frozen = frozenset(photo.content_hash for photo in held)
    known_now = frozenset(challenger.photos.labels)
    memories = [_memory(champion, frozen)]
    is_same = champion.photos is challenger.photos and champion.new_reviewed == challenger.new_reviewed
    memories.append(memories[0] if is_same else _memory(challenger, frozen))
    named = [
        _named(contender, memory, [photo.content_hash for photo in fair], known_now)
        for contender, memory in zip((champion, challenger), memories, strict=True)
    ]
    is_new = _is_new(champion, challenger, memories[0])
    both = [i for i, photo in enumerate(fair) if not is_new(photo.label)]
    new = [i for i, photo in enumerate(fair) if is_new(photo.label)]
    pairs = Pairs.of([fair[i] for i in both], *([answers[i] for i in both] for answers in named))
    comparison = {
        "champion": champion.bundle.version,
        "challenger": challenger.bundle.version,
        **pairs.table(),
        "groups": pairs.groups(settings.max_group_drop),
        "new_labels": plain_table([fair[i] for i in new], *([answers[i] for i in new] for answers in named)),
        "forgotten_labels": len((champion.taught_labels - challenger.taught_labels) & known_now),
        "left_out": left_out,
        "new_reviewed_photos": len(champion.new_reviewed & frozenset(champion.photos.hashes) - frozen),
        "bounds": {
            "max_drop": settings.max_drop,
            "max_group_drop": settings.max_group_drop,
            "least_photos": LEAST_PHOTOS,
            "least_group_photos": LEAST_GROUP_PHOTOS,
        },
    }
    return rule(comparison, pairs, settings)


def fair_photos(
    champion: Contender, challenger: Contender, held: Sequence[HeldPhoto]
) -> tuple[list[HeldPhoto], dict[str, int]]:
    """The photos that both can be judged on, and how many were left out for which reason (the first that holds)."""
    trained_on = champion.trained_on | challenger.trained_on
    seen = champion.seen_by_backbone | challenger.seen_by_backbone
    stored = frozenset(champion.photos.hashes) & frozenset(challenger.photos.hashes)
    fair: list[HeldPhoto] = []
    left_out = {"trained_on": 0, "seen_by_backbone": 0, "without_bottleneck": 0}
    for photo in held:
        if photo.content_hash in trained_on:
            left_out["trained_on"] += 1
        elif photo.content_hash in seen:
            left_out["seen_by_backbone"] += 1
        elif photo.content_hash not in stored:
            left_out["without_bottleneck"] += 1
        else:
            fair.append(photo)
    return fair, left_out


def rule(comparison: Mapping[str, Any], pairs: Pairs, settings: GateSettings) -> Ruling:
    """Apply the rules of this module's docstring. comparison: as ``judge`` makes it from ``pairs``."""
    count = len(pairs)
    if count < LEAST_PHOTOS:
        left_out = sum(comparison["left_out"].values())
        return Ruling(
            None,
            f"only {count} hold-out photos could be compared ({left_out} were left out), at least {LEAST_PHOTOS} are "
            "needed to tell: look at its report and promote it by hand, or add photos (a label gives one to the "
            "hold-out from five on)",
            comparison,
        )
    top1 = comparison["top1"]
    told = (
        f"vote Top-1 {100 * top1['champion']:.1f} % before, {100 * top1['challenger']:.1f} % now, on {count} photos of "
        f"{comparison['scenes']} scenes ({100 * top1['difference']:+.1f} points, 95 % interval "
        f"{100 * top1['low']:+.1f} to {100 * top1['high']:+.1f})"
    )
    against: list[str] = []
    if comparison["p_worse"] <= WORSE:
        against.append(f"it is worse beyond chance (p = {comparison['p_worse']:.4f})")
    if pairs.lost - pairs.won > max(1.0, settings.max_drop * count):
        against.append(f"the drop is larger than the bound of {100 * settings.max_drop:.1f} points")
    against += [
        f"{group['group']} falls by {-100 * group['difference']:.1f} points on {group['photos']} photos, more than the "
        f"bound of {100 * settings.max_group_drop:.1f}"
        for group in comparison["groups"]
        if group["too_low"]
    ]
    if against:
        return Ruling(False, f"{'; '.join(against)}: {told}", comparison)
    return Ruling(True, f"not worse: {told}", comparison)


def comparison_lines(comparison: Mapping[str, Any] | None) -> list[str]:
    """The comparison for people; nothing where there was none."""
    if not comparison or not comparison["photos"]:
        return []
    width = max([len("vote Top-1"), *(len(group["group"]) for group in comparison["groups"])])
    told = [
        f"{comparison['photos']} hold-out photos of {comparison['scenes']} scenes that neither has seen: "
        f"{comparison['won']} won, {comparison['lost']} lost (p = {comparison['p_worse']:.3f})",
        f"{'':{width}}{'photos':>8}{'before':>8}{'now':>8}{'gain':>8}",
    ]
    for name, title in (("top1", "vote Top-1"), ("top5", "vote Top-5")):
        told.append(_line(title.ljust(width), comparison["photos"], comparison[name]))
    told += [_line(group["group"].ljust(width), group["photos"], group) for group in comparison["groups"]]
    new = comparison["new_labels"]
    if new["photos"]:
        told.append(f"{new['labels']} labels that FCN and SVM have learnt since, Top-1 (before: k-NN alone):")
        told.append(_line(" " * width, new["photos"], new["top1"]))
    return told


def _line(title: str, photos: int, row: Mapping[str, Any]) -> str:
    shares = "".join(f"{100 * row[name]:8.1f}" for name in ("champion", "challenger"))
    return f"{title}{photos:8}{shares}{100 * row['difference']:+8.1f}"


def _is_new(champion: Contender, challenger: Contender, memory: ExactNeighbours) -> Callable[[str], bool]:
    """Tells the labels that the challenger has learnt since. memory: the champion's."""
    before, after = champion.taught_labels, challenger.taught_labels
    remembered = frozenset(memory.labels)

    def is_new(label: str) -> bool:
        if label in before:
            return False
        return label not in remembered or (bool(before) and label in after)

    return is_new


def _memory(contender: Contender, frozen: frozenset[str]) -> ExactNeighbours:
    absent = frozen | contender.new_reviewed
    kept = np.array([i for i, h in enumerate(contender.photos.hashes) if h not in absent], dtype=np.intp)
    return ExactNeighbours(contender.photos.originals[kept], [contender.photos.labels[i] for i in kept])


def _named(
    contender: Contender, memory: ExactNeighbours, hashes: Sequence[str], present: frozenset[str]
) -> list[list[str]]:
    """The vote's labels for each photo, best first. present: the catalogue's labels; no other may be named."""
    if not hashes:
        return []
    row_of = {content_hash: row for row, content_hash in enumerate(contender.photos.hashes)}
    vectors: Float32 = contender.photos.originals[[row_of[content_hash] for content_hash in hashes]]
    bundle = contender.bundle
    models: list[Classifier | None] = [bundle.fcn, KnnClassifier(memory), bundle.svm]
    columns = [model.predict(vectors, within=present) for model in models if model is not None]
    vote = Vote(bundle.vote)
    return [[candidate.label for candidate in vote.merge(list(row)).candidates] for row in zip(*columns, strict=True)]
