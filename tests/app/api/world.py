"""A small shop in a real database, and a recognizer quick enough for tests of everything around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from time import perf_counter
from typing import NamedTuple

import numpy as np
from PIL import Image as PilImage
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.services.access import AccessService
from app.services.serving import Memory, Served
from app.services.withdrawn import WithdrawnLabels
from app.store.media import MediaStore, new_token
from app.store.neighbours import PgNeighbours
from app.store.spaces import ensure_space
from app.store.tables import Brand, Category, Image, Product
from app.store.text import key
from app.store.vectors import VectorRow, put_vectors
from models.attributes import TypeGuess
from models.backbone.preprocessing import fit_input
from models.backbone.projection import Projection
from models.classifiers.knn import KnnClassifier
from models.explain import heat_map
from models.recognizer import Withdrawn, nothing_withdrawn
from models.values import (
    Advice,
    Answer,
    Candidate,
    CastVote,
    ClassifierName,
    Deadline,
    Features,
    Float32,
    HeatMap,
    Photo,
    Ranking,
    VerdictName,
    VoteState,
)
from tests.contracts.fake_backbone import FakeBackbone

VERSION = "2026-01-01.test"
LEARNED = "2026-01-01T10:00:00+00:00"
TRAINED = frozenset({"gone"})


class Row(NamedTuple):
    """A product to insert. category: path, large to small. photo: JPEG bytes; None: the product has none."""

    sku: str
    group: str | None
    name: str
    brand: str | None
    category: tuple[str, ...]
    type: str | None
    colour: str | None
    price: str | None
    photo: bytes | None


# sku, group, brand, category, type, colour, price, colour of the photo
SHOP = (
    ("milk-1", None, "Dairyland", ("Grocery", "Dairy", "Milk"), "milk", "white", "1.20", (240, 240, 250)),
    ("milk-2", None, "Alpina", ("Grocery", "Dairy", "Milk"), "milk", "blue", "1.50", (40, 60, 220)),
    ("yoghurt", None, "Alpina", ("Grocery", "Dairy", "Yoghurt"), "yoghurt", "green", None, (40, 200, 60)),
    ("shirt-m", "shirt", "Weber", ("Fashion", "Shirts"), "shirt", "red", "20.00", (220, 30, 30)),
    ("shirt-l", "shirt", "Weber", ("Fashion", "Shirts"), "shirt", "red", "22.00", None),
    ("shoe", None, "Schuh & Söhne", ("Fashion", "Shoes"), "shoe", "black", "80.00", (20, 20, 20)),
    ("cap", None, None, ("Fashion",), None, None, "9.99", (230, 220, 40)),
)


@dataclass(frozen=True)
class Shop:
    """What the tests need to know. photos: the reference photo of each sku, JPEG."""

    space_id: int
    photos: Mapping[str, bytes]
    app_key: str
    admin_key: str


@cache
def projection() -> Projection:
    """The projection of the fake space; made once, as it takes a matrix factorisation."""
    return Projection.random_orthogonal()


def draw(colour: tuple[int, int, int], size: tuple[int, int] = (360, 320)) -> bytes:
    """A product photo: a box of one colour with a lighter label on a grey table, as JPEG."""
    width, height = size
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[height // 6 : -height // 6, width // 5 : -width // 5] = colour
    pixels[height // 3 : height // 2, width // 3 : -width // 3] = [min(255, c + 60) for c in colour]
    out = BytesIO()
    PilImage.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def build_shop(engine: Engine, media: MediaStore) -> Shop:
    """Insert the shop's rows, photos and vectors; create an app key and an admin key."""
    photos = {sku: draw(colour) for sku, *_, colour in SHOP if colour is not None}
    rows = [
        Row(sku, group, f"The {sku}", brand, path, kind, colour, price, photos.get(sku))
        for sku, group, brand, path, kind, colour, price, _ in SHOP
    ]
    space_id = add_products(engine, media, rows)
    access = AccessService(engine, 60)
    return Shop(space_id, photos, access.create_key("app", "tests").key, access.create_key("admin").key)


def add_products(engine: Engine, media: MediaStore, rows: Sequence[Row]) -> int:
    """Insert products with their photos and vectors; returns the space's number."""
    with Session(engine) as session, session.begin():
        space_id = ensure_space(session, FakeBackbone.space, {})
        vectors = []
        for row in rows:
            product = Product(
                sku=row.sku,
                group=row.group,
                name=row.name,
                name_key=key(row.name),
                brand_id=None if row.brand is None else _brand(session, row.brand),
                category_id=_category(session, row.category),
                type=row.type,
                type_key=row.type,
                colour=row.colour,
                colour_key=row.colour,
                price=row.price,
                currency=None if row.price is None else "EUR",
            )
            session.add(product)
            session.flush()
            if row.photo is not None:
                vectors.append(_add_photo(session, product, row.photo, media))
        put_vectors(session, space_id, vectors, projection().apply)
    return space_id


