"""Bottlenecks of far-foreign pictures, by which the verdict learns the far world: computed once a space.

They lie beside the space's bottleneck cache, in ``far.npz``: the vectors, and the SHA-256 of the pictures as the
network saw them. So other pictures, another number of them, or a damaged file are computed anew, the same ones never.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from augment.render import render_foreign
from models.backbone.preprocessing import fit_input
from models.files import replace_file
from models.values import BOTTLENECK_SIZE, Backbone, Float32, UInt8

_FAR_SEED: Final = 10_000
_FILE: Final = "far.npz"
_MOST_BYTES: Final = 2**28
_UNIT_TOLERANCE: Final = 1e-3

log = logging.getLogger(__name__)


def far_foreign_vectors(home: Path, backbone: Backbone, count: int) -> Float32:
    """Bottlenecks (count, 2048) of rendered pictures that show no product, stored or computed now.

    The caller holds ``HOME/training.lock``.
    """
    inputs = [fit_input(render_foreign(_FAR_SEED + i)) for i in range(count)]
    digest = _digest(inputs)
    path = home / "bottlenecks" / backbone.space / _FILE
    stored = _stored(path, digest, count)
    if stored is not None:
        return stored
    vectors = backbone.extract(inputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, vectors=vectors, pictures=np.frombuffer(digest, np.uint8))
    replace_file(temporary, path)
    return vectors


def _digest(inputs: Sequence[UInt8]) -> bytes:
    whole = hashlib.sha256()
    for pixels in inputs:
        whole.update(np.ascontiguousarray(pixels).tobytes())
    return whole.digest()


def _stored(path: Path, digest: bytes, count: int) -> Float32 | None:
    """What the file holds, where it holds these pictures' vectors whole; else None."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"has more than {_MOST_BYTES} bytes")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            vectors, pictures = data["vectors"], data["pictures"].tobytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s is damaged (%s): computing it anew", path, error)
        return None
    if pictures != digest:
        return None
    if vectors.shape != (count, BOTTLENECK_SIZE) or vectors.dtype != np.float32:
        log.warning("%s is damaged (%s, %s): computing it anew", path, vectors.shape, vectors.dtype)
        return None
    if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1.0) < _UNIT_TOLERANCE):  # also true for NaN
        log.warning("%s is damaged (a vector does not have unit length): computing it anew", path)
        return None
    found: Float32 = vectors
    return found
