"""The demonstration's shop: a catalogue folder of rendered products, and phone photos of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from augment.render import RenderedProduct, make_catalogue, render_foreign, render_phone_photo, render_view

FAMILY = "demo"
"""Brands, shades, letterings, cameras and backgrounds that no weights were made with (a test asserts it)."""

SOURCE = "rendered demonstration"
PRODUCTS = 60
VIEWS = 3
STRANGERS = 12
"""Products of the same world that are left out of the catalogue: near-foreign photos show these."""

_SEED = 7
_PHONE_SEED = 1000
_COLUMNS = ("sku", "name", "brand", "category", "type", "colour", "price", "currency", "description", "source")


@dataclass(frozen=True, slots=True)
class PhonePhotos:
    """Rendered photos on disk. known: (path, sku); foreign: paths, near-foreign first."""

    known: tuple[tuple[Path, str], ...]
    foreign: tuple[Path, ...]


def demo_products() -> tuple[list[RenderedProduct], list[RenderedProduct]]:
    """The products in the catalogue, and the strangers."""
    everything = make_catalogue(PRODUCTS + STRANGERS, seed=_SEED, family=FAMILY)
    return everything[:PRODUCTS], everything[PRODUCTS:]


def write_catalogue(folder: Path, products: Sequence[RenderedProduct], currency: str) -> int:
    """Write products.csv and ``VIEWS`` reference photos a product; returns the number of photos.

    Every fifth row gives no type and every seventh no colour, as shops' tables do: these are predicted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "products.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, _COLUMNS)
        writer.writeheader()
        for number, product in enumerate(products):
            writer.writerow(
                {
                    "sku": product.sku,
                    "name": product.name,
                    "brand": product.brand,
                    "category": product.category,
                    "type": "" if number % 5 == 4 else product.type,
                    "colour": "" if number % 7 == 6 else product.colour,
                    "price": str(product.price),
                    "currency": currency,
                    "description": f"{product.name}, drawn for the demonstration",
                    "source": SOURCE,
                }
            )
    with _pool() as pool:
        return sum(pool.map(_draw_views, [(folder, product) for product in products]))


def take_phone_photos(
    folder: Path, products: Sequence[RenderedProduct], strangers: Sequence[RenderedProduct]
) -> PhonePhotos:
    """Draw one phone photo a product, two a stranger, and as many of no product at all."""
    folder.mkdir(parents=True, exist_ok=True)
    known = [(folder / f"known-{i:03d}.jpg", product.sku) for i, product in enumerate(products)]
    near = [folder / f"near-{i:03d}.jpg" for i in range(2 * len(strangers))]
    far = [folder / f"far-{i:03d}.jpg" for i in range(len(near))]
    tasks = [
        (path, product, products[(i + 3) % len(products)], i)
        for i, ((path, _), product) in enumerate(zip(known, products, strict=True))
    ]
    tasks += [(path, strangers[i // 2], products[i % len(products)], 500 + i) for i, path in enumerate(near)]
    with _pool() as pool:
        list(pool.map(_draw_phone, tasks))
        list(pool.map(_draw_far, list(enumerate(far))))
    return PhonePhotos(tuple(known), (*near, *far))


def _pool() -> ProcessPoolExecutor:
    # Spawned, not forked: this process holds database connections and threads.
    return ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))


def _draw_views(task: tuple[Path, RenderedProduct]) -> int:
    folder, product = task
    images = folder / "images" / product.sku
    images.mkdir(parents=True, exist_ok=True)
    for view in range(VIEWS):
        _save(images / f"{view}.jpg", render_view(product, view))
    return VIEWS


def _draw_phone(task: tuple[Path, RenderedProduct, RenderedProduct, int]) -> None:
    path, product, neighbour, number = task
    photo = render_phone_photo(
        product, _PHONE_SEED + number, camera=FAMILY, backgrounds=FAMILY, distractors=(neighbour,)
    )
    _save(path, photo)


def _draw_far(task: tuple[int, Path]) -> None:
    number, path = task
    _save(path, render_foreign(number))


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(path, "JPEG", quality=88)
