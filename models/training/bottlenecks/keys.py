"""What the bottleneck cache is asked for and what it says of a photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from augment.variants import ORIGINAL, VARIANTS_VERSION
from models.values import Float32


class BottleneckKey(NamedTuple):
    """What a stored vector was computed from.

    content_hash: SHA-256 of the photo's bytes as they first came (a store may have stripped metadata since).
    variant: see ``variant_key``.
    """

    content_hash: str
    variant: str


def variant_key(name: str, seed: int) -> str:
    """How a variant is named in the cache: with the recipes' version and the seed, unless it is the
    original, which depends on neither."""
    return ORIGINAL if name == ORIGINAL else f"{name}|v{VARIANTS_VERSION}|{seed}"


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFacts:
    """What is kept of a photo beside its vectors.

    width, height: pixels of the upright photo as it came.
    scene: float32 (864,), see ``scene_descriptor``.
    """

    content_hash: str
    width: int
    height: int
    scene: Float32
