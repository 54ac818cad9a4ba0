"""Learning with care: what is done with photos whose label is probably wrong, before FCN and SVM learn from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.training.care.confident import LEAST_TO_JUDGE, Suspects, find_suspects
from models.training.care.likelihood import leave_one_out
from models.training.care.selfie import SelfieSettings, refurbish
from models.training.data import TrainingPhotos

LEAST_PHOTOS: Final = 100
"""Photos below which nothing is suspected: too few to know a wrong label from a rare look."""


class Care(StrEnum):
    """What training does with probable mislabels.

    NONE: learns them. LEAVE_OUT: learns from the others (confident learning). RELABEL: learns them under the label
    suggested (confident learning). SELFIE: learns from clean and refurbished photos.
    """

    NONE = "none"
    LEAVE_OUT = "leave_out"
    RELABEL = "relabel"
    SELFIE = "selfie"


@dataclass(frozen=True, slots=True, eq=False)
class Cared:
    """The photos to learn from, and what became of the others.

    left_out: content hashes. relabelled: content hash -> the label that it is learned under.
    """

    photos: TrainingPhotos
    left_out: tuple[str, ...] = ()
    relabelled: Mapping[str, str] = field(default_factory=dict)


def coded(photos: TrainingPhotos) -> tuple[list[str], NDArray[np.intp]]:
    """(the labels, sorted; each photo's as a number)."""
    names, codes = np.unique(np.array(photos.labels, dtype=np.str_), return_inverse=True)
    return [str(name) for name in names], np.asarray(codes, dtype=np.intp)


def suspects_among(photos: TrainingPhotos) -> Suspects:
    """Probable mislabels, each photo judged from all the others; none where there are too few photos or labels."""
    names, codes = coded(photos)
    if len(photos) < LEAST_PHOTOS or len(names) < 2:
        return Suspects(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0), 0.0)
    return find_suspects(leave_one_out(photos.originals, codes, len(names)), codes)


def take_care(photos: TrainingPhotos, care: Care, seed: int = 0) -> Cared:
    """The photos to fit on: all of them, as they are labelled, where care is NONE or there are too few to judge by.

    A label that would keep fewer than ``LEAST_TO_JUDGE`` of its photos keeps all as they are. Variants follow their
    original.
    """
    return _decide(photos, care, seed)[0]


def take_care_of_both(
    training: TrainingPhotos, validation: TrainingPhotos, care: Care, seed: int = 0
) -> tuple[TrainingPhotos, TrainingPhotos]:
    """The same for photos to fit on and photos to stop by, which are judged together.

    Wrong labels among the latter punish a network for being sure, and it stops too early. They stay as they are where
    none would be left.
    """
    if care is Care.NONE:
        return training, validation
    together = TrainingPhotos(
        (*training.hashes, *validation.hashes),
        (*training.labels, *validation.labels),
        np.concatenate([training.originals, validation.originals]),
        np.empty((len(training) + len(validation), 0, training.originals.shape[1]), np.float32),
    )
    labels, used = _decide(together, care, seed)[1:]
    if not used[len(training) :].any():
        used[len(training) :] = True
    return _taken(training, labels[: len(training)], used[: len(training)]), _taken(
        validation, labels[len(training) :], used[len(training) :]
    )


def _decide(photos: TrainingPhotos, care: Care, seed: int) -> tuple[Cared, list[str], NDArray[np.bool_]]:
    """(what to learn, the label to learn each photo under, whether it is learned at all)."""
    names, codes = coded(photos)
    everything = np.ones(len(photos), dtype=bool)
    if care is Care.NONE or len(photos) < LEAST_PHOTOS or len(names) < 2:
        return Cared(photos), list(photos.labels), everything
    found = suspects_among(photos)
    labels, used = codes.copy(), everything
    if care is Care.LEAVE_OUT:
        used[found.rows] = False
    elif care is Care.RELABEL:
        labels[found.rows] = found.suggested
    else:
        refurbished = refurbish(photos.originals, codes, len(names), found.noise, SelfieSettings(seed=seed))
        labels, used = refurbished.labels, refurbished.used
    kept = np.bincount(codes[used & (labels == codes)], minlength=len(names))
    had = np.bincount(codes, minlength=len(names))
    spared = (kept < np.minimum(had, LEAST_TO_JUDGE))[codes]
    labels, used = np.where(spared, codes, labels), used | spared
    changed = {photos.hashes[i]: names[labels[i]] for i in np.flatnonzero(used & (labels != codes))}
    named = [names[label] for label in labels]
    left_out = tuple(photos.hashes[i] for i in np.flatnonzero(~used))
    return Cared(_taken(photos, named, used), left_out, changed), named, used


def _taken(photos: TrainingPhotos, labels: list[str], used: NDArray[np.bool_]) -> TrainingPhotos:
    rows = np.flatnonzero(used)
    taken = photos.subset(rows)
    return TrainingPhotos(taken.hashes, tuple(labels[i] for i in rows), taken.originals, taken.variants)
