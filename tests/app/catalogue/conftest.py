"""An empty catalogue in the database, a media store in a folder, and catalogue folders to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import Engine, text

from app.services.catalogue.importing import ImportReport, import_catalogue
from app.store.media import MediaStore

HEADER = "sku,name,brand,category,type,colour,price,currency,description,source"


def photo(colour: tuple[int, int, int], seed: int = 0, size: int = 48, kind: str = "JPEG") -> bytes:
    """A coloured square with a little noise before white: another seed is another photo."""
    noise = np.random.default_rng(seed).integers(-6, 7, (size, size, 3))
    pixels = np.full((size, size, 3), 255) - abs(noise) // 3
    inner = slice(size // 6, size - size // 6)
    pixels[inner, inner] = np.clip(np.array(colour) + noise[inner, inner], 0, 255)
    out = BytesIO()
    Picture.fromarray(pixels.astype(np.uint8)).save(out, kind)
    return out.getvalue()


RED, GREEN, BLUE = (200, 20, 25), (20, 150, 40), (20, 40, 190)


def write_folder(directory: Path, table: str, photos: Mapping[str, bytes] | None = None) -> Path:
    """A catalogue folder: the CSV text and ``sku/name`` -> bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "products.csv").write_bytes(table.encode("utf-8"))
    for place, data in (photos or {}).items():
        path = directory / "images" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


@pytest.fixture
def database(engine: Engine) -> Iterator[Engine]:
    """The engine, with no catalogue in the database before and after: imports commit."""
    empty = text("TRUNCATE products, brands, categories, spaces RESTART IDENTITY CASCADE")
    with engine.begin() as connection:
        connection.execute(empty)
    yield engine
    with engine.begin() as connection:
        connection.execute(empty)


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media")


@pytest.fixture
def run_import(database: Engine, media: MediaStore) -> Callable[..., ImportReport]:
    """``import_catalogue`` on this test's database and store."""

    def run(path: Path, **options: bool) -> ImportReport:
        return import_catalogue(database, media, path, currency="EUR", **options)

    return run
