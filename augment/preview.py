"""A labelled contact sheet of a photo's variants, for people."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augment.geometry import UInt8
from augment.variants import ORIGINAL, SELECTABLE_NAMES, VARIANT_SIZE, make_variant, variant_amount

COLUMNS: Final = 5
MARGIN_PX: Final = 12
CAPTION_PX: Final = 34
_FONT_PX: Final = 20
_PAPER: Final = (246, 246, 244)
_INK: Final = (25, 25, 25)


def contact_sheet(pixels: UInt8, seed: int) -> UInt8:
    """The original and every selectable variant (the flip too), each with its name and amount above.

    :param pixels: uint8 (h, w, 3) RGB, any size; not changed.
    :returns: uint8 (height, width, 3) RGB, two rows of five.
    :raises ValueError: ``pixels`` is not such an array.
    """
    names = (ORIGINAL, *SELECTABLE_NAMES)
    rows = -(-len(names) // COLUMNS)
    cell_width, cell_height = VARIANT_SIZE + MARGIN_PX, VARIANT_SIZE + CAPTION_PX + MARGIN_PX
    sheet = Image.new("RGB", (COLUMNS * cell_width + MARGIN_PX, rows * cell_height + MARGIN_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_PX)
    for index, name in enumerate(names):
        x = MARGIN_PX + index % COLUMNS * cell_width
        y = MARGIN_PX + index // COLUMNS * cell_height
        draw.text((x, y + CAPTION_PX // 2), _caption(pixels, name, seed), fill=_INK, font=font, anchor="lm")
        sheet.paste(Image.fromarray(make_variant(pixels, name, seed)), (x, y + CAPTION_PX))
    return np.asarray(sheet, dtype=np.uint8).copy()


def _caption(pixels: UInt8, name: str, seed: int) -> str:
    if name in (ORIGINAL, "flip"):
        return name
    amount = variant_amount(pixels, name, seed)
    if name == "brightness":
        return f"{name}  x{amount:.2f}"
    if name.startswith("crop_"):
        return f"{name}  {amount:.0%}"
    return f"{name}  {amount:.0f}\N{DEGREE SIGN}" if name.startswith("rotate_") else f"{name}  {amount:.1f} px"
