"""Heat maps in a report: a photo with what speaks for a label laid over it in red."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

from models.backbone.preprocessing import fit_input
from models.classifiers.base import LinearModel
from models.errors import PhotoError
from models.explain import direction_of, heat_map
from models.photo import read_photo
from models.values import Backbone, HeatMap, UInt8

_COLOUR: Final = (230, 30, 30)
_STRONGEST: Final = 0.75
"""How much of the colour covers the photo where the heat is 1."""


class HeatPictures:
    """Heat maps as data URIs: one forward pass a picture, so only for the few that a page shows.

    load: content hash -> the photo's bytes. model: whose view is shown. edge: longest edge, pixels.
    """

    def __init__(self, load: Callable[[str], bytes], backbone: Backbone, model: LinearModel, edge: int) -> None:
        self._load = load
        self._backbone = backbone
        self._model = model
        self._edge = edge

    def __call__(self, content_hash: str, label: str) -> str:
        """A small JPEG as a data URI; an empty string where the photo cannot be read any more, or the model does not
        know the label."""
        if label not in self._model.known:
            return ""
        try:
            pixels = read_photo(self._load(content_hash), with_advice=False).pixels
        except (OSError, PhotoError):
            return ""
        vectors, maps = self._backbone.extract_with_maps([fit_input(pixels)])
        heat = heat_map(maps[0], direction_of(self._model, label, vectors[0]), self._model.name)
        buffer = io.BytesIO()
        overlaid(pixels, heat, self._edge).save(buffer, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def overlaid(pixels: UInt8, heat: HeatMap, edge: int) -> Image.Image:
    """The photo, at most ``edge`` pixels long, reddened where it is hot; between the cells' centres it fades.

    pixels: uint8 (height, width, 3), RGB.
    """
    picture = Image.fromarray(pixels)
    picture.thumbnail((edge, edge))
    width, height = picture.size
    area = heat.area
    left, right = round(area.x * width), round((area.x + area.width) * width)
    top, bottom = round(area.y * height), round((area.y + area.height) * height)
    cover = np.clip(255.0 * _STRONGEST * heat.values, 0.0, 255.0).astype(np.uint8)
    mask = Image.new("L", picture.size)
    mask.paste(Image.fromarray(cover).resize((right - left, bottom - top), Image.Resampling.BILINEAR), (left, top))
    picture.paste(Image.new("RGB", picture.size, _COLOUR), mask=mask)
    return picture
