"""The demonstration as one picture: the shopper's photo, the candidates with their votes, the recommendations."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

_WIDTH = 1240
_MARGIN = 24
_TILE = 200
_INK, _QUIET, _GOOD = "#1c1c1c", "#666666", "#1f7a3d"

Fetch = Callable[[str], bytes]


def draw_demo(
    path: Path, photo: Path, answer: dict[str, Any], picked: str, recommended: Sequence[dict[str, Any]], fetch: Fetch
) -> None:
    """Write the picture (PNG).

    answer: of ``POST /v1/search``. picked: the sku the shopper chose. recommended: ``items`` of
    ``POST /v1/recommendations``. fetch: image URL -> bytes.
    """
    sheet = Image.new("RGB", (_WIDTH, 1120), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, 20), "Pickture: from a photo to a recommendation", fill=_INK, font=_font(28))
    _paste(sheet, Image.open(photo), (_MARGIN, 80), 340, 450)
    pen.text((_MARGIN, 540), "The shopper's photo", fill=_INK, font=_font(18))
    note = f"verdict: {answer['verdict']}" + ("" if answer["calibrated"] else " (not calibrated)")
    pen.text((_MARGIN, 566), f"{note}; weights: {answer['weights']}", fill=_QUIET, font=_font(15))
    _candidates(sheet, pen, answer["candidates"], picked, fetch)
    pen.text((_MARGIN, 640), "Recommended, within brand and price choices", fill=_INK, font=_font(22))
    for place, item in enumerate(recommended[:5]):
        left = _MARGIN + place * (_TILE + 38)
        _tile(sheet, pen, item["product"], (left, 680), fetch)
        why = item["why"]
        told = ", ".join(f"{name} {value:.2f}" for name, value in why.items() if isinstance(value, int | float))
        pen.text((left, 680 + _TILE + 62), f"similarity {item['similarity']:.2f}", fill=_GOOD, font=_font(14))
        pen.text((left, 680 + _TILE + 82), told, fill=_QUIET, font=_font(13))
    bottom = 680 + _TILE + 130
    sheet.crop((0, 0, _WIDTH, bottom)).save(path, "PNG")


def _candidates(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, candidates: Sequence[dict[str, Any]], picked: str, fetch: Fetch
) -> None:
    left, top = 400, 80
    pen.text((left, top - 4), "Candidates and each classifier's rank", fill=_INK, font=_font(18))
    for row, candidate in enumerate(candidates[:5]):
        y = top + 30 + row * 100
        product = candidate["product"]
        if product["image_url"]:
            _paste(sheet, Image.open(io.BytesIO(fetch(product["image_url"]))), (left, y), 88, 88)
        chosen = product["sku"] == picked
        name = f"{candidate['rank']}. {product['name'] or product['sku']}" + ("   (picked)" if chosen else "")
        pen.text((left + 104, y + 6), name, fill=_GOOD if chosen else _INK, font=_font(17))
        votes = "   ".join(f"{model} {_vote(vote)}" for model, vote in candidate["votes"].items())
        pen.text((left + 104, y + 32), votes, fill=_QUIET, font=_font(15))
        pen.rectangle((left + 104, y + 58, left + 504, y + 70), outline="#cccccc")
        pen.rectangle((left + 104, y + 58, left + 104 + round(400 * candidate["score"]), y + 70), fill="#1f5fa8")
        pen.text((left + 514, y + 54), f"{100 * candidate['score']:.0f} %", fill=_INK, font=_font(15))


def _vote(vote: dict[str, Any]) -> str:
    return f"#{vote['rank']}" if vote["state"] == "ranked" else vote["state"].replace("_", " ")


def _tile(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, product: dict[str, Any], at: tuple[int, int], fetch: Fetch
) -> None:
    if product["image_url"]:
        _paste(sheet, Image.open(io.BytesIO(fetch(product["image_url"]))), at, _TILE, _TILE)
    name = product["name"] or product["sku"]
    pen.text((at[0], at[1] + _TILE + 8), name if len(name) <= 26 else name[:25] + "…", fill=_INK, font=_font(14))
    price = f"{product['price']} {product['currency']}" if product["price"] else "no price"
    pen.text((at[0], at[1] + _TILE + 30), f"{product['brand'] or ''}  {price}", fill=_QUIET, font=_font(14))


def _paste(sheet: Image.Image, image: Image.Image, at: tuple[int, int], width: int, height: int) -> None:
    fitted = ImageOps.contain(ImageOps.exif_transpose(image).convert("RGB"), (width, height))
    sheet.paste(fitted, at)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
