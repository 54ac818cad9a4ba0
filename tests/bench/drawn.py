"""Drawn photos for the measurements: of products, as JPEG bytes, each by its own seed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from augment.render import FailureKind, RenderedProduct, render_phone_photo, render_view

_WORKERS = 2
"""Processes that draw; the measured service needs the machine too."""


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """The file that a camera would send."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=88)
    return out.getvalue()


def studio_photo(product: RenderedProduct, view: int) -> bytes:
    """One of the product's studio views."""
    return jpeg(render_view(product, view))


def phone_photos(
    products: Sequence[RenderedProduct], seed: int, count: int, shots: Sequence[str] = (FailureKind.NONE,)
) -> list[list[bytes]]:
    """``count`` phone photos of each product, with another product in the picture; no two of one seed are alike.

    shots: kinds of failure that the photos of a product go through in turn, each product from another one on.
    """
    tasks = [
        (product, products[(place + 1 + turn) % len(products)], seed + turn, shots[(place + turn) % len(shots)])
        for place, product in enumerate(products)
        for turn in range(count)
    ]
    # Spawned, not forked: this process holds connections and threads.
    with ProcessPoolExecutor(_WORKERS, get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        photos = list(pool.map(_phone_photo, tasks, chunksize=8))
    return [photos[start : start + count] for start in range(0, len(photos), count)]


def _phone_photo(task: tuple[RenderedProduct, RenderedProduct, int, str]) -> bytes:
    product, neighbour, seed, shot = task
    family = product.family
    return jpeg(
        render_phone_photo(product, seed, camera=family, backgrounds=family, distractors=(neighbour,), failure=shot)
    )


def another(photo: bytes, rng: np.random.Generator) -> bytes:
    """The same photo as other bytes: a patch of it is changed, so that every store takes it for another one."""
    pixels = np.array(Image.open(io.BytesIO(photo)).convert("RGB"))
    top, left = int(rng.integers(pixels.shape[0] - 8)), int(rng.integers(pixels.shape[1] - 8))
    pixels[top : top + 8, left : left + 8] = rng.integers(0, 256, (8, 8, 3))
    return jpeg(pixels)
