"""Phone photos: a product as a shopper photographs it, and the ways such photos fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from augment.render.advertising import draw_advertising
from augment.render.backdrops import BACKGROUNDS, BackgroundStyle, background_named
from augment.render.cameras import CAMERAS, CameraStyle, camera_named, develop
from augment.render.families import RenderedProduct
from augment.render.raster import UInt8
from augment.render.scenes import FailureKind, Shot, shake, shelf_scene, table_scene
from augment.render.seeding import rng_for

DEFAULT_SIZE: Final = (960, 1280)
"""Width and height of a phone photo, pixels."""

EXPOSURE_DARK: Final = (0.09, 0.19)
"""Factors on the light of a ``dark`` photo."""

BLUR_PX: Final = (7.0, 12.0)
"""Extra blur of a ``blurred`` photo, for one 960 pixels wide."""


@dataclass(frozen=True, slots=True, eq=False)
class PhonePhoto:
    """A phone photo and the truth about it.

    pixels: uint8 (h, w, 3) RGB. box: x, y, width, height of the product's visible part, shares of the frame.
    visible: share of the product that is inside the frame and not hidden, 0-1.
    camera, background: the names that were used.
    """

    pixels: UInt8
    box: tuple[float, float, float, float]
    visible: float
    camera: str
    background: str


def render_phone_photo(
    product: RenderedProduct,
    seed: int,
    *,
    camera: CameraStyle | str = "demo",
    backgrounds: str = "demo",
    distractors: Sequence[RenderedProduct] = (),
    failure: FailureKind | str = FailureKind.NONE,
    size: tuple[int, int] = DEFAULT_SIZE,
) -> UInt8:
    """A phone photo of ``product``, uint8 (height, width, 3) RGB; arguments as in ``render_phone_scene``."""
    return render_phone_scene(
        product,
        seed,
        camera=camera,
        backgrounds=backgrounds,
        distractors=distractors,
        failure=failure,
        size=size,
    ).pixels


def render_phone_scene(
    product: RenderedProduct,
    seed: int,
    *,
    camera: CameraStyle | str = "demo",
    backgrounds: str = "demo",
    distractors: Sequence[RenderedProduct] = (),
    failure: FailureKind | str = FailureKind.NONE,
    size: tuple[int, int] = DEFAULT_SIZE,
) -> PhonePhoto:
    """A phone photo with the truth about it; deterministic by its arguments.

    With the same seed a ``dark`` or ``blurred`` photo shows the same scene as one without failure.

    :param camera: a style, a purpose in ``CAMERAS`` (the seed draws one of its phones) or a phone's name.
    :param backgrounds: a purpose in ``BACKGROUNDS`` or a place's name.
    :param distractors: other products that may stand around; a shelf without any is filled with
        look-alikes invented for it.
    :param failure: what goes wrong.
    :param size: (width, height) in pixels, each >= 128.
    :raises ValueError: unknown camera, background or failure, or a size too small.
    """
    width, height = size
    if min(size) < 128:
        raise ValueError(f"size must be at least 128 x 128 pixels, got {width} x {height}")
    kind = FailureKind(failure)
    rng = rng_for("phone", product.sku, product.seed, seed)
    phone = _camera(camera, rng)
    place_style = _background(backgrounds, kind, rng)
    # Beside a product that is cut off, another whole one would be what the photo shows.
    cut = kind is FailureKind.CUT_OFF
    others = () if cut else tuple(other for other in distractors if other.sku != product.sku)
    shot = Shot(product, others, place_style, kind, width, height)
    on_shelf = place_style.surface == "shelf" or kind is FailureKind.SMALL
    scene = shelf_scene(shot, rng) if on_shelf else table_scene(shot, rng)
    if kind is FailureKind.FOREIGN_ADVERTISING:
        draw_advertising(scene.pixels, scene.coverage, product, others, rng)
    shake(scene, rng)
    exposure = rng.uniform(*EXPOSURE_DARK) if kind is FailureKind.DARK else rng.uniform(0.82, 1.1)
    blur_px = rng.uniform(*BLUR_PX) if kind is FailureKind.BLURRED else 0.0
    pixels = develop(scene.pixels, phone, rng, float(exposure), float(blur_px))
    x, y, w, h = cv2.boundingRect(scene.coverage)
    visible = float(scene.coverage.sum()) / max(scene.full_area, 1.0)
    return PhonePhoto(
        pixels,
        (x / width, y / height, w / width, h / height),
        min(1.0, visible),
        phone.name,
        place_style.name,
    )


def _camera(camera: CameraStyle | str, rng: np.random.Generator) -> CameraStyle:
    pick = int(rng.integers(2**16))
    if isinstance(camera, CameraStyle):
        return camera
    return CAMERAS[camera][pick % len(CAMERAS[camera])] if camera in CAMERAS else camera_named(camera)


def _background(name: str, kind: FailureKind, rng: np.random.Generator) -> BackgroundStyle:
    pick = int(rng.integers(2**16))
    if name not in BACKGROUNDS:
        return background_named(name)
    styles = BACKGROUNDS[name]
    if kind is FailureKind.SMALL:
        styles = tuple(style for style in styles if style.surface == "shelf")
    elif kind is FailureKind.CUT_OFF:
        styles = tuple(style for style in styles if style.surface != "shelf")
    return styles[pick % len(styles)]
