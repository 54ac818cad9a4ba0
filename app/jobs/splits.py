"""The one split file, ``HOME/splits/split.json``: made once, extended by new photos, never reshuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.jobs.bottlenecks import CatalogueImage
from models.backbone.locking import exclusive
from models.errors import NotEnoughData
from models.files import replace_file
from models.training.bottlenecks.descriptor import SCENE_SIZE, scene_descriptor
from models.training.finetune.photos import read_pixels
from models.training.scenes import cluster_scenes
from models.training.splits import FOLDS, Split, make_split
from models.values import Float32


def extend_split(home: Path, hashes: Sequence[str], labels: Sequence[str], descriptors: Float32, folds: int) -> Split:
    """The split of these photos, written to the file; the caller holds ``HOME/training.lock``.

    hashes, labels: n each. descriptors: float32 (n, 864), see ``scene_descriptor``.
    Photos that left the catalogue keep their role in the file, should they come back.
    :raise SplitError: the file is damaged.
    """
    path = split_file(home)
    earlier = Split.load(path) if path.exists() else None
    scenes = cluster_scenes(descriptors, labels, hashes)
    split = make_split(hashes, labels, scenes, folds=folds, earlier=earlier)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The scenes of photos that are gone mean nothing any more.
    gone = {h: replace(place, scene=-1) for h, place in (earlier.places if earlier else {}).items()}
    temporary = path.with_suffix(".tmp")
    replace(split, places={**gone, **split.places}).save(temporary)
    replace_file(temporary, path)
    return split


def catalogue_split(home: Path, images: Sequence[CatalogueImage], say: Callable[[str], None]) -> Split:
    """The split with a place for every photo; needs no bottlenecks.

    The file is taken as it is where it has them all, and made or extended from the photos' colours otherwise, as
    ``train`` does it.
    :raise NotEnoughData: no photos. :raise TrainingError: a photo cannot be read.
    :raise SplitError: the file is damaged.
    """
    if not images:
        raise NotEnoughData("the catalogue holds no photo; import one with `python -m app catalog import DIR`")
    with exclusive(home / "training.lock"):
        path = split_file(home)
        present = Split.load(path) if path.exists() else None
        if present is not None and all(_is_placed(present, image) for image in images):
            return present
        distinct = list({(image.label, image.content_hash): image for image in images}.values())
        say(f"scenes and split of {len(distinct)} photos")
        descriptors = np.empty((len(distinct), SCENE_SIZE), np.float32)
        for row, image in enumerate(distinct):
            descriptors[row] = scene_descriptor(read_pixels(image))
        hashes, labels = [image.content_hash for image in distinct], [image.label for image in distinct]
        return extend_split(home, hashes, labels, descriptors, present.folds if present else FOLDS)


def split_file(home: Path) -> Path:
    """Where the split file is."""
    return home / "splits" / "split.json"


def _is_placed(split: Split, image: CatalogueImage) -> bool:
    place = split.places.get(image.content_hash)
    return place is not None and place.scene >= 0
