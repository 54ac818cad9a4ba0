"""Foreign advertising in a photo: another brand's flyer with a price burst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import cos, pi, sin

import cv2
import numpy as np

from augment.render.families import RenderedProduct
from augment.render.labels import front_label
from augment.render.lettering import word_mask
from augment.render.raster import UInt8, fill_poly, paint, solid
from augment.render.stage import place
from augment.render.worlds import Lettering, world_of

_BOLD = Lettering(0.0, 0.9, 0.06, 0.0, "upper")
_SLOGANS = ("SALE", "-50 %", "2 FOR 1", "NEW", "ONLY 0.99", "TODAY")


def draw_advertising(
    pixels: UInt8,
    coverage: UInt8,
    product: RenderedProduct,
    others: Sequence[RenderedProduct],
    rng: np.random.Generator,
) -> None:
    """Put a flyer of another brand into the picture, in place, beside and partly over the product.

    coverage: uint8 (h, w), the mask of where the product is seen; cleared where the flyer hides it.
    """
    height, width = pixels.shape[:2]
    flyer = _flyer(product, others, rng)
    box_x, _, box_width, _ = cv2.boundingRect(coverage)
    w = width * rng.uniform(0.44, 0.56)
    h = w * rng.uniform(1.15, 1.45)
    on_left = rng.random() < 0.5
    hidden = rng.uniform(0.08, 0.24) * box_width
    x = box_x - w + hidden if on_left else box_x + box_width - hidden
    x = float(np.clip(x, -0.3 * w, width - 0.7 * w))
    y = float(rng.uniform(0.05, 0.35)) * height
    corners = np.asarray([(x, y), (x + w, y), (x + w, y + h), (x, y + h)]) + rng.uniform(-0.05, 0.05, (4, 2)) * w
    source = np.asarray([(0, 0), (flyer.shape[1], 0), (flyer.shape[1], flyer.shape[0]), (0, flyer.shape[0])])
    matrix = cv2.getPerspectiveTransform(source.astype(np.float32), corners.astype(np.float32))
    opaque = np.dstack((flyer, np.full(flyer.shape[:2], 255, dtype=np.uint8)))
    drawn = np.asarray(cv2.warpPerspective(opaque, matrix, (width, height)), dtype=np.uint8)
    place(pixels, drawn, 0, 0)
    coverage[drawn[..., 3] > 127] = 0


def _flyer(product: RenderedProduct, others: Sequence[RenderedProduct], rng: np.random.Generator) -> UInt8:
    width, height = 420, 560
    page = solid(height, width, (252, 250, 240))
    page[:120] = (206, 30, 40) if rng.random() < 0.5 else (250, 208, 30)
    slogan = word_mask(str(rng.choice(_SLOGANS)), _BOLD, width * 0.86, 80)
    paint(
        page,
        slogan,
        (255, 255, 255) if page[0, 0, 1] < 100 else (30, 30, 34),
        (width - slogan.shape[1]) // 2,
        20,
    )
    foreign = _foreign_product(product, others, rng)
    art = front_label(foreign, 250, 330)
    page[160:490, 30:280] = art
    burst = [
        (310 + (96 if i % 2 else 74) * cos(pi * i / 12), 430 + (96 if i % 2 else 74) * sin(pi * i / 12))
        for i in range(24)
    ]
    fill_poly(page, burst, (232, 26, 36))
    price = word_mask(f"{int(rng.integers(0, 9))}.{int(rng.integers(1, 99)):02d}", _BOLD, 110, 54)
    paint(page, price, (255, 244, 60), 310 - price.shape[1] // 2, 430 - price.shape[0] // 2)
    words = word_mask(foreign.brand, _BOLD, width * 0.8, 36)
    paint(page, words, (30, 30, 34), (width - words.shape[1]) // 2, 510)
    return page


def _foreign_product(
    product: RenderedProduct, others: Sequence[RenderedProduct], rng: np.random.Generator
) -> RenderedProduct:
    rivals = [other for other in others if other.brand != product.brand]
    if rivals:
        return rivals[int(rng.integers(len(rivals)))]
    world = world_of(product.family)
    brand = world.onsets[int(rng.integers(len(world.onsets)))] + world.endings[int(rng.integers(len(world.endings)))]
    return replace(product, sku=f"{product.sku}-rival", brand=brand, seed=int(rng.integers(2**31)))
