"""Photos to load the service with: drawn once into a cache folder, altered without end, so that no two are alike."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final, Literal, get_args

from tests.bench.load.altered import altered

Size = Literal["12mp", "1280"]
SIZES: Final[tuple[Size, ...]] = get_args(Size)
PIXELS: Final[dict[Size, tuple[int, int]]] = {"12mp": (4032, 3024), "1280": (1280, 960)}
"""Width and height: what a phone takes, and what an app that reduces photos before it sends them does."""

BASES: Final = 16
"""Photos that are drawn of each size; ``altered`` makes thousands of each."""

_BYTES: Final[dict[Size, int]] = {"12mp": 3_200_000, "1280": 700_000}
"""Quality is lowered until a photo is no larger; that of 12 megapixels then has about three million bytes."""

_SEED = 60_000
_NOISE = 3.0
"""Standard deviation of the sensor's noise that enlarging has taken away, grey values."""

_DRAWERS = 2


def cached_photos(folder: Path, size: Size) -> list[Path]:
    """The drawn photos of a size, JPEG; drawn where the folder lacks them."""
    place = folder / size
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / f"{number:02d}.jpg" for number in range(BASES)]
    missing = [(path, number, size) for number, path in enumerate(paths) if not path.is_file()]
    if missing:
        # Spawned, not forked: OpenCV keeps threads.
        with ProcessPoolExecutor(_DRAWERS, get_context("spawn")) as pool:
            list(pool.map(_draw, missing))
    return paths


def read_all(paths: Sequence[Path]) -> list[bytes]:
    """Their bytes."""
    return [path.read_bytes() for path in paths]


def distinct_photo(bases: Sequence[bytes], number: int) -> bytes:
    """The photo ``number`` of an endless row: no two have the same bytes; pixels come again after 11,664."""
    return altered(bases[number % len(bases)], number // len(bases))


def _draw(task: tuple[Path, int, Size]) -> None:
    import cv2
    import numpy as np
    from PIL import Image

    from app.cli.demo.shop import FAMILY, demo_products
    from augment.render import render_phone_photo

    path, number, size = task
    products, _ = demo_products()
    product, neighbour = products[number], products[number + BASES]
    cv2.setNumThreads(1)
    pixels = render_phone_photo(product, _SEED + number, camera=FAMILY, backgrounds=FAMILY, distractors=(neighbour,))
    if pixels.shape[1] < pixels.shape[0]:
        pixels = np.ascontiguousarray(np.rot90(pixels))
    width, height = PIXELS[size]
    if pixels.shape[:2] != (height, width):
        large = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        grain = np.random.default_rng(_SEED + number).normal(0, _NOISE, (height, width, 1)).astype(np.float32)
        pixels = np.clip(large + grain, 0, 255).astype(np.uint8)
    temporary = path.with_suffix(".part")
    temporary.write_bytes(_jpeg(Image.fromarray(pixels), _BYTES[size]))
    temporary.rename(path)


def _jpeg(image: object, most_bytes: int) -> bytes:
    """The best quality that keeps within so many bytes."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    for quality in range(94, 40, -2):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        if out.tell() <= most_bytes:
            break
    return out.getvalue()
