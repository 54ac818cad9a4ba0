"""A shop to fill bottlenecks and train with: a database, a media store and a tiny prepared backbone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.store.database import make_engine, transaction, upgrade
from app.store.media import MediaStore, content_hash, new_token
from app.store.tables import Image, Product
from tests.app.store.world import new_database
from tests.models.synthetic import draw, encoded


@dataclass(frozen=True)
class LearningShop:
    """The parts that the jobs take."""

    settings: Settings
    engine: Engine
    media: MediaStore

    def add_product(
        self, sku: str, photos: Sequence[bytes], *, group: str | None = None, kind: str | None = None
    ) -> int:
        """A product with these photos; returns its id."""
        with transaction(self.engine) as session:
            product = Product(sku=sku, group=group, type=kind, type_key=kind)
            session.add(product)
            session.flush()
            for data in photos:
                _add_image(session, product.id, data, self.media)
            return product.id

    def add_photo(self, sku: str, data: bytes) -> None:
        """One more photo of a product."""
        with transaction(self.engine) as session:
            _add_image(session, self._id(session, sku), data, self.media)

    def delete_photo(self, data: bytes) -> None:
        """Take a photo out of the catalogue, wherever it is listed."""
        with transaction(self.engine) as session:
            session.execute(delete(Image).where(Image.content_hash == content_hash(data)))

    def _id(self, session: Session, sku: str) -> int:
        return session.scalars(select(Product.id).where(Product.sku == sku)).one()


def _add_image(session: Session, product_id: int, data: bytes, media: MediaStore) -> None:
    stored = media.put(data)
    places = select(func.count()).select_from(Image).where(Image.product_id == product_id)
    session.add(
        Image(
            product_id=product_id,
            content_hash=stored.content_hash,
            token=new_token(),
            position=session.scalar(places) or 0,
            source_name="photo.jpg",
            format=stored.format,
            width=stored.width,
            height=stored.height,
            size_bytes=stored.size_bytes,
        )
    )
    session.flush()


def shots(place: int, count: int, first: int = 0) -> list[bytes]:
    """Photos of the product in that place of the table, each of another moment."""
    return [encoded(draw(place, seed)) for seed in range(first, first + count)]


@contextmanager
def learning_shop(home: Path, database_url: str, backbones: Path) -> Iterator[LearningShop]:
    """An empty shop in a database of its own. backbones: a home in which a backbone is prepared."""
    shutil.copytree(backbones / "backbones", home / "backbones")
    with new_database(database_url) as url:
        settings = Settings(  # type: ignore[call-arg]
            home=home, database_url=url.render_as_string(hide_password=False)
        )
        engine = make_engine(url)
        upgrade(engine)
        yield LearningShop(settings, engine, MediaStore(home / "media"))
        engine.dispose()
