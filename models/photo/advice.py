"""Hints to the shopper: too dark, too bright, blurred, product too small, product cut off.

Hints, not verdicts: the photo is recognised all the same, so each rule keeps silent where it cannot
tell. All of it is cheap image arithmetic on two small copies of the photo. The thresholds were set on
rendered phone photos and on photos of supermarket shelves; ``models.training.reports.advice`` measures
how often each hint comes, and how often in vain.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from PIL import Image

from models.photo.subject import SUBJECT_EDGE, find_surround, row_repetition
from models.values import Advice, UInt8

AdviceCode = Literal["dark", "bright", "blurred", "small", "cut_off"]
ADVICE_CODES: Final[tuple[AdviceCode, ...]] = get_args(AdviceCode)

LIGHT_EDGE: Final = 320
"""Long edge of the copy on which light and sharpness are judged: about what Inception-v3 sees."""

DARK_HIGHLIGHT: Final = 85
"""Dark: nine tenths of the photo have a luma (ITU-R BT.601, 0 to 255) below this."""

BURNT: Final = 252
BRIGHT_MIDDLE: Final = 0.5
BRIGHT_TINTED: Final = 0.1
BRIGHT_LEFT: Final = 235
"""Bright: at least BRIGHT_MIDDLE of the photo's middle is burnt (a channel >= BURNT), and either
BRIGHT_TINTED of the whole is burnt in some channels but not in all, or nine tenths of the middle are
above BRIGHT_LEFT in every channel. So a white studio background, white in all three, is no fault."""

BLURRED_SHARPNESS: Final = 0.54
"""Blurred: below this ``sharpness``; about a Gaussian of 2 pixels at LIGHT_EDGE."""

SMALL_SHORT_EDGE: Final = 150
"""Small: the whole photo has a shorter edge than this, half of what the network takes in."""

SMALL_AREA: Final = 0.06
"""Small: the bounding box of what stands out from a calm surround covers less of the photo."""

SMALL_ROWS: Final = 0.56
"""Small: the photo repeats itself downwards at least this much (``row_repetition``): whole shelves."""

CALM_TEXTURE: Final = 6.0
"""A surround is calm when its mean luma step between neighbours (at SUBJECT_EDGE) is below this; in
front of anything livelier the product's extent cannot be told by colour."""

CUT_RUN: Final = 0.25
CUT_LEAD: Final = 0.0
"""Cut off: what stands out covers CUT_RUN of one side of the photo, and the quarter along that side is
fuller than the middle by at least CUT_LEAD (as shares of their areas)."""

_CONTRAST: Final = 24
_WINDOW: Final = 9

_MESSAGES: Final[dict[AdviceCode, str]] = {
    "dark": "The photo is very dark. Switch on more light or the flash, and take it again.",
    "bright": "The photo is overexposed. Turn away from the lamp or window, and take it again.",
    "blurred": "The photo is blurred. Hold the phone still and tap on the product to focus.",
    "small": "The product is small in the photo. Go closer, or crop to the product.",
    "cut_off": "The product is cut off at the edge. Step back so that all of it is in the photo.",
}


def advise(image: Image.Image, source_width: int, source_height: int) -> tuple[Advice, ...]:
    """Hints about one photo.

    image: RGB, upright; any size >= 1, left as it is.
    source_width, source_height: of the photo before any reduction, pixels.
    Returns at most one hint a code, in the order of ``ADVICE_CODES``; empty when nothing is wrong. Of a
    photo too dark, too bright or too blurred to tell, nothing more is said but its low resolution.
    """
    seen = _shrunk(image, LIGHT_EDGE)
    luma = np.asarray(seen.convert("L"))
    codes: set[AdviceCode] = set()
    if min(source_width, source_height) < SMALL_SHORT_EDGE:
        codes.add("small")
    if is_dark(luma):
        codes.add("dark")
    elif is_bright(np.asarray(seen)):
        codes.add("bright")
    elif sharpness(luma) < BLURRED_SHARPNESS:
        codes.add("blurred")
    else:
        codes |= _about_product(_shrunk(image, SUBJECT_EDGE))
    return tuple(Advice(code, _MESSAGES[code]) for code in ADVICE_CODES if code in codes)


