"""Phone scenes of the demonstration's products, each kind of failure apart."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image

from app.cli.demo.shop import FAMILY, demo_products
from augment.render import render_phone_photo

KINDS: Final = ("none", "small", "foreign_advertising", "cut_off")
"""What crops could help with: an ordinary photo, a product that is small among others, beside foreign advertising,
or cut off."""

_SEED = 70_000


def draw_scenes(folder: Path, count: int, kind: str) -> list[tuple[Path, str]]:
    """A photo of each of the first ``count`` products and of each stranger, with another product beside it.

    kind: of ``KINDS``. Returns (path, sku); the strangers' skus are in no catalogue.
    """
    folder.mkdir(parents=True, exist_ok=True)
    products, strangers = demo_products()
    found = []
    for number, product in enumerate([*products[:count], *strangers]):
        path = folder / f"{number:03d}.jpg"
        neighbour = products[(number + 7) % len(products)]
        pixels = render_phone_photo(
            product, _SEED + number, camera=FAMILY, backgrounds=FAMILY, distractors=(neighbour,), failure=kind
        )
        Image.fromarray(pixels).save(path, "JPEG", quality=88)
        found.append((path, product.sku))
    return found
