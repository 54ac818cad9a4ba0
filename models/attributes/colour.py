"""The colour of the product in a photo: in CIELAB, and by the name people would use.

1. The photo is averaged down to 64 x 64.
2. Background: where most of the border has one colour (a studio), every pixel of about that colour that is
   connected with the border. A busy border removes nothing.
3. Weight: the middle of the photo counts most. Skin-coloured pixels do not count while enough else is left:
   a model wears the shirt, but a brown shoe is all brown.
4. Each pixel votes softly for the palette's anchors by CIEDE2000; the name with the largest share wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from models.attributes.cielab import Float64, ciede2000, rgb_to_lab
from models.attributes.palette import ANCHORS, NAMES
from models.errors import UsageError
from models.values import UInt8

Mask = NDArray[np.bool_]

EDGE: Final = 64
"""Edge of the small version that is measured, pixels."""
BACKGROUND_DISTANCE: Final = 4.0
"""A pixel within this CIE76 distance of the border's median may be background."""
STUDIO_BORDER: Final = 0.5
"""Share of the border that must have its median colour, or no background is taken away."""
SMALLEST_FOREGROUND: Final = 0.01
"""With less of the photo left than this, product and background share their colour: all pixels count."""
CENTRE_SPREAD: Final = 0.5
"""Standard deviation of the centre weight, in half edges."""
SKIN_MAY_GO: Final = 0.3
"""Skin-coloured pixels are left out while the rest keeps at least this share of the weight."""
SOFTNESS: Final = 4.0
"""CIEDE2000 units by which a rival anchor must be farther to get 1/e of the vote."""
SHARPNESS: Final = 1.8
"""Exponent that turns shares of pixels into confidence; fitted for calibration on the tuning half."""

_ANCHOR_LAB: Final = np.array([[anchor.L, anchor.a, anchor.b] for anchor in ANCHORS], dtype=np.float64)
_ANCHOR_REACH: Final = np.array([anchor.reach for anchor in ANCHORS])
_ANCHOR_NAME: Final = np.array([NAMES.index(anchor.name) for anchor in ANCHORS])


@dataclass(frozen=True, slots=True)
class ColourReading:
    """A measured colour.

    lab: median CIELAB (D65) of the pixels that carry ``name``: L in 0..100, a and b about -128..127.
    name: a name of ``models.attributes.palette.NAMES``, lower case.
    confidence: estimated probability in [0, 1] that a person would use this name.
    shares: the share of the product's pixels each palette name got; they sum to 1.
    """

    lab: tuple[float, float, float]
    name: str
    confidence: float
    shares: Mapping[str, float] = field(repr=False)


