"""The one split file: which photo may be used for what, by scene, made before any training.

Roles (decision 4): *train* and *validation* may be shown to backbone training; *calibration*, *test*
and *hold_out* never. Classifiers are measured by K scene-grouped folds over everything but the
hold-out, and the published ones are then fitted on all of that. Only the hold-out, on which champion
and challenger are compared, is never trained on by anything. A photo keeps its role: a new split is made
from the old one plus the new photos. Where a new photo joins two scenes of different roles into one, the
less protected role wins: a photo may leave the hold-out, but none that was trained on ever enters it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import SplitError

SPLIT_FORMAT = 1
FOLDS = 5
LEAST_PHOTOS_TO_HOLD_OUT = 4
"""Labels with fewer originals are never held out: FCN and SVM need three of them to learn the label."""

SHARES: Mapping[str, float] = {"validation": 0.08, "calibration": 0.08, "test": 0.10, "hold_out": 0.10}
"""Share of each label's photos per role; the rest is train."""

_LEAST_SHARE_OF_A_PHOTO = 0.5
"""A label gives a photo to a role once half a photo is its share: the hold-out takes none of four photos."""

_PROTECTION = ("train", "validation", "calibration", "test", "hold_out")


@dataclass(frozen=True, slots=True)
class PhotoPlace:
    """Where one photo stands: its role, its fold (0..K-1; -1 in the hold-out) and its scene."""

    role: str
    fold: int
    scene: int


@dataclass(frozen=True, slots=True)
class Split:
    """The places by content hash, and the number of folds."""

    places: Mapping[str, PhotoPlace]
    folds: int

    def role(self, name: str) -> list[str]:
        """Content hashes of a role, sorted."""
        return sorted(h for h, place in self.places.items() if place.role == name)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        photos = {h: [place.role, place.fold, place.scene] for h, place in sorted(self.places.items())}
        path.write_text(json.dumps({"format": SPLIT_FORMAT, "folds": self.folds, "photos": photos}))

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read what ``save`` wrote.

        :raise SplitError: unreadable or of another format.
        """
        try:
            data: Any = json.loads(path.read_text())
            if data["format"] != SPLIT_FORMAT:
                raise ValueError(f"format {data['format']}, this version reads {SPLIT_FORMAT}")
            places = {h: PhotoPlace(str(r), int(f), int(s)) for h, (r, f, s) in data["photos"].items()}
            unknown = {place.role for place in places.values()} - set(_PROTECTION)
            if unknown:
                raise ValueError(f"unknown role {min(unknown)!r}")
            return cls(places, int(data["folds"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SplitError(
                f"{path} is not a split file ({error}); restore it (every bundle holds the split.json it was trained "
                "with), or remove it to split anew: figures before and after are then not comparable"
            ) from error


def make_split(
    hashes: Sequence[str],
    labels: Sequence[str],
    scenes: NDArray[np.intp],
    *,
    folds: int = FOLDS,
    earlier: Split | None = None,
    seed: int = 0,
) -> Split:
    """Assign roles and folds, whole scenes at a time.

    hashes, labels, scenes: n each. earlier: the split before, whose roles are kept, and whose folds where it
    has as many (new scene-mates of a photo join its role and fold).
    Within each label, scenes are drawn in random order and each goes where that label lacks most.
    A label keeps at least one scene outside the hold-out, whatever the earlier split says; labels with
    fewer than ``LEAST_PHOTOS_TO_HOLD_OUT`` photos or a single scene are all train, and so is a scene that
    two labels share (one photo under both), since no measure can trust it.
    :raise SplitError: folds below 2.
    """
    if folds < 2:
        raise SplitError(f"cross-validation needs at least 2 folds, got {folds}")
    rng = np.random.default_rng(seed)
    members = _members(labels, scenes)
    roles = {**_earlier_roles(hashes, scenes, earlier), **dict.fromkeys(_shared(members), "train")}
    fold_of = _earlier_folds(hashes, scenes, earlier, folds)
    fold_load = np.zeros(folds)
    for label in sorted(members):
        own = members[label]
        total = sum(own.values())
        holdable = total >= LEAST_PHOTOS_TO_HOLD_OUT and len(own) > 1
        order = sorted(own)
        rng.shuffle(order)
        if not holdable:
            roles |= dict.fromkeys(order, "train")
        elif all(roles.get(scene) == "hold_out" for scene in order):
            roles[order[0]] = "train"
        counts = Counter({role: sum(own[s] for s in order if roles.get(s) == role) for role in _PROTECTION})
        label_load = np.zeros(folds)
        for scene in order:
            if scene not in roles:
                roles[scene] = _role(holdable, counts, own[scene], total)
                counts[roles[scene]] += own[scene]
            if roles[scene] == "hold_out":
                continue
            if scene not in fold_of:
                fold_of[scene] = int(np.lexsort((fold_load, label_load))[0])
            label_load[fold_of[scene]] += own[scene]
            fold_load[fold_of[scene]] += own[scene]
    places = {
        h: PhotoPlace(roles[int(s)], -1 if roles[int(s)] == "hold_out" else fold_of[int(s)], int(s))
        for h, s in zip(hashes, scenes, strict=True)
    }
    return Split(places, folds)


def _members(labels: Sequence[str], scenes: NDArray[np.intp]) -> dict[str, dict[int, int]]:
    """label -> scene -> number of photos."""
    members: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for label, scene in zip(labels, scenes, strict=True):
        members[label][int(scene)] += 1
    return members


def _shared(members: Mapping[str, Mapping[int, int]]) -> set[int]:
    """Scenes that several labels have photos in."""
    labels_of = Counter(scene for own in members.values() for scene in own)
    return {scene for scene, count in labels_of.items() if count > 1}


def _earlier_roles(hashes: Sequence[str], scenes: NDArray[np.intp], earlier: Split | None) -> dict[int, str]:
    """Roles that scenes inherit; where photos of several roles now share a scene, the least protected wins."""
    inherited: dict[int, str] = {}
    if earlier is None:
        return inherited
    for content_hash, scene in zip(hashes, scenes, strict=True):
        place = earlier.places.get(content_hash)
        if place is not None:
            present = inherited.get(int(scene), place.role)
            inherited[int(scene)] = min(present, place.role, key=_PROTECTION.index)
    return inherited


def _earlier_folds(
    hashes: Sequence[str], scenes: NDArray[np.intp], earlier: Split | None, folds: int
) -> dict[int, int]:
    """Folds that scenes inherit, each from its first photo that had one."""
    inherited: dict[int, int] = {}
    if earlier is not None and earlier.folds == folds:
        for content_hash, scene in zip(hashes, scenes, strict=True):
            place = earlier.places.get(content_hash)
            if place is not None and place.fold >= 0:
                inherited.setdefault(int(scene), place.fold)
    return inherited


def _role(holdable: bool, counts: Counter[str], size: int, total: int) -> str:
    """The role that this label lacks most; train first, and only roles the scene does not overfill twice."""
    if not holdable or counts["train"] == 0:
        return "train"
    lacking = {
        role: share * total - counts[role]
        for role, share in SHARES.items()
        if share * total >= _LEAST_SHARE_OF_A_PHOTO
        and ((counts[role] == 0 and size <= max(1.0, 2.5 * share * total)) or counts[role] + size <= share * total)
    }
    if not lacking:
        return "train"
    role, missing = max(lacking.items(), key=lambda item: (item[1], item[0]))
    return role if missing > 0 else "train"
