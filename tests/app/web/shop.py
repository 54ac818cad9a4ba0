"""A shop with pictures that people would photograph, served as gunicorn serves it; a quick recognizer answers."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import Engine

from app.store.media import MediaStore
from augment.render import make_catalogue, render_phone_photo, render_view
from tests.app.api.world import Row, Shop, add_products, build_shop

FAMILY = "demo"
PRODUCTS = 26
"""More than a page of recommendations holds."""


@dataclass(frozen=True)
class WebShop:
    """photo: a phone photo of the product ``sku``; another photo taken there is among its reference photos."""

    shop: Shop
    sku: str
    name: str
    photo: bytes


def jpeg(pixels: np.ndarray, quality: int = 88) -> bytes:
    """A photo's file."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


def build_web_shop(engine: Engine, media: MediaStore) -> WebShop:
    """The small shop of the API's tests, and rendered products beside it."""
    shop = build_shop(engine, media)
    products = make_catalogue(PRODUCTS, 3, FAMILY)
    photographed = products[0]
    photo = render_phone_photo(photographed, 11, size=(720, 960))
    rows = []
    for product in products:
        # The same photo, a little brighter, stands for the shop's own: this recognizer knows pictures by their colours.
        view = np.clip(photo * 1.04, 0, 255).astype(np.uint8) if product is photographed else render_view(product, 0)
        path = tuple(product.category.split(" > "))
        rows.append(
            Row(product.sku, None, product.name, product.brand, path, product.type, product.colour,
                str(product.price), jpeg(view))
        )  # fmt: skip
    add_products(engine, media, rows)
    return WebShop(shop, photographed.sku, photographed.name, jpeg(photo))


def twelve_megapixels(folder: Path) -> Path:
    """A 12-megapixel JPEG full of detail, several megabytes, with an orientation and a position in its metadata."""
    rng = np.random.default_rng(5)
    coarse = Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)).resize((4000, 3000), Image.BICUBIC)
    pixels = np.asarray(coarse).astype(np.int16) + rng.integers(-12, 12, (3000, 4000, 1), dtype=np.int16)
    exif = Image.Exif()
    exif[0x0112] = 6  # the phone was held upright: 3000 x 4000 to the eye
    exif.get_ifd(0x8825)[1] = "N"
    path = folder / "twelve.jpg"
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=92, exif=exif)
    return path
