"""Independent random generators from named parts, the same in every process."""

from __future__ import annotations

import hashlib

import numpy as np


def rng_for(*parts: object) -> np.random.Generator:
    """A generator seeded by the text of ``parts`` (``hash()`` is salted per process, so not used)."""
    digest = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
