"""Words as masks: Pillow's built-in font, reshaped by a family's lettering."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augment.render.raster import UInt8, resize
from augment.render.worlds import Lettering

PLAIN = Lettering(0.0, 1.0, 0.0, 0.0, "title")
"""Upright small print."""

_CASES: Final[dict[str, Callable[[str], str]]] = {"upper": str.upper, "lower": str.lower, "title": str}
_MAX_FONT_PX = 120


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def word_mask(text: str, lettering: Lettering, max_width: float, max_height: float) -> UInt8:
    """``text`` as a tight mask that fits into max_width x max_height pixels, as large as it can.

    :returns: uint8 (h, w), 255 where ink is; at least 1 x 1.
    """
    size = int(np.clip(round(max_height * 1.25), 8, _MAX_FONT_PX))
    mask = _drawn(_CASES[lettering.case](text), lettering, size)
    height, width = mask.shape
    scale = min(max_width / (width * lettering.width), max_height / height)
    mask = resize(mask, max(1, round(width * lettering.width * scale)), max(1, round(height * scale)))
    if lettering.slant:
        mask = _slanted(mask, lettering.slant, max_width)
    return mask


def _drawn(text: str, lettering: Lettering, size: int) -> UInt8:
    font = _font(size)
    stroke = round(lettering.weight * size)
    advances = [font.getlength(letter) + lettering.tracking * size + stroke for letter in text]
    pad = stroke + 4
    image = Image.new("L", (int(sum(advances)) + 2 * pad + size // 2, 2 * size + 2 * pad), 0)
    draw = ImageDraw.Draw(image)
    x = float(pad)
    for letter, advance in zip(text, advances, strict=True):
        draw.text((x, pad + size // 4), letter, fill=255, font=font, stroke_width=stroke)
        x += advance
    mask = np.asarray(image, dtype=np.uint8)
    if lettering.hollow:
        inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=max(1, size // 26))
        mask = np.asarray(cv2.subtract(mask, inner), dtype=np.uint8)
    x0, y0, width, height = cv2.boundingRect(mask)
    return mask[y0 : y0 + max(1, height), x0 : x0 + max(1, width)]


def _slanted(mask: UInt8, slant: float, max_width: float) -> UInt8:
    height, width = mask.shape
    reach = abs(slant) * height
    shear = np.asarray([[1, -slant, reach if slant > 0 else 0], [0, 1, 0]], dtype=np.float32)
    sheared = np.asarray(cv2.warpAffine(mask, shear, (round(width + reach) + 1, height)), dtype=np.uint8)
    if sheared.shape[1] > max_width:
        factor = max_width / sheared.shape[1]
        sheared = resize(sheared, max(1, int(max_width)), max(1, round(height * factor)))
    return sheared