def measure_colour(pixels: UInt8) -> ColourReading:
    """The product's colour in one photo.

    pixels: uint8 (height, width, 3), RGB order, sRGB, upright; any size from 1 x 1; left untouched.
    :raise UsageError: another shape or dtype.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise UsageError(f"pixels are {pixels.dtype} {pixels.shape}; expected uint8 (height, width, 3), not empty.")
    small = np.asarray(Image.fromarray(pixels).resize((EDGE, EDGE), Image.Resampling.BOX))
    lab = rgb_to_lab(small)
    colours, weights = _distinct_colours(small, lab, _product_weights(lab))
    votes = _votes(colours)
    shares = weights @ votes
    winner = int(shares.argmax())
    return ColourReading(
        lab=_weighted_median(colours, weights * votes[:, winner]),
        name=NAMES[winner],
        confidence=_confidence(shares),
        shares=MappingProxyType(dict(zip(NAMES, shares.tolist(), strict=True))),
    )


def combine_colours(readings: Sequence[ColourReading]) -> ColourReading:
    """One colour for a product from its photos: the mean of their shares; every photo counts alike.

    ``lab`` is the median of the photos that carry the winning name, or of all where none does.
    Equal shares are decided by the palette's order, so the order of photos does not matter.

    :raise UsageError: no reading came.
    """
    if not readings:
        raise UsageError("combine_colours got no reading; it needs at least one.")
    shares = np.mean([[reading.shares[name] for name in NAMES] for reading in readings], axis=0)
    name = NAMES[int(shares.argmax())]
    labs = np.array([reading.lab for reading in readings if reading.name == name] or [r.lab for r in readings])
    lightness, a, b = np.median(labs, axis=0).tolist()
    return ColourReading(
        lab=(lightness, a, b),
        name=name,
        confidence=_confidence(shares),
        shares=MappingProxyType(dict(zip(NAMES, shares.tolist(), strict=True))),
    )


def _product_weights(lab: Float64) -> Float64:
    """How much each pixel belongs to the product: (EDGE, EDGE), >= 0, not all zero."""
    offset = (np.arange(EDGE) - (EDGE - 1) / 2) / (EDGE / 2)
    weights = np.exp(-0.5 * (offset[:, None] ** 2 + offset[None, :] ** 2) / CENTRE_SPREAD**2) * _foreground(lab)
    without_skin = weights * ~_skin_coloured(lab)
    return without_skin if without_skin.sum() > SKIN_MAY_GO * weights.sum() else weights


def _foreground(lab: Float64) -> Mask:
    border = np.concatenate([lab[0], lab[-1], lab[1:-1, 0], lab[1:-1, -1]])
    studio = np.median(border, axis=0)
    near = np.linalg.norm(lab - studio, axis=-1) < BACKGROUND_DISTANCE
    edge = np.concatenate([near[0], near[-1], near[1:-1, 0], near[1:-1, -1]])
    everything = np.ones_like(near)
    if edge.mean() < STUDIO_BORDER:
        return everything
    regions, _ = ndimage.label(near)
    touching = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    foreground = ~np.isin(regions, touching[touching > 0])
    return foreground if foreground.mean() >= SMALLEST_FOREGROUND else everything


def _skin_coloured(lab: Float64) -> Mask:
    """Human skin of all tones in studio light lies at hue angles of 25 to 75 degrees with medium chroma."""
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1]))
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    light = lab[..., 0]
    return (light > 35) & (light < 88) & (hue > 25) & (hue < 75) & (chroma > 12) & (chroma < 45)


def _distinct_colours(small: UInt8, lab: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """Pixels pooled by 16 levels a channel: mean Lab (m, 3) and share of the weight (m,), which sums to 1."""
    level = (small >> 4).astype(np.intp)
    cell = (level[..., 0] * 256 + level[..., 1] * 16 + level[..., 2]).ravel()
    total = np.bincount(cell, weights.ravel(), minlength=4096)
    used = total > 0
    sums = [np.bincount(cell, weights.ravel() * lab[..., axis].ravel(), minlength=4096) for axis in range(3)]
    return np.stack(sums, axis=1)[used] / total[used, None], total[used] / total.sum()


def _votes(colours: Float64) -> Float64:
    """How each of m colours divides its vote over the names: (m, len(NAMES)), rows sum to 1."""
    reached = (_ANCHOR_REACH - ciede2000(colours[:, None, :], _ANCHOR_LAB[None, :, :])) / SOFTNESS
    strength = np.exp(reached - reached.max(axis=1, keepdims=True))
    strength /= strength.sum(axis=1, keepdims=True)
    votes = np.zeros((len(colours), len(NAMES)))
    np.add.at(votes.T, _ANCHOR_NAME, strength.T)
    return votes


def _confidence(shares: Float64) -> float:
    sharpened = shares**SHARPNESS
    return float(sharpened.max() / sharpened.sum())


def _weighted_median(colours: Float64, weights: Float64) -> tuple[float, float, float]:
    """Median of each Lab axis on its own."""
    axes = []
    for values in colours.T:
        order = np.argsort(values, kind="stable")
        running = np.cumsum(weights[order])
        axes.append(float(values[order][np.searchsorted(running, running[-1] / 2)]))
    return axes[0], axes[1], axes[2]