def _add_photo(session: Session, product: Product, data: bytes, media: MediaStore) -> VectorRow:
    stored = media.put(data)
    image = Image(
        product_id=product.id,
        content_hash=stored.content_hash,
        token=new_token(),
        position=0,
        source_name=f"{product.sku}.jpg",
        format=stored.format,
        width=stored.width,
        height=stored.height,
        size_bytes=stored.size_bytes,
    )
    session.add(image)
    session.flush()
    pixels = np.asarray(PilImage.open(BytesIO(data)))
    vector = FakeBackbone().extract([fit_input(pixels)])[0]
    return image.id, product.id, product.group or product.sku, vector


def _brand(session: Session, name: str) -> int:
    found = session.query(Brand).filter_by(name_key=key(name)).one_or_none()
    if found is None:
        found = Brand(name=name, name_key=key(name))
        session.add(found)
        session.flush()
    return found.id


def _category(session: Session, names: tuple[str, ...]) -> int:
    parent: Category | None = None
    for depth in range(1, len(names) + 1):
        path = " > ".join(names[:depth])
        found = session.query(Category).filter_by(path_key=key(path)).one_or_none()
        if found is None:
            found = Category(
                parent_id=None if parent is None else parent.id,
                name=names[depth - 1],
                path=path,
                path_key=key(path),
                depth=depth,
            )
            session.add(found)
            session.flush()
        parent = found
    assert parent is not None
    return parent.id


class KnnRecognizer:
    """Recognises by the live k-NN memory alone; FCN and SVM know one label, which has left the shop."""

    weights = "fake"
    space = FakeBackbone.space

    def __init__(self, engine: Engine, space_id: int, version: str = VERSION) -> None:
        self.version = version
        self._backbone = FakeBackbone()
        self._knn = KnnClassifier(PgNeighbours(engine, space_id, projection().apply))

    def features(self, photo: Photo, deadline: Deadline | None = None) -> Features:
        """See ``models.recognizer``."""
        return Features(self._backbone.extract([fit_input(photo.pixels)])[0], self.space)

    def look(self, photo: Photo, deadline: Deadline | None = None) -> tuple[Features, Float32]:
        """See ``models.recognizer``."""
        vectors, maps = self._backbone.extract_with_maps([fit_input(photo.pixels)])
        return Features(vectors[0], self.space), maps[0]

    def guess_type(self, vectors: Float32) -> TypeGuess | None:
        """See ``models.recognizer``."""
        return None

    def answer(
        self,
        features: Features,
        advice: tuple[Advice, ...] = (),
        *,
        within: frozenset[str] | None = None,
        top_k: int = 5,
        withdrawn: Withdrawn = nothing_withdrawn,
        feature_map: Float32 | None = None,
    ) -> Answer:
        """See ``models.recognizer``."""
        started = perf_counter()
        [prediction] = self._knn.predict(features.vector[None, :], k=top_k, within=within)
        absent = CastVote(VoteState.LABEL_UNKNOWN)
        candidates = tuple(
            Candidate(
                found.label,
                1 / (1 + rank),
                {"fcn": absent, "knn": CastVote(VoteState.RANKED, rank, found.score), "svm": absent},
            )
            for rank, found in enumerate(prediction.ranked, start=1)
        )
        return Answer(
            ranking=Ranking(candidates),
            verdict=VerdictName.KNOWN,
            calibrated=False,
            advice=advice,
            model_version=self.version,
            weights=self.weights,
            timings_ms={"classify": (perf_counter() - started) * 1000},
            heat_maps={}
            if feature_map is None
            else {c.label: self._heat_map(c.label, features.vector, feature_map) for c in candidates},
        )

    def _heat_map(self, label: str, vector: Float32, feature_map: Float32) -> HeatMap:
        nearest = self._knn.neighbours.nearest_photo(vector, label)
        assert nearest is not None
        return heat_map(feature_map, nearest, "knn")

    def known_since(self, label: str) -> Mapping[ClassifierName, str | None]:
        """See ``models.recognizer``."""
        known = LEARNED if label in TRAINED else None
        return {"fcn": known, "knn": None, "svm": known}


class KnnLoader:
    """Publishes ``KnnRecognizer`` under whatever version ``published`` names."""

    def __init__(self, engine: Engine, space_id: int) -> None:
        self.engine = engine
        self.space_id = space_id
        self.published: str | None = VERSION

    def champion(self) -> str | None:
        """See ``app.wiring.Loader``."""
        return self.published

    def load(self, version: str) -> Served:
        """See ``app.wiring.Loader``."""
        recognizer = KnnRecognizer(self.engine, self.space_id, version)
        memory = Memory(self.space_id, projection().apply)
        return Served(recognizer, WithdrawnLabels(self.engine, TRAINED), memory)
