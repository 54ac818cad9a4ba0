"""A small shop whose products have names, colours and photos, for the trainings of text models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import update

from app.jobs.bottlenecks import fill_bottlenecks
from app.store.database import transaction
from app.store.tables import Product
from models.training.shared.learner import SharedSettings
from models.training.shared.refine import RefineSettings
from models.training.shared.run import SharedOptions
from models.training.text.settings import TextSettings
from tests.app.learning import LearningShop, learning_shop, shots

KINDS = ("shirt", "watch", "mug", "lamp")
COLOURS = ("Red", "Blue", "Black")
PRODUCTS = 96
SHOWN = 72
"""Of them, those with a photo."""

TEXT = TextSettings(vocabulary=150, buckets=256, embedded=8, width=16, epochs=1, batch_size=32, learning_rate=0.01)
SHARED = SharedOptions(
    vocabulary=150,
    encoders=SharedSettings(epochs=2, batch=64, words_batch=16, image_hidden=8, text_hidden=8, learning_rate=0.005),
    refine=RefineSettings(steps=3, batch=16, gallery=32, hidden=8),
)


@contextmanager
def words_shop(home: Path, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    """Four kinds of products in three colours, with bottlenecks of their photos."""
    with learning_shop(home, database_url, prepared_home) as shop:
        for number in range(PRODUCTS):
            photos = shots(number % len(KINDS), 1, first=number) if number < SHOWN else []
            shop.add_product(f"p{number:03}", photos, kind=KINDS[number % len(KINDS)])
        with transaction(shop.engine) as session:
            for number in range(PRODUCTS):
                colour = COLOURS[number % len(COLOURS)]
                name = f"Akko {colour} {KINDS[number % len(KINDS)]} A{number}"
                values = {"name": name, "name_key": name.lower(), "colour": colour, "colour_key": colour.lower()}
                session.execute(update(Product).where(Product.sku == f"p{number:03}").values(**values))
        fill_bottlenecks(shop.settings, shop.engine, shop.media, variants=())
        yield shop
