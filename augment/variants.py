"""The eight training variants of a photo (brightness, four corner crops, two rotations, blur).

albumentations applies them; the one number each variant needs is drawn here, from a generator that is
seeded by the photo's content, the variant's name and the caller's seed alone. A variant therefore never
depends on which others are made, nor on the order, the process or the library's own random state.

albumentations is imported when a variant is made, not with this module: a serving process that imports
``augment`` for something else never loads it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final, cast

import cv2
import numpy as np

from augment.geometry import UInt8, limit_short_edge, require_photo, resize_square

VARIANT_SIZE: Final = 299
"""Edge of every variant, pixels: the input of Inception-v3."""

ORIGINAL: Final = "original"
"""The name of the unchanged (only resized) photo."""

VARIANT_NAMES: Final[tuple[str, ...]] = (
    "brightness",
    "crop_top_left",
    "crop_top_right",
    "crop_bottom_left",
    "crop_bottom_right",
    "rotate_left",
    "rotate_right",
    "blur",
)
"""The eight variants made by default."""

FLIP: Final = "flip"
"""The ninth, not made by default: it mirrors the print on a label."""

SELECTABLE_NAMES: Final[tuple[str, ...]] = (*VARIANT_NAMES, FLIP)
"""Every name a caller may ask for beside ``ORIGINAL``."""

BRIGHTNESS_DARKER: Final = (0.55, 0.85)
BRIGHTNESS_BRIGHTER: Final = (1.15, 1.50)
"""Factors on the pixel values; one of the two ranges is drawn with equal chance, so never about 1."""

CROP_SHARE: Final = (0.70, 0.90)
"""Share of each edge that a corner crop keeps (the rest of "scale, then crop"), then scaled to 299."""

ROTATION_DEG: Final = (5.0, 20.0)
"""Degrees, counter-clockwise for ``rotate_left`` and clockwise for ``rotate_right``."""

BLUR_SIGMA_PX: Final = (1.0, 2.5)
"""Standard deviation of the Gaussian, pixels of the 299 x 299 result."""

VARIANTS_VERSION: Final = "1"
"""Changes with every recipe or range; belongs into the cache key of whatever is made of a variant."""

_WORKING_SHORT_EDGE: Final = 2 * VARIANT_SIZE
"""Crops and rotations happen at this resolution: finer is lost in the result, coarser would blur crops."""

_Recipe = Callable[[UInt8, float], UInt8]


def make_variant(pixels: UInt8, name: str, seed: int) -> UInt8:
    """One variant of a photo.

    :param pixels: uint8 (h, w, 3), RGB, upright, any size; not changed.
    :param name: one of ``SELECTABLE_NAMES`` or ``ORIGINAL``.
    :param seed: any integer; the result depends on (pixels, name, seed) and on nothing else.
    :returns: uint8 (299, 299, 3), RGB, a fresh array.
    :raises ValueError: unknown name, or ``pixels`` is not such an array.
    """
    require_photo(pixels)
    if name == ORIGINAL:
        return resize_square(pixels, VARIANT_SIZE)
    recipe = _recipe(name)
    return recipe(pixels, variant_amount(pixels, name, seed))


def make_variants(pixels: UInt8, seed: int, names: Sequence[str] = VARIANT_NAMES) -> dict[str, UInt8]:
    """Several variants, by name, in the order asked for; each as ``make_variant`` makes it alone."""
    for name in names:
        if name != ORIGINAL:
            _recipe(name)
    return {name: make_variant(pixels, name, seed) for name in names}


def variant_amount(pixels: UInt8, name: str, seed: int) -> float:
    """The number that a variant uses: a factor, a share, degrees or a sigma; 1.0 for ``flip``.

    :raises ValueError: unknown name, or ``pixels`` is not a uint8 RGB array.
    """
    require_photo(pixels)
    _recipe(name)
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{name}|{seed}|{pixels.shape[0]}x{pixels.shape[1]}|".encode())
    digest.update(np.ascontiguousarray(resize_square(pixels, 64)).tobytes())
    rng = np.random.default_rng(int.from_bytes(digest.digest(), "big"))
    if name == "brightness":
        return float(rng.uniform(*(BRIGHTNESS_DARKER if rng.random() < 0.5 else BRIGHTNESS_BRIGHTER)))
    if name.startswith("crop_"):
        return float(rng.uniform(*CROP_SHARE))
    if name.startswith("rotate_"):
        return float(rng.uniform(*ROTATION_DEG))
    return float(rng.uniform(*BLUR_SIGMA_PX)) if name == "blur" else 1.0


def _recipe(name: str) -> _Recipe:
    recipe = _RECIPES.get(name)
    if recipe is None:
        valid = ", ".join((*SELECTABLE_NAMES, ORIGINAL))
        raise ValueError(f"unknown variant {name!r}; valid names are: {valid}")
    return recipe


def _albumentations() -> ModuleType:
    """albumentations without its update check, which would call home on import."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    return cast(ModuleType, albumentations)


def _apply(transform: Any, pixels: UInt8) -> UInt8:
    return np.ascontiguousarray(transform(image=pixels)["image"], dtype=np.uint8)


def _brightness(pixels: UInt8, factor: float) -> UInt8:
    transform = _albumentations().ColorJitter(
        brightness=(factor, factor), contrast=(1, 1), saturation=(1, 1), hue=(0, 0), p=1
    )
    return _apply(transform, resize_square(pixels, VARIANT_SIZE))


def _corner_crop(top: bool, left: bool) -> _Recipe:
    def crop(pixels: UInt8, share: float) -> UInt8:
        working = limit_short_edge(pixels, _WORKING_SHORT_EDGE)
        height, width = working.shape[:2]
        kept_height, kept_width = max(1, round(height * share)), max(1, round(width * share))
        y = 0 if top else height - kept_height
        x = 0 if left else width - kept_width
        transform = _albumentations().Crop(x_min=x, y_min=y, x_max=x + kept_width, y_max=y + kept_height, p=1)
        return resize_square(_apply(transform, working), VARIANT_SIZE)

    return crop


def _rotation(sign: int) -> _Recipe:
    """Rotate in the photo's own proportions; the corners that open up mirror the picture's edge."""

    def rotate(pixels: UInt8, degrees: float) -> UInt8:
        working = limit_short_edge(pixels, _WORKING_SHORT_EDGE)
        transform = _albumentations().Rotate(
            limit=(sign * degrees, sign * degrees),
            interpolation=cv2.INTER_LINEAR,
            border_mode=cv2.BORDER_REFLECT_101,
            p=1,
        )
        return resize_square(_apply(transform, working), VARIANT_SIZE)

    return rotate


def _blur(pixels: UInt8, sigma: float) -> UInt8:
    transform = _albumentations().GaussianBlur(blur_limit=0, sigma_limit=(sigma, sigma), p=1)
    return _apply(transform, resize_square(pixels, VARIANT_SIZE))


def _flip(pixels: UInt8, _amount: float) -> UInt8:
    return _apply(_albumentations().HorizontalFlip(p=1), resize_square(pixels, VARIANT_SIZE))


_RECIPES: Final[dict[str, _Recipe]] = {
    "brightness": _brightness,
    "crop_top_left": _corner_crop(top=True, left=True),
    "crop_top_right": _corner_crop(top=True, left=False),
    "crop_bottom_left": _corner_crop(top=False, left=True),
    "crop_bottom_right": _corner_crop(top=False, left=False),
    "rotate_left": _rotation(+1),
    "rotate_right": _rotation(-1),
    "blur": _blur,
    FLIP: _flip,
}
