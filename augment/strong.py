"""Strong views for backbone training: a photo as a phone might have taken it, another one each time.

Where ``variants`` makes eight mild, named, repeatable variants for the classifiers, a strong view changes
everything at once (framing, tilt, light, colour, sharpness, compression, what hides a part), so that what a
network learns holds for phone photos. ``on_clutter`` puts a studio photo's product before another picture.
All randomness comes from the caller's generator; albumentations is imported at the first call.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final

import cv2
import numpy as np

from augment.geometry import UInt8, require_photo

FRAME_SHARE: Final = (0.25, 1.0)
"""Share of the photo's area that a view shows."""

ASPECT: Final = (0.75, 1.33)
"""Width to height of the shown part, relative to the photo's own."""

TILT_DEG: Final = 20.0
"""Greatest rotation, either way."""

PERSPECTIVE_SHARE: Final = 0.08
"""Greatest displacement of a corner, share of the edge."""

_STUDIO_LIGHT: Final = 232
_STUDIO_BORDER_SHARE: Final = 0.85
_MASK_DISTANCE: Final = 18.0
_OWN: Final = threading.local()


def strong_view(pixels: UInt8, rng: np.random.Generator, size: int, *, flip: bool = True) -> UInt8:
    """A strongly changed view of a photo; deterministic by (pixels, the generator's state, size, flip).

    :param pixels: uint8 (h, w, 3) RGB, any size; not changed.
    :param rng: source of all randomness; advanced.
    :param size: edge of the view, pixels, >= 32.
    :param flip: whether half of the views are mirrored.
    :returns: uint8 (size, size, 3) RGB, a fresh array.
    :raises ValueError: ``pixels`` is not such an array, or ``size`` < 32.
    """
    require_photo(pixels)
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels, got {size}")
    framed = _frame(pixels, rng, size, flip and rng.random() < 0.5)
    pipeline = _pipeline()
    pipeline.set_random_seed(int(rng.integers(2**31)))
    return np.ascontiguousarray(pipeline(image=framed)["image"], dtype=np.uint8)


def on_clutter(studio: UInt8, background: UInt8, rng: np.random.Generator) -> UInt8:
    """A studio photo's product before another picture, at random size and place.

    A photo whose border is not light and even (no studio photo) comes back as it is.

    :param studio: uint8 (h, w, 3) RGB.
    :param background: uint8 (any, any, 3) RGB.
    :returns: uint8 (h, w, 3) RGB.
    :raises ValueError: one of them is not such an array.
    """
    require_photo(studio)
    require_photo(background)
    mask = _product_mask(studio)
    if mask is None:
        return studio
    height, width = studio.shape[:2]
    behind = cv2.resize(background, (width, height), interpolation=cv2.INTER_AREA)
    scale = float(rng.uniform(0.6, 1.05))
    shift = [float(rng.uniform(-0.15, 0.15)) + (1 - scale) / 2 for _ in range(2)]
    move = np.array([[scale, 0, shift[0] * width], [0, scale, shift[1] * height]], np.float32)
    product = cv2.warpAffine(studio, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, move, (width, height))[..., None]
    mixed = product.astype(np.float32) * alpha + behind.astype(np.float32) * (1 - alpha)
    return np.asarray(mixed + 0.5, dtype=np.uint8)


def _frame(pixels: UInt8, rng: np.random.Generator, size: int, mirrored: bool) -> UInt8:
    """Crop, tilt and perspective in one resampling; what lies outside mirrors the picture's edge."""
    height, width = pixels.shape[:2]
    share = float(rng.uniform(*FRAME_SHARE))
    aspect = float(np.exp(rng.uniform(*np.log(ASPECT))))
    crop = np.clip(np.sqrt(share) * np.array([np.sqrt(aspect), 1 / np.sqrt(aspect)]), 0.05, 1.0)
    centre = np.array([rng.uniform(c / 2, 1 - c / 2) for c in crop])
    angle = np.deg2rad(rng.uniform(-TILT_DEG, TILT_DEG) if rng.random() < 0.7 else 0.0)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64) * crop / 2
    if rng.random() < 0.5:
        corners += rng.uniform(-PERSPECTIVE_SHARE, PERSPECTIVE_SHARE, (4, 2)) * crop
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    source = ((corners @ turn + centre) * [width, height]).astype(np.float32)
    if mirrored:
        source = source[[1, 0, 3, 2]]
    target = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    shrink = float(np.sqrt(share)) * min(height, width) / size
    if shrink > 2:  # bilinear sampling alone would skip pixels
        factor = 1 / shrink
        pixels = np.asarray(
            cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
        source *= np.array([pixels.shape[1] / width, pixels.shape[0] / height], np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    view = cv2.warpPerspective(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(view, dtype=np.uint8)


def _pipeline() -> Any:
    """What happens to colours and sharpness; one a thread, since it holds the state of its random numbers."""
    if not hasattr(_OWN, "pipeline"):
        _OWN.pipeline = _make_pipeline()
    return _OWN.pipeline


def _make_pipeline() -> Any:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations as a

    return a.Compose(
        [
            a.ColorJitter(brightness=(0.6, 1.4), contrast=(0.7, 1.3), saturation=(0.6, 1.4), hue=(-0.03, 0.03), p=0.8),
            a.PlanckianJitter(p=0.25),
            a.RandomGamma(gamma_limit=(70, 140), p=0.2),
            a.OneOf(
                [
                    a.GaussianBlur(blur_limit=0, sigma_limit=(0.4, 1.8)),
                    a.MotionBlur(blur_limit=(3, 7)),
                    a.Downscale(scale_range=(0.4, 0.8)),
                ],
                p=0.3,
            ),
            a.GaussNoise(std_range=(0.01, 0.05), per_channel=False, p=0.2),
            a.CoarseDropout(
                num_holes_range=(1, 2),
                hole_height_range=(0.1, 0.3),
                hole_width_range=(0.1, 0.3),
                fill="random_uniform",
                p=0.2,
            ),
        ]
    )


def _product_mask(studio: UInt8) -> Any:
    """float32 (h, w), 0-1, soft at the edge: where the product is; None without a light, even border."""
    rim = max(1, min(studio.shape[:2]) // 50)
    border = np.concatenate(
        [part.reshape(-1, 3) for part in (studio[:rim], studio[-rim:], studio[:, :rim], studio[:, -rim:])]
    )
    light = border.min(axis=1) >= _STUDIO_LIGHT
    if light.mean() < _STUDIO_BORDER_SHARE:
        return None
    ground = np.median(border[light], axis=0)
    distance = np.abs(studio.astype(np.float32) - ground).max(axis=2)
    core = (distance > _MASK_DISTANCE).astype(np.uint8)
    core = cv2.morphologyEx(core, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    contours, _ = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = cv2.drawContours(np.zeros_like(core), contours, -1, 1, cv2.FILLED)
    return cv2.GaussianBlur(filled.astype(np.float32), (3, 3), 0)
