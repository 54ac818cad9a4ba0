"""A small catalogue with a known answer: some types show in the name, some only in the picture."""

from __future__ import annotations

import numpy as np

from models.training.text.rows import UNKNOWN, TextRows

TYPES = ("shirt", "watch", "red thing", "blue thing")
WORDS = ("shirt", "watch", "thing", "thing")
"""What names say: the last two types differ in their pictures alone."""

BRANDS = ("Akko", "Birna", "Corvo", "도담")


def catalogue(n: int = 480, seed: int = 0, shown: float = 0.75) -> TextRows:
    """n rows of the four types in turn; a share of them with a picture."""
    random = np.random.default_rng(seed)
    centres = np.abs(np.random.default_rng(7).normal(size=(len(TYPES), 2048)))
    kinds = np.arange(n) % len(TYPES)
    images, image_rows = [], np.full(n, UNKNOWN, np.intp)
    for row in range(n):
        if random.random() < shown:
            image_rows[row] = len(images)
            images.append(np.abs(centres[kinds[row]] + random.normal(0, 0.5, 2048)))
    vectors = np.array(images).reshape(-1, 2048)
    brands = [BRANDS[random.integers(len(BRANDS))] for _ in range(n)]
    nothing = (None,) * n
    return TextRows(
        skus=tuple(f"p{row}" for row in range(n)),
        labels=tuple(f"p{row}" for row in range(n)),
        names=tuple(f"{brands[row]} {WORDS[kinds[row]]} {brands[row][:1]}{random.integers(1000)}" for row in range(n)),
        brands=tuple(brands),
        types=tuple(TYPES[kind] for kind in kinds),
        categories=tuple(f"Goods > {TYPES[kind].title()}" for kind in kinds),
        colours=nothing,
        sources=nothing,
        mall_categories=nothing,
        months=tuple(f"20{10 + row % 3}-06" for row in range(n)),
        given_seasons=nothing,
        image_rows=image_rows,
        images=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
    )
