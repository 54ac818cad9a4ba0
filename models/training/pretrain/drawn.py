"""Rendered products for backbone training: the renderer's family ``pretrain``, which nothing else shows."""

from __future__ import annotations

from functools import partial
from typing import Final

from augment.render import VIEW_COUNT, RenderedProduct, make_catalogue, render_phone_photo, render_view
from models.training.pretrain.corpus import RENDERED, Rendered
from models.values import UInt8

FAMILY: Final = "pretrain"
SEED: Final = 20260101
VIEWS: Final = 3
PHONE_PHOTOS: Final = 5
VALIDATION_EVERY: Final = 10
"""Every tenth product (the first, the eleventh, ...) teaches nothing; its pictures are of role validation."""

_PHONE_SIZE: Final = (480, 640)


def drawn_products(count: int, seed: int = SEED) -> list[Rendered]:
    """How to draw ``VIEWS`` studio views and ``PHONE_PHOTOS`` phone photos of each of ``count`` products, 0 or more."""
    products = make_catalogue(count, seed, FAMILY) if count else []
    drawn: list[Rendered] = []
    for number, product in enumerate(products):
        role = "validation" if number % VALIDATION_EVERY == 0 else "train"
        values = (f"{RENDERED}/{product.sku}", f"{RENDERED} {product.type}", product.colour, product.category)
        for view in range(VIEWS):
            drawn.append(Rendered(values, True, role, partial(render_view, product, (number + view) % VIEW_COUNT)))
        others = tuple(products[(number + step) % count] for step in (1, 7))
        for shot in range(PHONE_PHOTOS):
            drawn.append(Rendered(values, False, role, partial(_phone, product, shot, others)))
    return drawn


def _phone(product: RenderedProduct, shot: int, others: tuple[RenderedProduct, ...]) -> UInt8:
    return render_phone_photo(product, shot, camera=FAMILY, backgrounds=FAMILY, distractors=others, size=_PHONE_SIZE)
