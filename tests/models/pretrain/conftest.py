"""A catalogue of rendered photos in a folder, a corpus of it, and small networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from augment.render import make_catalogue, render_view
from models.training.pretrain.blocks import channel_weights, maps_model, start_student
from models.training.pretrain.corpus import Corpus, build_corpus
from models.training.pretrain.drawn import drawn_products
from models.training.pretrain.shown import Listing, SourcePhoto
from tests.models.pretrain.tiny_network import build_tiny

VIEWS = 6
DRAWN = 36


@pytest.fixture(scope="session")
def shop_photos(tmp_path_factory: pytest.TempPathFactory) -> list[SourcePhoto]:
    """Five products with six photos each and two with one, as files."""
    folder = tmp_path_factory.mktemp("shop")
    photos = []
    for number, product in enumerate(make_catalogue(7, 11, "training")):
        for view in range(VIEWS if number < 5 else 1):
            path = folder / f"{product.sku}-{view}.png"
            Image.fromarray(render_view(product, view, 96)).save(path)
            photos.append(SourcePhoto(path, "shop", product.sku, product.type, product.colour, None))
    return photos


@pytest.fixture(scope="session")
def corpus(shop_photos: list[SourcePhoto], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The shop and as many drawn products as a projection of 256 dimensions needs."""
    return build_corpus(tmp_path_factory.mktemp("corpus"), Listing.read(shop_photos, {}), drawn_products(DRAWN))


@pytest.fixture(scope="session")
def images(corpus: Corpus) -> np.ndarray:
    """float32 (8, 75, 75, 3) in [-1, 1]."""
    return np.asarray(corpus.pixels[:8, ::4, ::4][:, :75, :75], dtype=np.float32) / 127.5 - 1


@pytest.fixture(scope="session")
def teacher(images: np.ndarray) -> Any:
    """A small network of other random values than any student's."""
    network = build_tiny()
    start_student(network, 1)
    network.trainable = False
    return network


@pytest.fixture(scope="session")
def teacher_weights(teacher: Any, images: np.ndarray) -> list[np.ndarray]:
    return channel_weights([np.asarray(values) for values in maps_model(teacher).predict(images, verbose=0)])
