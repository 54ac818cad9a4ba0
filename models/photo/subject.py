"""Where the product is in a photo, as far as colours tell without recognising anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

SUBJECT_EDGE: Final = 96
"""Long edge of the copy of the photo that these functions are made for, pixels."""

_LEVELS: Final = 16
_COMMON_SHARE: Final = 0.02
"""A colour is common along a side when it and its 26 neighbours make up this share of it."""

_STRIPS: Final = 12
_SHORTEST_PERIOD: Final = 0.08
_LONGEST_PERIOD: Final = 0.30
"""Rows whose height is between these shares of the photo's are looked for."""

_LEAST_POWER: Final = 25.0
"""Variance of luma below which a strip counts as even, so that grain does not pass for rows."""

_SMALLEST_EDGE: Final = 16
"""Below this many pixels a copy is too small to tell anything."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Side:
    """What stands out along one side of the photo.

    run: share of the side's length that it covers, 0 to 1.
    lead: its share of the quarter of the photo along this side, less its share of the photo's middle,
        -1 to 1; above 0 the side is fuller than the middle.
    """

    run: float
    lead: float


@dataclass(frozen=True, slots=True)
class Surround:
    """What stands out, and the surround it stands out from.

    texture: mean absolute luma step between horizontal neighbours of the surround, 0 to 255; 255 where
        there is no surround.
    box_area: bounding box of the largest part that stands out, as a share of the photo; 0 where none.
    sides: top, bottom, left, right.
    """

    texture: float
    box_area: float
    sides: tuple[Side, Side, Side, Side]


def find_surround(image: Image.Image) -> Surround:
    """Tell what stands out from its surround by the colours along the photo's rim.

    image: RGB, about ``SUBJECT_EDGE`` long; of one below 16 pixels nothing is told.
    A colour common along at least three of the four sides belongs to the surround: a product that
    leaves the photo at one side or one corner does not become surround by that, while a table and
    the wall behind it both do. After Y. Wei et al., "Geodesic saliency using background priors"
    (ECCV 2012): the rim of a photo is mostly background.
    """
    if min(image.size) < _SMALLEST_EDGE:
        return Surround(255.0, 0.0, (Side(0.0, -1.0),) * 4)
    codes, luma = _colour_codes(image)
    rim = max(2, round(0.06 * min(codes.shape)))
    rims = (codes[:rim], codes[-rim:], codes[:, :rim], codes[:, -rim:])
    common = np.sort(np.stack([_colour_shares(side) for side in rims]), axis=0)[1] >= _COMMON_SHARE
    distinct: Mask = ndimage.binary_opening(~common[codes], np.ones((2, 2)))
    distinct = ndimage.binary_closing(np.pad(distinct, 4), np.ones((5, 5)))[4:-4, 4:-4]
    calm = ~(distinct[:, 1:] | distinct[:, :-1])
    steps = np.abs(np.diff(luma, axis=1))[calm]
    return Surround(
        texture=float(steps.mean()) if steps.size else 255.0,
        box_area=_largest_box(distinct),
        sides=_sides(distinct),
    )


def row_repetition(image: Image.Image) -> float:
    """How much the photo repeats itself downwards, as the rows of products on shelves do.

    image: RGB, about ``SUBJECT_EDGE`` long.
    Autocorrelation down each of 12 upright strips (so that a tilted phone does no harm), unbiased by the
    overlap; then the median strip (so that one striped product does none either): the highest value at
    a shift of 8 to 30 % of the height, less the lowest at any shorter shift. Returns about 0 for a
    single product and 0.6 to 1.3 for rows of them; 0 for an image too small to tell.
    """
    grey = np.asarray(image.convert("L"), dtype=np.float64)
    height, width = grey.shape
    if min(height, width) < _SMALLEST_EDGE:
        return 0.0
    breadth = width // _STRIPS
    strips = grey[:, : breadth * _STRIPS].reshape(height, _STRIPS, breadth).mean(axis=2)
    strips -= strips.mean(axis=0)
    power = np.maximum((strips**2).mean(axis=0), _LEAST_POWER)
    shifts = range(round(_LONGEST_PERIOD * height))
    alike = np.median([(strips[: height - s] * strips[s:]).mean(axis=0) / power for s in shifts], axis=1)
    first = round(_SHORTEST_PERIOD * height)
    best = first + int(alike[first:].argmax())
    return float(alike[best] - alike[: best + 1].min())


def _colour_codes(image: Image.Image) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each pixel's cell in a 16 x 16 x 16 grid over luma and chroma (twice stretched), and its luma."""
    planes = np.asarray(image.convert("YCbCr")).astype(np.int32)
    chroma = np.clip((planes[..., 1:] - 128) * 2 + 128, 0, 255)
    cells = np.concatenate([planes[..., :1], chroma], axis=2) * _LEVELS // 256
    codes = (cells[..., 0] * _LEVELS + cells[..., 1]) * _LEVELS + cells[..., 2]
    return codes, planes[..., 0]


def _colour_shares(codes: NDArray[np.int32]) -> NDArray[np.float64]:
    """Share of ``codes`` in each cell and its neighbours, flat (4096,)."""
    counts = np.bincount(codes.ravel(), minlength=_LEVELS**3).reshape(_LEVELS, _LEVELS, _LEVELS)
    nearby = ndimage.uniform_filter(counts / codes.size, size=3, mode="constant") * 27
    return np.asarray(nearby, dtype=np.float64).ravel()


def _largest_box(distinct: Mask) -> float:
    labels, count = ndimage.label(distinct)
    if count == 0:
        return 0.0
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    rows, columns = ndimage.find_objects(labels)[largest - 1]
    return float((rows.stop - rows.start) * (columns.stop - columns.start) / distinct.size)


def _sides(distinct: Mask) -> tuple[Side, Side, Side, Side]:
    height, width = distinct.shape
    middle = float(distinct[int(0.3 * height) : int(0.8 * height), int(0.35 * width) : int(0.65 * width)].mean())

    def side(turned: Mask) -> Side:
        quarter = float(turned[: turned.shape[0] // 4].mean())
        return Side(run=float(turned[:3].any(axis=0).mean()), lead=quarter - middle)

    return side(distinct), side(distinct[::-1]), side(distinct.T), side(distinct.T[::-1])