def is_dark(luma: UInt8) -> bool:
    """Whether hardly anything is lit. luma: uint8 (height, width)."""
    return bool(np.percentile(luma, 90) < DARK_HIGHLIGHT)


def is_bright(pixels: UInt8) -> bool:
    """Whether the light has burnt the colours away. pixels: uint8 (height, width, 3), RGB."""
    height, width, _ = pixels.shape
    middle = pixels[height // 4 : height - height // 4, width // 4 : width - width // 4]
    if (_highest(middle) >= BURNT).mean() < BRIGHT_MIDDLE:
        return False
    tinted = (_highest(pixels) >= BURNT) & (_lowest(pixels) < BURNT - 12)
    return bool(tinted.mean() >= BRIGHT_TINTED or np.percentile(_lowest(middle), 10) > BRIGHT_LEFT)


def _highest(pixels: UInt8) -> UInt8:
    # Plane by plane: several times faster than a reduction over the short last axis.
    return np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])


def _lowest(pixels: UInt8) -> UInt8:
    return np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])


def sharpness(luma: UInt8) -> float:
    """How steep the steepest edges are, whatever their contrast, in the least sharp direction.

    luma: uint8 (height, width).
    Along a line of 9 pixels that spans at least 24 levels, the largest step between neighbours is
    divided by that span: 1 for a hard edge, about 1/n for one smeared evenly over n pixels. The 98th
    percentile over all lines of one direction tells a sharp product before a soft background as sharp;
    the least of four directions (across, down, both diagonals) tells a photo shaken in one of them as
    blurred. Returns a value in (0, 1]; 1 where nothing has the contrast to judge by.
    """
    return min(_directed_sharpness(luma, dy, dx) for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)))


def _directed_sharpness(luma: UInt8, dy: int, dx: int) -> float:
    if min(luma.shape) <= _WINDOW:
        return 1.0
    first, second = _pairs(luma, dy, dx)
    steps = np.maximum(first, second) - np.minimum(first, second)
    high, low = (_sliding(luma, _WINDOW, (dy, dx), pick) for pick in (np.maximum, np.minimum))
    # Windows overlap: every second one each way says the same in a quarter of the time.
    span = (high - low)[::2, ::2]
    steepest = _sliding(steps, _WINDOW - 1, (dy, dx), np.maximum)[::2, ::2]
    judged = span >= _CONTRAST
    if judged.mean() < 0.005:
        return 1.0
    return float(np.percentile(steepest[judged] / span[judged].astype(np.float32), 98))


def _pairs(values: UInt8, down: int, right: int) -> tuple[UInt8, UInt8]:
    """Two views such that the second holds what lies ``down`` and ``right`` of the first."""
    height, width = values.shape
    upper, lower = values[: height - down], values[down:]
    if right >= 0:
        return upper[:, : width - right], lower[:, right:]
    return upper[:, -right:], lower[:, : width + right]


def _sliding(values: UInt8, size: int, direction: tuple[int, int], pick: np.ufunc) -> UInt8:
    """Largest or smallest of every ``size`` neighbours along ``direction``; whole windows only."""
    covered = 1
    while covered < size:
        step = min(covered, size - covered)
        values = pick(*_pairs(values, direction[0] * step, direction[1] * step))
        covered += step
    return values


def _about_product(image: Image.Image) -> set[AdviceCode]:
    codes: set[AdviceCode] = set()
    if row_repetition(image) >= SMALL_ROWS:
        codes.add("small")
    surround = find_surround(image)
    if surround.texture < CALM_TEXTURE:
        if 0 < surround.box_area < SMALL_AREA:
            codes.add("small")
        if any(side.run >= CUT_RUN and side.lead >= CUT_LEAD for side in surround.sides):
            codes.add("cut_off")
    return codes


def _shrunk(image: Image.Image, edge: int) -> Image.Image:
    if max(image.size) <= edge:
        return image
    scale = edge / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
